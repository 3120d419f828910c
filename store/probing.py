"""Failing callbacks: one delivery at a time probes them, and those that wait for too long are given up.

One probe over all dispatchers: whoever moves `probe_at` on first makes it. Never judges how a probe ended (`store.health` does,
from its settlement). Called by `consumers.reviving`.
"""

from collections import Counter
from typing import Any

import sqlalchemy as sa

from schemas.deliveries import Delivery, DeliveryState, Move, Settlement, Trigger, next_state
from schemas.event_types import EventType
from schemas.ids import CallbackId
from schemas.times import UnixMs
from schemas.withdrawals import CHANNEL_TAKEN, withdrawal
from store import aging, bulk, withdrawing
from store.admitting import Admitted, admit
from store.database import Connection
from store.due import MOST_TAKES
from store.due_rows import delivery, read
from store.holding import is_called, is_not_kept
from store.prepared import Prepared
from store.settling import settle
from store.tables import callbacks, deliveries, events, tokens

HEAD = 1000
"""Deliveries cancelled at once of those that a token may no longer see. More: a longer transaction. Fewer: the next probe is late."""

TRIES = 50
"""Deliveries looked at for a probe: statuses whose turn it is not are put aside on the way (rule 13). More: a longer transaction.
Fewer: of a callback with many of those the next probe is late."""

_row, _owner = deliveries.c, callbacks.c
_any = Prepared(sa.select(sa.or_(sa.exists().where(_owner.probe_at.is_not(None)), sa.exists().where(_owner.reviving))))


def any_to_see_to(connection: Connection) -> bool:
    """Whether there is a callback that fails, or that came back and has not been seen to: in quiet times there is none."""
    return bool(_any.run(connection, {}).scalar())


def due_probes(connection: Connection, now: UnixMs, limit: int) -> list[CallbackId]:
    """Failing callbacks that may be probed now and have something to be probed with, those that wait longest first."""
    probable = sa.exists().where(_row.callback_id == _owner.id, _may_probe(now, _owner.held_before))
    chosen = failing(now).where(_owner.probe_at <= now, probable).order_by(_owner.probe_at).limit(limit)
    return [CallbackId(found) for found in connection.scalars(chosen)]


def take_probe(connection: Connection, callback_id: CallbackId, now: UnixMs, lease_ms: int) -> Admitted:
    """Its oldest open delivery that may be sent, under a lease, whatever its schedule says; none when another dispatcher was first.
    Should nothing come of it, the next probe may be made when the lease ends. What its token may no longer see is cancelled on the
    way: a probe each would take weeks for those of a channel that was taken away."""
    ours = sa.and_(_owner.id == callback_id, _owner.failing_since.is_not(None), _owner.probe_at <= now)
    owner = connection.execute(sa.update(callbacks).where(ours).values(probe_at=now + lease_ms).returning(_owner.held_before)).one_or_none()
    if owner is None:
        return Admitted([])
    oldest = sa.select(_row.event_id).where(_row.callback_id == callback_id, _may_probe(now, owner.held_before))
    oldest = oldest.order_by(_row.since_at, _row.turn)
    waiting = overtaken = 0
    for _ in range(TRIES):
        found = _lease_first(connection, callback_id, oldest, now, lease_ms)
        if found and _withdraw(connection, found[0], oldest, now):
            continue
        admitted = admit(connection, found, now, lease_ms)
        waiting, overtaken = waiting + admitted.waiting, overtaken + admitted.overtaken
        if admitted.go or not found:
            return Admitted(admitted.go, waiting, overtaken)
    return Admitted([], waiting, overtaken)


def _withdraw(connection: Connection, first: Delivery, line: sa.Select[tuple[str]], now: UnixMs) -> bool:
    """Whether this delivery, which is ours, may not be sent any more. Then it is cancelled, with all at the head of the line behind it
    that the token may not see either."""
    token = withdrawing.owners(connection, [first.callback_id]).get(first.callback_id)
    reason = withdrawal(token, first, now)
    if reason is None:
        return False
    cancelled = next_state(DeliveryState.PENDING, Move.WITHDRAWN)
    settle(connection, [Settlement(first, cancelled, reason=reason, failures=first.failures)], now)
    if token is not None and token.channels is not None:
        unseen = sa.not_(bulk.among(connection, events.c.channel_id, sorted(token.channels)))
        head = line.limit(HEAD).cte()
        chosen = (
            sa.select(_row.event_id)
            .join_from(deliveries, events, events.c.id == _row.event_id)
            .where(_row.callback_id == first.callback_id, _row.event_id.in_(sa.select(head)), unseen)
            .with_for_update(skip_locked=True, of=deliveries)
        )
        these = sa.and_(_row.callback_id == first.callback_id, _row.event_id.in_(sa.select(chosen.cte())))
        settled = {"state": cancelled.value, "reason": CHANNEL_TAKEN, "due_at": None, "leased": False}
        connection.execute(sa.update(deliveries).where(these, _row.state == DeliveryState.PENDING.value).values(settled))
    return True


def _lease_first(
    connection: Connection, callback_id: CallbackId, line: sa.Select[tuple[str]], now: UnixMs, lease_ms: int
) -> list[Delivery]:
    first = line.limit(1).with_for_update(skip_locked=True)
    taken = (
        sa.update(deliveries)
        .where(_row.callback_id == callback_id, _row.event_id.in_(sa.select(first.cte())))
        .values(due_at=now + lease_ms, leased=True, lease=_row.lease + 1, takes=_row.takes + 1)
        .returning(_row.event_id)
    )
    return [delivery(row, Trigger.PROBE) for row in read(connection, callback_id, list(connection.scalars(taken)))]


def with_aged(connection: Connection, horizon_ms: int, now: UnixMs) -> list[CallbackId]:
    """Failing callbacks for which something has waited as long as its schedule would have lasted."""
    found = failing(now).where(sa.exists().where(_row.callback_id == _owner.id, aging.is_aged(horizon_ms, now, _owner.held_before)))
    return [CallbackId(callback_id) for callback_id in connection.scalars(found)]


def exhaust_aged(connection: Connection, callback_id: CallbackId, horizon_ms: int, reason: str, now: UnixMs) -> Counter[EventType]:
    """Give that up, at most a slice of it, if the callback is failing still. Returns how many, by type."""
    return aging.exhaust(connection, failing(now), callback_id, horizon_ms, reason, now)


def failing(now: UnixMs) -> sa.Select[Any]:
    """Callbacks that only probes are sent to, and that may be called at all."""
    fail = sa.and_(_owner.probe_at.is_not(None), _owner.failing_since.is_not(None))
    return sa.select(_owner.id).join_from(callbacks, tokens, tokens.c.id == _owner.token_id).where(fail, is_called(now))


def _may_probe(now: UnixMs, held_before: sa.ColumnElement[Any] | int | None) -> sa.ColumnElement[bool]:
    """Poison does not: it would bring down one dispatcher after the other. The next ordinary take gives it up, or its age does."""
    return sa.and_(aging.is_free(now), is_not_kept(_row, held_before), _row.takes < MOST_TAKES)
