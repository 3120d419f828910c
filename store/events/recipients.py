"""The recipients of an event: every callback of its type, and whether it got the event. Reads only;
called by the API.

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
from schemas.listings import ListedDelivery
from schemas.times import UnixMs
from schemas.tokens.tokens import Callback, Token
from store.deliveries.listed_rows import shown_deliveries, unrecorded
from store.engine.database import Connection
from store.engine.paging import Row
from store.tables import callbacks, deliveries, events, tokens
from store.tokens.rows import read_callback, read_token_alone

MOST = 200
"""Recipients that are listed. More: longer answers. Fewer: less is seen where callbacks are many."""

_Owner = tuple[Token, Callback]


def recipients_of(connection: Connection, event_id: EventId, now: UnixMs) -> Recipients | None:
    """Return the recipients of an event, at most MOST; None: there is no such event.

    Those with a delivery come first, then the callbacks without one by their tokens' names. A test
    is for its callback alone.
    """
    c = events.c
    facts = (c.id, c.type, c.channel_id, c.accepted_at, c.claimed_at)
    event = connection.execute(sa.select(*facts).where(c.id == event_id)).one_or_none()
    if event is None:
        return None
    made, uncounted = _deliveries(connection, event_id)
    listed = _with_delivery(connection, made)
    if is_test_event(event_id):
        return Recipients(listed, uncounted)
    others = _without_delivery(event, {one.callback_id for one in made})
    owners = _owners(connection, others, MOST - len(listed))
    listed += [_judged(event, owner, now) for owner in owners]
    total = connection.scalar(sa.select(sa.func.count()).select_from(others.subquery())) or 0
    return Recipients(listed, uncounted + total - len(owners))


def _deliveries(connection: Connection, event_id: EventId) -> tuple[list[ListedDelivery], int]:
    """Return the event's deliveries, at most MOST, and how many others there are."""
    this = deliveries.c.event_id == event_id
    ordered = sa.select(deliveries).where(this).order_by(deliveries.c.callback_id)
    rows = connection.execute(ordered.limit(MOST + 1)).all()
    shown = shown_deliveries(connection, rows[:MOST])
    if len(rows) <= MOST:
        under_way = unrecorded(connection, [event_id], rows)
        return [*shown, *under_way][:MOST], max(0, len(shown) + len(under_way) - MOST)
    count = sa.select(sa.func.count()).select_from(deliveries).where(this)
    return shown, (connection.scalar(count) or 0) - len(shown)


def _with_delivery(connection: Connection, made: Sequence[ListedDelivery]) -> list[Recipient]:
    callback_ids = {one.callback_id for one in made}
    callback_rows = connection.execute(
        sa.select(callbacks).where(callbacks.c.id.in_(callback_ids))
    ).all()
    known = {row.id: read_callback(row, None) for row in callback_rows}
    owning = _tokens(connection, {one.token_id for one in made})
    return [
        with_delivery(one, owning.get(one.token_id), known.get(one.callback_id)) for one in made
    ]


def _without_delivery(event: Row, under_way: Collection[CallbackId]) -> sa.Select[tuple[str, str]]:
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


def _owners(connection: Connection, others: sa.Select[tuple[str, str]], most: int) -> list[_Owner]:
    """Return the first callbacks of a query, with their tokens, in its order."""
    keys = connection.execute(others.limit(most)).all()
    rows = connection.execute(
        sa.select(callbacks).where(callbacks.c.id.in_([key.id for key in keys]))
    ).all()
    known = {row.id: read_callback(row, None) for row in rows}
    owning = _tokens(connection, {key.token_id for key in keys})
    return [(owning[key.token_id], known[key.id]) for key in keys]


def _tokens(connection: Connection, token_ids: Iterable[str]) -> dict[str, Token]:
    rows = connection.execute(sa.select(tokens).where(tokens.c.id.in_(sorted(token_ids))))
    return {row.id: read_token_alone(row) for row in rows}


def _judged(event: Row, owner: _Owner, now: UnixMs) -> Recipient:
    came_at = event.accepted_at if event.claimed_at is None else event.claimed_at
    return without_delivery(*owner, event.channel_id, UnixMs(came_at), now)
