"""The recipients of an event: every callback of its type, and whether it got the event. Reads only;
called by the API and the pages.

Bounded: an installation may have thousands of callbacks.
"""

from collections.abc import Collection, Iterable, Sequence

import sqlalchemy as sa

from schemas.deliveries.recipients import (
    Recipient,
    Recipients,
    with_delivery,
    without_delivery,
)
from schemas.ids import CallbackId, EventId, is_test_event
from schemas.listings import EventHead, ListedDelivery
from schemas.times import UnixMs
from schemas.tokens.tokens import Callback, Token
from store.deliveries.listed_rows import shown_deliveries, unrecorded
from store.engine.database import Connection
from store.engine.paging import Row
from store.events.heads import find_head
from store.tables import callbacks, deliveries, tokens
from store.tokens.rows import read_callback, read_token_alone

MOST = 200
"""Recipients that are listed. More: longer answers. Fewer: less is seen where callbacks are many."""

_Owner = tuple[Token, Callback]


def recipients_of(
    connection: Connection, event_id: EventId, now: UnixMs, most: int = MOST
) -> Recipients | None:
    """Return the recipients of an event, at most `most`; None: there is no such event."""
    event = find_head(connection, event_id)
    return None if event is None else recipients_in(connection, event, now, most)


def recipients_in(
    connection: Connection, event: EventHead, now: UnixMs, most: int = MOST
) -> Recipients:
    """Return the recipients of an event, at most `most`.

    Those with a delivery come first, then the callbacks without one by their tokens' names. A test
    is for its callback alone.
    """
    made, uncounted = _deliveries(connection, event.id, most)
    keys, unlisted = ([], 0) if is_test_event(event.id) else _others(connection, event, made, most)
    owning = _tokens(connection, {one.token_id for one in made} | {key.token_id for key in keys})
    known = _callbacks(connection, {one.callback_id for one in made} | {key.id for key in keys})
    listed = [
        with_delivery(one, owning.get(one.token_id), known.get(one.callback_id)) for one in made
    ]
    listed += [
        _judged(event, (owning[key.token_id], known[key.id]), now)
        for key in keys
        if key.token_id in owning and key.id in known  # else it was deleted meanwhile
    ]
    return Recipients(listed, uncounted + unlisted)


def _deliveries(
    connection: Connection, event_id: EventId, most: int
) -> tuple[list[ListedDelivery], int]:
    """Return the event's deliveries, at most `most`, and how many others there are."""
    this = deliveries.c.event_id == event_id
    ordered = sa.select(deliveries).where(this).order_by(deliveries.c.callback_id)
    rows = connection.execute(ordered.limit(most + 1)).all()
    shown = shown_deliveries(connection, rows[:most])
    if len(rows) <= most:
        under_way = unrecorded(connection, [event_id], rows)
        return [*shown, *under_way][:most], max(0, len(shown) + len(under_way) - most)
    count = sa.select(sa.func.count()).select_from(deliveries).where(this)
    return shown, (connection.scalar(count) or 0) - len(shown)


def _others(
    connection: Connection, event: EventHead, made: Sequence[ListedDelivery], most: int
) -> tuple[Sequence[Row], int]:
    """Return the callbacks without a delivery that there is room for, and how many others there
    are.
    """
    others = _without_delivery(event, {one.callback_id for one in made})
    room = most - len(made)
    keys = connection.execute(others.limit(room + 1)).all()
    if len(keys) <= room:
        return keys, 0
    count = sa.select(sa.func.count()).select_from(others.subquery())
    return keys[:room], (connection.scalar(count) or 0) - room


def _without_delivery(
    event: EventHead, under_way: Collection[CallbackId]
) -> sa.Select[tuple[str, str]]:
    """Return the query for the callbacks that this event has no delivery for, with their tokens."""
    delivered = sa.exists().where(
        deliveries.c.event_id == event.id, deliveries.c.callback_id == callbacks.c.id
    )
    return (
        sa.select(callbacks.c.id, callbacks.c.token_id)
        .join(tokens, tokens.c.id == callbacks.c.token_id)
        .where(
            callbacks.c.type == event.type,
            tokens.c.revoked_at.is_(None),
            callbacks.c.id.not_in(sorted(under_way)),
            sa.not_(delivered),
        )
        .order_by(tokens.c.folded, tokens.c.id)
    )


def _callbacks(connection: Connection, callback_ids: Iterable[str]) -> dict[str, Callback]:
    rows = connection.execute(sa.select(callbacks).where(callbacks.c.id.in_(sorted(callback_ids))))
    return {row.id: read_callback(row, None) for row in rows}


def _tokens(connection: Connection, token_ids: Iterable[str]) -> dict[str, Token]:
    rows = connection.execute(sa.select(tokens).where(tokens.c.id.in_(sorted(token_ids))))
    return {row.id: read_token_alone(row) for row in rows}


def _judged(event: EventHead, owner: _Owner, now: UnixMs) -> Recipient:
    came_at = event.accepted_at if event.claimed_at is None else event.claimed_at
    return without_delivery(*owner, event.channel_id, UnixMs(came_at), now)
