"""Releasing status locks: what was sent and what ended is remembered, and the next status of the
message may go (docs/invariants.md#statuses-never-go-backwards).

Called by `store.deliveries.settlement`, in the transaction that ends the leases.
`store.deliveries.status_locks` acquires the locks.
"""

from collections.abc import Iterable

import msgspec
import sqlalchemy as sa

from schemas.deliveries.deliveries import SETTLED, DeliveryState, Move
from schemas.deliveries.settlement import Settlement
from schemas.events.status_order import NO_RANK, OVERTAKEN, rank
from schemas.events.types import EventType
from schemas.times import UnixMs
from store.deliveries.status_locks import LockKey, greater, is_held, lock_key, lock_row, rank_of
from store.engine import bulk
from store.engine.database import Connection
from store.engine.paging import Row
from store.figures.counting import Ended, count_ended
from store.tables import deliveries, delivery_moves, status_locks


class Freed(msgspec.Struct, frozen=True):
    """What the end of leases meant for the statuses that waited."""

    overtaken: int = 0
    """How many of them were superseded."""
    woken: bool = False
    """Whether another one may go now."""


_excluded = sa.table(
    "excluded",
    *(sa.column(name) for name in ("holder", "sent_rank", "done_rank")),
).c
_stored = status_locks.c
_RELEASE = bulk.Upsert(
    ("touched_at",),
    computed={
        "holder": sa.case((_stored.holder == _excluded.holder, sa.null()), else_=_stored.holder),
        "sent_rank": greater(_stored.sent_rank, _excluded.sent_rank),
        "done_rank": greater(_stored.done_rank, _excluded.done_rank),
    },
)
_this = sa.and_(
    deliveries.c.event_id == sa.bindparam("event"),
    deliveries.c.callback_id == sa.bindparam("callback"),
)
_SUPERSEDE = (
    sa.update(deliveries)
    .where(_this, delivery_moves.permitted(Move.OVERTAKEN))
    .values({**delivery_moves.columns(Move.OVERTAKEN, OVERTAKEN), "awaits_status": False})
)
_HASTEN = (
    sa.update(deliveries)
    .where(_this)
    .values(due_at=sa.func.coalesce(deliveries.c.queued_at, deliveries.c.created_at))
)


def release(connection: Connection, settlements: Iterable[Settlement], now: UnixMs) -> Freed:
    """Remember what was sent and what ended, free the locks of the leases that ended, and let the
    next statuses go.
    """
    freed: dict[LockKey, Row] = {}
    for rows in _rounds(settlements, now):
        ordered = [rows[key] for key in sorted(rows)]
        for row in bulk.upsert(connection, status_locks, ordered, _RELEASE):
            freed[row.callback_id, row.message_id] = row
    awaited = {key: row for key, row in freed.items() if row.awaited}
    return _release_next(connection, awaited, now) if awaited else Freed()


def _rounds(settlements: Iterable[Settlement], now: UnixMs) -> list[dict[LockKey, bulk.Row]]:
    """Return the rows to write, in rounds that hold each lock once.

    A batch may hold the outcome of an old lease next to that of a new one, and a statement may
    touch a row only once.
    """
    rounds: list[dict[LockKey, bulk.Row]] = []
    for settlement in settlements:
        if settlement.delivery.status is None or (
            settlement.leased
            or settlement.awaits_status
            or settlement.state is DeliveryState.SUPERSEDED
        ):
            continue
        key = lock_key(settlement.delivery)
        first_without = next((rows for rows in rounds if key not in rows), None)
        if first_without is None:
            rounds.append(first_without := {})
        first_without[key] = _ending(settlement, now)
    return rounds


def _ending(settlement: Settlement, now: UnixMs) -> bulk.Row:
    """Return the row of a lock whose lease ends.

    A delivery that was given back unsent leaves no trace. An end counts only after something was
    sent, by this attempt or an earlier one.
    """
    delivery = settlement.delivery
    delivered = settlement.state is DeliveryState.DELIVERED
    sent = delivered or settlement.attempt is not None or settlement.failures > delivery.failures
    done = delivered or (settlement.state in SETTLED and (sent or delivery.number > 1))
    own = rank_of(delivery)
    return lock_row(
        delivery,
        now,
        held_until=now,
        sent_rank=own if sent or done else NO_RANK,
        done_rank=own if done else NO_RANK,
    )


def _release_next(connection: Connection, locks: dict[LockKey, Row], now: UnixMs) -> Freed:
    """Supersede waiting statuses that were overtaken, and make the lowest eligible one due now.

    A delivery that is made due still has to acquire the lock like any other.
    """
    waiting = _waiting(connection, locks)
    overtaken = [
        row
        for row in waiting
        if rank(row.status) < locks[row.callback_id, row.message_id].done_rank
    ]
    following: dict[LockKey, Row] = {}
    for row in sorted(waiting, key=lambda row: (rank(row.status), row.event_id)):
        key = (row.callback_id, row.message_id)
        if not is_held(locks[key], now) and rank(row.status) >= locks[key].sent_rank:
            following.setdefault(key, row)
    for statement, rows in ((_SUPERSEDE, overtaken), (_HASTEN, list(following.values()))):
        if rows:
            connection.execute(
                statement, [{"event": row.event_id, "callback": row.callback_id} for row in rows]
            )
    if overtaken:
        ended = [_ended(row) for row in overtaken]
        count_ended(connection, DeliveryState.SUPERSEDED, ended, now)
    return Freed(len(overtaken), bool(following))


def _ended(row: Row) -> Ended:
    return Ended(row.event_id, row.callback_id, EventType.MESSAGE_STATUS)


def _waiting(connection: Connection, locks: Iterable[LockKey]) -> list[Row]:
    """Lock and return the deliveries that wait for these locks, as far as they are free."""
    of_them = sa.tuple_(deliveries.c.callback_id, deliveries.c.message_id).in_(sorted(locks))
    columns = (
        deliveries.c.event_id,
        deliveries.c.callback_id,
        deliveries.c.message_id,
        deliveries.c.status,
    )
    waiting = sa.select(*columns).where(
        of_them,
        deliveries.c.awaits_status,
        sa.not_(deliveries.c.leased),
        deliveries.c.due_at.is_not(None),
    )
    return list(connection.execute(waiting.with_for_update(skip_locked=True)).all())
