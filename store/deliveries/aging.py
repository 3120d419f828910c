"""Deliveries that waited for too long are given up: of callbacks that fail, or that refuse all they
get.

Called by `store.deliveries.probes` and `store.tokens.throttling`, each of which says of whom.
"""

from collections import Counter
from typing import Any

import sqlalchemy as sa

from schemas.deliveries.deliveries import DeliveryState, Move, Outcome, next_state
from schemas.events.types import EventType
from schemas.ids import CallbackId, EventId
from schemas.times import UnixMs
from store.deliveries.held import is_not_kept
from store.engine.database import Connection
from store.tables import callbacks, deliveries
from store.tokens import alerts

SLICE = 1000
"""Deliveries given up in a transaction. More: whoever settles one of them waits longer. Fewer: a
great backlog takes longer.
"""

HeldBefore = sa.ColumnElement[Any] | int | None
AgeMs = sa.ColumnElement[int] | int

_row, _owner = deliveries.c, callbacks.c


def exhaust(
    connection: Connection,
    whose: sa.Select[Any],
    callback_id: CallbackId,
    age_ms: AgeMs,
    reason: str,
    now: UnixMs,
) -> Counter[EventType]:
    """Give up what has waited for so long, at most a slice, if the callback is one of `whose` now.
    Returns how many, by type.
    """
    unalerted = alerts.lock_unalerted(connection, [callback_id], now)
    age = sa.literal(age_ms, sa.BigInteger) if isinstance(age_ms, int) else age_ms
    owner = connection.execute(
        whose.add_columns(_owner.held_before, age.label("age_ms")).where(_owner.id == callback_id)
    ).one_or_none()
    if owner is None:
        return Counter()
    chosen = (
        sa.select(_row.event_id)
        .where(_row.callback_id == callback_id, is_aged(owner.age_ms, now, owner.held_before))
        .order_by(_row.queued_at)
        .limit(SLICE)
        .with_for_update(skip_locked=True)
    )
    settled = {
        "state": next_state(DeliveryState.PENDING, Move.GAVE_UP).value,
        "reason": reason,
        "due_at": None,
        "leased": False,
    }
    statement = (
        sa.update(deliveries)
        .where(_row.callback_id == callback_id, _row.event_id.in_(sa.select(chosen.cte())))
        .values(settled)
        .returning(_row.event_id, _row.type)
    )
    rows = connection.execute(statement).all()
    alerts.alert_exhausted(
        connection,
        [alerts.Exhausted(EventId(row.event_id), callback_id, reason) for row in rows[:1]],
        unalerted,
        now,
    )
    return Counter(EventType(row.type) for row in rows)


def is_aged(age_ms: AgeMs, now: UnixMs, held_before: HeldBefore) -> sa.ColumnElement[bool]:
    """Both are its callback's: by columns of a joined one in a look at many, values for one of
    them.
    """
    return sa.and_(
        _row.queued_at <= now - age_ms,
        is_free(now, or_put_off=True),
        is_not_kept(_row, held_before),
    )


def is_free(now: UnixMs, *, or_put_off: bool = False) -> sa.ColumnElement[bool]:
    """Whether nobody has it in hand, it does not wait for another status, and its receiver did not
    put it off.
    """
    due = _row.due_at <= now
    throttled = sa.func.coalesce(_row.outcome, "") == Outcome.THROTTLED.value
    put_off = sa.false() if or_put_off else throttled
    return sa.and_(
        _row.due_at.is_not(None),
        sa.or_(due, sa.not_(sa.or_(_row.leased, _row.awaits_status, put_off))),
    )
