"""Failing callbacks: one delivery at a time probes them, and those that wait for too long are given
up.

One probe over all dispatchers: whoever moves `probe_at` on first makes it. Never judges how a probe
ended (`store.tokens.callback_health` does, from its settlement). Called by
`consumers.maintenance.callback_monitor`.
"""

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from schemas.deliveries.callback_health import BELIEVED_MS, patience
from schemas.deliveries.deliveries import (
    Delivery,
    DeliveryState,
    Move,
    Trigger,
    given_back,
    next_state,
)
from schemas.deliveries.withdrawal import CHANNEL_TAKEN, withdrawal_reason
from schemas.events.types import EventType
from schemas.ids import CallbackId
from schemas.times import UnixMs
from store.deliveries import aging, status_locks, withdrawal
from store.deliveries.due import MAX_LEASES
from store.deliveries.held import is_called, is_not_kept
from store.deliveries.rows import delivery, read
from store.deliveries.settlement import settle
from store.deliveries.status_gate import Admitted, admit
from store.engine import bulk
from store.engine.database import Connection
from store.engine.prepared import Prepared
from store.tables import callbacks, deliveries, events, tokens
from store.tokens import throttling

_MS = dt.timedelta(milliseconds=1)

HEAD = 1000
"""Deliveries cancelled at once of those that a token may no longer see. More: a longer transaction.
Fewer: the next probe is late.
"""

TRIES = 50
"""Deliveries tried for a probe: statuses whose turn it is not are put aside on the way
(docs/invariants.md#statuses-never-go-backwards). More: a longer transaction. Fewer: of a callback
with many of those the next probe is late.
"""

_row, _owner = deliveries.c, callbacks.c
_any = Prepared(
    sa.select(
        sa.or_(
            sa.exists().where(_owner.probe_at.is_not(None)),
            sa.exists().where(_owner.backlog_pending),
        )
    )
)


def any_to_see_to(connection: Connection) -> bool:
    """Whether there is a callback that fails, or that came back and has not been seen to: in quiet
    times there is none.
    """
    return bool(_any.run(connection, {}).scalar())


def due_probes(connection: Connection, now: UnixMs, limit: int) -> list[CallbackId]:
    """Failing callbacks that may be probed now and have something to be probed with, those that
    wait longest first.
    """
    probable = sa.exists().where(_row.callback_id == _owner.id, _may_probe(now, _owner.held_before))
    chosen = failing(now).where(_is_time(now), probable).order_by(_owner.probe_at).limit(limit)
    return [CallbackId(found) for found in connection.scalars(chosen)]


def take_probe(
    connection: Connection, callback_id: CallbackId, now: UnixMs, lease_ms: int
) -> Admitted:
    """Its oldest open delivery that may be sent, under a lease, whatever its schedule says; none
    when another dispatcher was first. Should nothing come of it, the next probe may be made when
    the lease ends; at once, when all that it was tried with has to wait. What its token may no
    longer see is cancelled on the way: a probe each would take weeks for those of a channel that
    was taken away.
    """
    ours = sa.and_(_owner.id == callback_id, _owner.failing_since.is_not(None), _is_time(now))
    taken = (
        sa.update(callbacks)
        .where(ours)
        .values(probe_at=now + lease_ms)
        .returning(_owner.held_before, _owner.type)
    )
    owner = connection.execute(taken).one_or_none()
    if owner is None:
        return Admitted([])
    oldest = sa.select(_row.event_id).where(
        _row.callback_id == callback_id, _may_probe(now, owner.held_before)
    )
    oldest = oldest.order_by(_row.queued_at, _row.sequence)
    for _ in range(TRIES):
        most = (
            _until_one_seems_free(connection, callback_id, oldest, now)
            if owner.type == EventType.MESSAGE_STATUS
            else 1
        )
        found = _lease_first(connection, callback_id, oldest, most, now, lease_ms)
        left = _still_seen(connection, callback_id, found, oldest, now)
        if left or not found:
            return _admit_one(connection, callback_id, left, now, lease_ms)
    return Admitted([])


def _admit_one(
    connection: Connection,
    callback_id: CallbackId,
    found: Sequence[Delivery],
    now: UnixMs,
    lease_ms: int,
) -> Admitted:
    """Places are asked for once in a transaction, all of them by key: one after the other they
    would be locked out of order, and somebody who claims statuses of the same messages could wait
    in a circle with us (`store.engine.bulk`).
    """
    admitted = admit(connection, found, now, lease_ms)
    settle(connection, [given_back(one) for one in admitted.go[1:]], now)
    if found and not admitted.go:
        connection.execute(
            sa.update(callbacks).where(_owner.id == callback_id).values(probe_at=now)
        )
    return Admitted(admitted.go[:1], admitted.waiting, admitted.overtaken)


def _until_one_seems_free(
    connection: Connection, callback_id: CallbackId, line: sa.Select[Any], now: UnixMs
) -> int:
    """How many statuses at the head of the line are to be tried: up to the first whose turn it
    seems to be. The others are put aside.
    """
    rows = connection.execute(
        line.with_only_columns(_row.message_id, _row.status).limit(TRIES)
    ).all()
    statuses = [
        None if row.status is None else (callback_id, row.message_id, row.status) for row in rows
    ]
    free = status_locks.free_among(connection, {one for one in statuses if one is not None}, now)
    return next(
        (number for number, one in enumerate(statuses, 1) if one is None or one in free), TRIES
    )


def _still_seen(
    connection: Connection,
    callback_id: CallbackId,
    found: Sequence[Delivery],
    line: sa.Select[Any],
    now: UnixMs,
) -> list[Delivery]:
    """Those of these, which are ours, that may still be sent. The others are cancelled, with all at
    the head of the line behind them that the token may not see either. Like all that ends by the
    thousand they tell nothing to their places (`store.deliveries.status_locks`).
    """
    token = withdrawal.owners(connection, [callback_id]).get(callback_id)
    reasons = {one.event_id: withdrawal_reason(token, one, now) for one in found}
    for reason in sorted({reason for reason in reasons.values() if reason is not None}):
        _cancel(
            connection,
            callback_id,
            _row.event_id.in_([event_id for event_id, why in reasons.items() if why == reason]),
            reason,
        )
    if any(reasons.values()) and token is not None and token.channels is not None:
        unseen = sa.not_(bulk.among(connection, events.c.channel_id, sorted(token.channels)))
        head = line.limit(HEAD).cte()
        chosen = (
            sa.select(_row.event_id)
            .join_from(deliveries, events, events.c.id == _row.event_id)
            .where(_row.callback_id == callback_id, _row.event_id.in_(sa.select(head)), unseen)
            .with_for_update(skip_locked=True, of=deliveries)
        )
        _cancel(connection, callback_id, _row.event_id.in_(sa.select(chosen.cte())), CHANNEL_TAKEN)
    return [one for one in found if reasons[one.event_id] is None]


def _cancel(
    connection: Connection, callback_id: CallbackId, these: sa.ColumnElement[bool], reason: str
) -> None:
    settled = {
        "state": next_state(DeliveryState.PENDING, Move.WITHDRAWN).value,
        "reason": reason,
        "due_at": None,
        "leased": False,
    }
    still_open = sa.and_(
        _row.callback_id == callback_id, these, _row.state == DeliveryState.PENDING.value
    )
    connection.execute(sa.update(deliveries).where(still_open).values(settled))


def _lease_first(
    connection: Connection,
    callback_id: CallbackId,
    line: sa.Select[Any],
    most: int,
    now: UnixMs,
    lease_ms: int,
) -> list[Delivery]:
    first = line.limit(most).with_for_update(skip_locked=True)
    taken = (
        sa.update(deliveries)
        .where(_row.callback_id == callback_id, _row.event_id.in_(sa.select(first.cte())))
        .values(
            due_at=now + lease_ms,
            leased=True,
            lease=_row.lease + 1,
            lease_count=_row.lease_count + 1,
        )
        .returning(_row.event_id)
    )
    found = [
        delivery(row, Trigger.PROBE)
        for row in read(connection, callback_id, list(connection.scalars(taken)))
    ]
    return sorted(found, key=lambda one: (one.queued_at, one.sequence))


def with_aged(connection: Connection, horizon_ms: int, now: UnixMs) -> list[CallbackId]:
    """Failing callbacks for which something has waited as long as its schedule would have lasted;
    where one asked to be left alone, as long as one waits for those that do.
    """
    aged = aging.is_aged(_waits_ms(horizon_ms, now), now, _owner.held_before)
    found = failing(now).where(sa.exists().where(_row.callback_id == _owner.id, aged))
    return [CallbackId(callback_id) for callback_id in connection.scalars(found)]


def exhaust_aged(
    connection: Connection, callback_id: CallbackId, horizon_ms: int, reason: str, now: UnixMs
) -> Counter[EventType]:
    """Give that up, at most a slice of it, if the callback is failing still. Returns how many, by
    type.
    """
    return aging.exhaust(
        connection, failing(now), callback_id, _waits_ms(horizon_ms, now), reason, now
    )


def _waits_ms(horizon_ms: int, now: UnixMs) -> sa.ColumnElement[int]:
    """For how long a callback is waited for. One that answers its probe with `Retry-After: 86400`
    is not probed for a day: what has waited through that was given up for obeying, if it were as
    long as a short schedule.
    """
    by_obeying, by_schedule = (
        sa.literal(ms, sa.BigInteger) for ms in (patience(horizon_ms * _MS) // _MS, horizon_ms)
    )
    return sa.case((throttling.is_obeyed(now), by_obeying), else_=by_schedule)


def failing(now: UnixMs) -> sa.Select[Any]:
    """Callbacks that only probes are sent to, and that may be called at all."""
    fail = sa.and_(_owner.probe_at.is_not(None), _owner.failing_since.is_not(None))
    return (
        sa.select(_owner.id)
        .join_from(callbacks, tokens, tokens.c.id == _owner.token_id)
        .where(fail, is_called(now))
    )


def _is_time(now: UnixMs) -> sa.ColumnElement[bool]:
    """For its next probe: it has come, or was set by a clock that was ahead."""
    return sa.or_(_owner.probe_at <= now, _owner.probe_at > now + BELIEVED_MS)


def _may_probe(
    now: UnixMs, held_before: sa.ColumnElement[Any] | int | None
) -> sa.ColumnElement[bool]:
    """Poison does not: it would bring down one dispatcher after the other. The next ordinary take
    gives it up, or its age does.
    """
    return sa.and_(
        aging.is_free(now), is_not_kept(_row, held_before), _row.lease_count < MAX_LEASES
    )
