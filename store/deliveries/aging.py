"""Giving up deliveries that waited for too long: those of callbacks that fail, or that refuse
everything.

Called by `store.deliveries.probes` and `store.deliveries.refusing`, which say which callbacks.
"""

from collections import Counter
from collections.abc import Sequence

import sqlalchemy as sa

from schemas.deliveries.deliveries import DeliveryState, Move, Outcome
from schemas.events.types import EventType
from schemas.ids import CallbackId, EventId
from schemas.times import UnixMs
from store.deliveries.held import HeldBefore, is_not_kept
from store.engine.bulk import once
from store.engine.database import Connection
from store.engine.paging import Row
from store.figures.counting import Ended, count_ended
from store.tables import callbacks, deliveries, delivery_moves
from store.tokens import alerts

SLICE = 1000
"""Deliveries given up in a transaction. More: concurrent settlements of these rows wait longer.
Fewer: giving up a great backlog takes longer.
"""

AgeMs = sa.ColumnElement[int] | int
"""An age in milliseconds: an expression over the callback, or a value."""

_row, _owner = deliveries.c, callbacks.c


def exhaust(
    connection: Connection,
    callback_ids: sa.Select[str],
    callback_id: CallbackId,
    age_ms: AgeMs,
    *,
    reason: str,
    now: UnixMs,
) -> Counter[EventType]:
    """Give up what has waited for `age_ms`, at most a slice, if `callback_ids` gives the callback.

    Return how many were given up, by type.
    """
    unalerted = alerts.lock_unalerted(connection, [callback_id], now)
    age = sa.literal(age_ms, sa.BigInteger) if isinstance(age_ms, int) else age_ms
    owner = connection.execute(
        callback_ids.add_columns(_owner.held_before, age.label("age_ms")).where(
            _owner.id == callback_id
        )
    ).one_or_none()
    if owner is None:
        return Counter()
    aged = is_aged(owner.age_ms, now, owner.held_before)
    rows = _give_up(connection, callback_id, aged, reason)
    count_ended(
        connection,
        DeliveryState.EXHAUSTED,
        [Ended(row.event_id, callback_id, row.type) for row in rows],
        now,
    )
    alerts.alert_exhausted(
        connection,
        [alerts.Exhausted(EventId(row.event_id), callback_id, reason) for row in rows[:1]],
        unalerted,
        now,
    )
    return Counter(EventType(row.type) for row in rows)


def _give_up(
    connection: Connection, callback_id: CallbackId, aged: sa.ColumnElement[bool], reason: str
) -> Sequence[Row]:
    oldest = (
        sa.select(_row.event_id)
        .where(_row.callback_id == callback_id, aged)
        .order_by(_row.queued_at)
        .limit(SLICE)
        .with_for_update(skip_locked=True)
    )
    statement = (
        sa.update(deliveries)
        .where(_row.callback_id == callback_id, _row.event_id.in_(once(oldest)))
        .where(delivery_moves.permitted(Move.GAVE_UP))
        .values(delivery_moves.columns(Move.GAVE_UP, reason))
        .returning(_row.event_id, _row.type)
    )
    return connection.execute(statement).all()


def is_aged(age_ms: AgeMs, now: UnixMs, held_before: HeldBefore) -> sa.ColumnElement[bool]:
    """Return the condition that a delivery has waited for `age_ms`.

    `age_ms` and `held_before` are its callback's: columns of a joined one in a query over many
    callbacks, values in a query of one.
    """
    return sa.and_(
        _row.queued_at <= now - age_ms,
        is_free(now, or_put_off=True),
        is_not_kept(held_before),
    )


def is_free(now: UnixMs, *, or_put_off: bool = False) -> sa.ColumnElement[bool]:
    """Return the condition that a delivery is open, leased by no dispatcher and does not wait for
    another status. Unless `or_put_off`, its receiver did not put it off either.
    """
    due = _row.due_at <= now
    throttled = sa.func.coalesce(_row.outcome, "") == Outcome.THROTTLED.value
    put_off = sa.false() if or_put_off else throttled
    return sa.and_(
        _row.due_at.is_not(None),
        sa.or_(due, sa.not_(sa.or_(_row.leased, _row.awaits_status, put_off))),
    )
