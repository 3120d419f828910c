"""Failing callbacks: one delivery at a time probes them, and what waits for them too long is given
up.

There is one probe over all dispatchers: the dispatcher that moves `probe_at` on first makes it. How
a probe ended is judged by `store.tokens.callback_health`, from its settlement. Called by
`consumers.maintenance.callback_monitor`.
"""

import datetime as dt
from collections import Counter
from collections.abc import Sequence

import sqlalchemy as sa

from schemas.deliveries.callback_health import PLAUSIBLE_PAUSE_MS, throttle_horizon
from schemas.deliveries.cancel_reason import CancelReason
from schemas.deliveries.deliveries import Delivery, DeliveryState, Move, Trigger
from schemas.deliveries.settlement import given_back
from schemas.deliveries.withdrawal import withdrawal_reason
from schemas.events.types import EventType
from schemas.ids import CallbackId
from schemas.times import UnixMs
from store.deliveries import aging, status_locks, withdrawal
from store.deliveries.due import MAX_LEASES
from store.deliveries.held import HeldBefore, is_called, is_not_kept
from store.deliveries.rows import delivery, read
from store.deliveries.settlement import settle
from store.deliveries.status_gate import Admitted, admit
from store.engine import bulk
from store.engine.database import Connection
from store.engine.prepared import Prepared
from store.figures.counting import Ended, count_ended
from store.tables import callbacks, deliveries, delivery_moves, events, tokens
from store.tokens import callback_throttling

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

EventIds = sa.Select[str]
"""A query of the events of a callback's deliveries."""

_row, _owner = deliveries.c, callbacks.c
_any = Prepared(
    sa.select(
        sa.or_(
            sa.exists().where(_owner.probe_at.is_not(None)),
            sa.exists().where(_owner.backlog_pending),
        )
    )
)


def any_waiting(connection: Connection) -> bool:
    """Whether a callback is failing, or was resumed and its backlog is not handled. In quiet times
    there is none.
    """
    return bool(_any.run(connection, {}).scalar())


def due_probes(connection: Connection, now: UnixMs, limit: int) -> list[CallbackId]:
    """Return failing callbacks that may be probed now and have something to be probed with, those
    that wait longest first.
    """
    probable = sa.exists().where(_row.callback_id == _owner.id, _may_probe(now, _owner.held_before))
    due = failing(now).where(_is_time(now), probable).order_by(_owner.probe_at).limit(limit)
    return [CallbackId(row_id) for row_id in connection.scalars(due)]


def lease_probe(
    connection: Connection, callback_id: CallbackId, now: UnixMs, lease_ms: int
) -> Admitted:
    """Lease a callback's oldest open delivery that may be sent, whatever its schedule says. None is
    leased when another dispatcher was first.

    If nothing comes of it, the next probe may be made when the lease ends; immediately, when
    everything that was tried has to wait. What its token may no longer see is cancelled on the way:
    with a probe for each, those of a removed channel would take weeks.
    """
    ours = sa.and_(_owner.id == callback_id, _owner.failing_since.is_not(None), _is_time(now))
    leased = (
        sa.update(callbacks)
        .where(ours)
        .values(probe_at=now + lease_ms)
        .returning(_owner.held_before, _owner.type)
    )
    owner = connection.execute(leased).one_or_none()
    if owner is None:
        return Admitted([])
    may_probe = sa.and_(_row.callback_id == callback_id, _may_probe(now, owner.held_before))
    oldest = sa.select(_row.event_id).where(may_probe).order_by(_row.queued_at, _row.sequence)
    for _ in range(TRIES):
        most = (
            _until_one_seems_free(connection, callback_id, oldest, now)
            if owner.type == EventType.MESSAGE_STATUS
            else 1
        )
        tried = _lease_first(connection, callback_id, oldest, most, now, lease_ms)
        left = _still_seen(connection, callback_id, tried, oldest, now)
        if left or not tried:
            return _admit_one(connection, callback_id, left, now, lease_ms)
    return Admitted([])


def with_aged(connection: Connection, horizon_ms: int, now: UnixMs) -> list[CallbackId]:
    """Return failing callbacks for which something has waited for `horizon_ms`, the total of its
    schedule; longer where the receiver asked for a pause (`schemas.deliveries.callback_health`).
    """
    aged = aging.is_aged(_age_ms(horizon_ms, now), now, _owner.held_before)
    waits = sa.exists().where(_row.callback_id == _owner.id, aged)
    return [CallbackId(row_id) for row_id in connection.scalars(failing(now).where(waits))]


def exhaust_aged(
    connection: Connection, callback_id: CallbackId, horizon_ms: int, reason: str, now: UnixMs
) -> Counter[EventType]:
    """Give up what has waited as long as `with_aged` says, at most a slice, if the callback is
    still failing.

    Return how many were given up, by type.
    """
    age_ms = _age_ms(horizon_ms, now)
    return aging.exhaust(connection, failing(now), callback_id, age_ms, reason=reason, now=now)


def failing(now: UnixMs) -> sa.Select[str]:
    """Return the query of the callbacks that only probes are sent to, and that may be called at
    all.
    """
    fail = sa.and_(_owner.probe_at.is_not(None), _owner.failing_since.is_not(None))
    return (
        sa.select(_owner.id)
        .join_from(callbacks, tokens, tokens.c.id == _owner.token_id)
        .where(fail, is_called(now))
    )


def _admit_one(
    connection: Connection,
    callback_id: CallbackId,
    candidates: Sequence[Delivery],
    now: UnixMs,
    lease_ms: int,
) -> Admitted:
    """Admit the first candidate that may be sent, and give back the others.

    Status locks are asked for once in a transaction, all of them by key. One after the other they
    would be locked out of order, and a transaction that claims statuses of the same messages could
    wait for this one while this one waits for it (`store.engine.bulk`).
    """
    admitted = admit(connection, candidates, now, lease_ms)
    settle(connection, [given_back(spare) for spare in admitted.go[1:]], now)
    if candidates and not admitted.go:
        connection.execute(
            sa.update(callbacks).where(_owner.id == callback_id).values(probe_at=now)
        )
    return Admitted(admitted.go[:1], admitted.waiting, admitted.overtaken)


def _until_one_seems_free(
    connection: Connection, callback_id: CallbackId, line: EventIds, now: UnixMs
) -> int:
    """Return how many statuses at the head of the line are to be tried: up to the first whose turn
    it seems to be. The others are put aside.
    """
    rows = connection.execute(
        line.with_only_columns(_row.message_id, _row.status).limit(TRIES)
    ).all()
    statuses = [
        None if row.status is None else (callback_id, row.message_id, row.status) for row in rows
    ]
    known = {status for status in statuses if status is not None}
    free = status_locks.free_among(connection, known, now)
    return next(
        (number for number, status in enumerate(statuses, 1) if status is None or status in free),
        TRIES,
    )


def _still_seen(
    connection: Connection,
    callback_id: CallbackId,
    leased: Sequence[Delivery],
    line: EventIds,
    now: UnixMs,
) -> list[Delivery]:
    """Return those of the leased deliveries that may still be sent, and cancel the others.

    All at the head of the line behind them that the token may not see either are cancelled too.
    Like everything that ends by the thousand they do not release their status locks
    (`store.deliveries.status_locks`).
    """
    token = withdrawal.owners(connection, [callback_id]).get(callback_id)
    reasons = {one.event_id: withdrawal_reason(token, one, now) for one in leased}
    for reason in sorted({reason for reason in reasons.values() if reason is not None}):
        refused = [event_id for event_id, why in reasons.items() if why == reason]
        _cancel(connection, callback_id, _row.event_id.in_(refused), reason, now)
    if any(reasons.values()) and token is not None and token.channels is not None:
        unseen = sa.not_(bulk.among(connection, events.c.channel_id, sorted(token.channels)))
        head = line.limit(HEAD).cte()
        behind = (
            sa.select(_row.event_id)
            .join_from(deliveries, events, events.c.id == _row.event_id)
            .where(_row.callback_id == callback_id, _row.event_id.in_(sa.select(head)), unseen)
            .with_for_update(skip_locked=True, of=deliveries)
        )
        these = _row.event_id.in_(sa.select(behind.cte()))
        _cancel(connection, callback_id, these, CancelReason.CHANNEL_REMOVED, now)
    return [one for one in leased if reasons[one.event_id] is None]


def _cancel(
    connection: Connection,
    callback_id: CallbackId,
    these: sa.ColumnElement[bool],
    reason: CancelReason,
    now: UnixMs,
) -> None:
    cancelled = connection.execute(
        sa.update(deliveries)
        .where(_row.callback_id == callback_id, these, delivery_moves.permitted(Move.WITHDRAWN))
        .values(delivery_moves.columns(Move.WITHDRAWN, reason))
        .returning(_row.event_id, _row.callback_id, _row.type)
    )
    count_ended(connection, DeliveryState.CANCELLED, [Ended(*row) for row in cancelled], now)


def _lease_first(
    connection: Connection,
    callback_id: CallbackId,
    line: EventIds,
    most: int,
    now: UnixMs,
    lease_ms: int,
) -> list[Delivery]:
    first = line.limit(most).with_for_update(skip_locked=True)
    leased = (
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
    rows = read(connection, callback_id, list(connection.scalars(leased)))
    tried = [delivery(row, Trigger.PROBE) for row in rows]
    return sorted(tried, key=lambda one: (one.queued_at, one.sequence))


def _age_ms(horizon_ms: int, now: UnixMs) -> sa.ColumnElement[int]:
    """Return after how long deliveries of a failing callback are given up.

    A callback that answers its probe with `Retry-After: 86400` is not probed for a day. With a
    short schedule alone, what has waited through that would be given up because it obeyed.
    """
    by_obeying, by_schedule = (
        sa.literal(ms, sa.BigInteger)
        for ms in (throttle_horizon(horizon_ms * _MS) // _MS, horizon_ms)
    )
    return sa.case((callback_throttling.is_obeyed(now), by_obeying), else_=by_schedule)


def _is_time(now: UnixMs) -> sa.ColumnElement[bool]:
    """Return the condition that a callback's next probe is due, or was set by a clock that was
    ahead.
    """
    return sa.or_(_owner.probe_at <= now, _owner.probe_at > now + PLAUSIBLE_PAUSE_MS)


def _may_probe(now: UnixMs, held_before: HeldBefore) -> sa.ColumnElement[bool]:
    """Return the condition that a delivery may be a probe.

    A poisoned one may not: it would bring down one dispatcher after the other. It is given up when
    it is leased as a due row, or by its age.
    """
    return sa.and_(aging.is_free(now), is_not_kept(held_before), _row.lease_count < MAX_LEASES)
