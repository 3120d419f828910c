"""From rows to deliveries as people see them: the state with `held` derived, the reason, the next
attempt. Reads only; called by `store.deliveries.listing`.
"""

from collections.abc import Iterable, Sequence
from itertools import islice

import msgspec
import sqlalchemy as sa

from schemas.deliveries.callback_health import plausible_pause_end
from schemas.deliveries.deliveries import DeliveryState, Outcome
from schemas.events.types import EventType
from schemas.ids import CallbackId, EventId, TokenId
from schemas.listings import ListedDelivery
from schemas.times import UnixMs, now_ms, to_rfc3339
from store.engine.database import Connection
from store.engine.paging import Row
from store.tables import callbacks, events, tokens

SHOWN = 100
"""Deliveries that are shown with their event. More: longer answers, of events for very many
callbacks. Fewer: more of them have to be asked for by themselves.
"""


class Owner(msgspec.Struct, frozen=True):
    """What a delivery shows of its callback."""

    token_id: TokenId
    type: EventType
    url: str
    held: str | None
    """Why it holds back its open deliveries; None: it does not."""
    held_before: UnixMs | None = None
    """Open deliveries from before this moment are still held."""
    throttled_until: UnixMs | None = None
    """When deliveries continue, as its receiver asked; None: it did not ask, or that has passed."""

    def holds(self, queued_at: int | None) -> str | None:
        """Return why the callback holds an open delivery whose age counts from `queued_at`; None:
        it does not.
        """
        is_from_before = (
            self.held_before is not None and queued_at is not None and queued_at < self.held_before
        )
        return self.held or ("kept since the callback came back" if is_from_before else None)


def shown_deliveries(connection: Connection, rows: Sequence[Row]) -> list[ListedDelivery]:
    """Return the deliveries of these rows of the table, in their order."""
    owners = _owners(connection, {row.callback_id for row in rows})
    return [_delivery(row, owners.get(row.callback_id)) for row in rows]


def unrecorded(
    connection: Connection,
    event_ids: Sequence[EventId],
    rows: Sequence[Row],
    only: CallbackId | None = None,
) -> list[ListedDelivery]:
    """Return the deliveries of these events whose first attempt is still under way: they have no
    row among `rows` yet, and are read from the event's claim.

    With `only` it is that of one callback. Without, the first SHOWN of each event: an event may
    have very many.
    """
    recorded = {(row.event_id, row.callback_id) for row in rows}
    claimed = sa.select(events.c.id, events.c.accepted_at, events.c.callbacks).where(
        events.c.id.in_(event_ids)
    )
    missing: list[tuple[Row, str]] = []
    for row in connection.execute(claimed).all():
        wanted = (
            callback_id
            for callback_id in row.callbacks.split()
            if (row.id, callback_id) not in recorded and only in (None, callback_id)
        )
        missing += [(row, callback_id) for callback_id in islice(wanted, SHOWN)]
    owners = _owners(connection, {callback_id for _, callback_id in missing})
    return [
        _under_way(row, callback_id, owners[callback_id])
        for row, callback_id in missing
        if callback_id in owners
    ]


def _owners(connection: Connection, callback_ids: Iterable[str]) -> dict[str, Owner]:
    statement = (
        sa.select(callbacks, tokens.c.enabled.label("token_enabled"))
        .join(tokens, tokens.c.id == callbacks.c.token_id)
        .where(callbacks.c.id.in_(sorted(callback_ids)))
    )
    now = now_ms()
    return {row.id: _owner(row, now) for row in connection.execute(statement)}


def _owner(row: Row, now: UnixMs) -> Owner:
    until = plausible_pause_end(row.throttled_until, now)
    put_off = until if until is not None and until > now else None
    return Owner(row.token_id, EventType(row.type), row.url, _held(row), row.held_before, put_off)


def _held(row: Row) -> str | None:
    if not row.enabled:
        return "callback off"
    if row.disabled_at is not None:
        return f"callback disabled: {row.disabled_reason}"
    return None if row.token_enabled else "token suspended"


def _delivery(row: Row, owner: Owner | None) -> ListedDelivery:
    is_open = row.due_at is not None
    held = owner.holds(row.queued_at) if owner and is_open else None
    unscheduled = held is not None or row.leased
    put_off = owner.throttled_until if owner and is_open and not unscheduled else None
    return ListedDelivery(
        event_id=EventId(row.event_id),
        callback_id=CallbackId(row.callback_id),
        token_id=TokenId(row.token_id),
        url=owner.url if owner else None,
        type=EventType(row.type),
        state=DeliveryState.HELD if held else DeliveryState(row.state),
        reason=held or row.reason or _reason_to_wait(put_off),
        next_attempt_at=None if unscheduled else _next_attempt(row.due_at, put_off),
        created_at=UnixMs(row.created_at),
        status_code=row.status_code,
        outcome=Outcome(row.outcome) if row.outcome else None,
    )


def _reason_to_wait(put_off: UnixMs | None) -> str | None:
    return f"its receiver asked to wait until {to_rfc3339(put_off)}" if put_off else None


def _next_attempt(due_at: UnixMs | None, put_off: UnixMs | None) -> UnixMs | None:
    return max(due_at, put_off) if due_at is not None and put_off else due_at


def _under_way(row: Row, callback_id: str, owner: Owner) -> ListedDelivery:
    return ListedDelivery(
        event_id=EventId(row.id),
        callback_id=CallbackId(callback_id),
        token_id=owner.token_id,
        url=owner.url,
        type=owner.type,
        state=DeliveryState.PENDING,
        reason=None,
        next_attempt_at=None,
        created_at=UnixMs(row.accepted_at),
    )
