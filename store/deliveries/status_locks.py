"""Status locks: of a callback and a message, one status is sent at a time, and none below one that
may have arrived (docs/invariants.md#statuses-never-go-backwards).

A lock is held by one delivery under one lease, or by one requested attempt. It is acquired by one
upsert, and freed in the transaction that ends the lease (`store.deliveries.status_release`). Rows
are locked in this order: the caller's own deliveries, status locks by key, and then other
deliveries only as far as no other transaction has them (SKIP LOCKED). So no transactions wait in a
circle. Called by `store.deliveries.status_gate` before anything is sent.
"""

from collections import deque
from collections.abc import Collection, Iterable, Sequence

import msgspec
import sqlalchemy as sa

from schemas.deliveries.deliveries import Delivery
from schemas.events.status_order import NO_RANK, rank
from schemas.ids import CallbackId
from schemas.times import UnixMs
from store.engine import bulk
from store.engine.database import Connection
from store.engine.paging import Row
from store.tables import deliveries, status_locks

SAFETY_NET_MS = 300_000
"""When a status is checked again that waits for a higher one, which was sent and not answered, and
that no settlement wakes: what ends deliveries by the thousand wakes none. Shorter: the same rows
are read more often for the days that this may take.
"""

LockKey = tuple[str, str]
"""A callback's id and a message's."""

Status = tuple[CallbackId, str, str]
"""A callback's id, a message's, and the status of the message."""


class LockResult(msgspec.Struct, frozen=True):
    """What the locks answered. Each delivery that asked is in exactly one of the lists."""

    go: list[Delivery]
    """Deliveries that hold their lock and may be sent."""
    wait: list[tuple[Delivery, int]]
    """Deliveries that have to wait, and for how many milliseconds."""
    overtaken: list[Delivery]
    """Deliveries that may never be sent."""


_new = sa.table("excluded", *(sa.column(column.name) for column in status_locks.c)).c
_old = status_locks.c


def greater(left: sa.ColumnElement[int], right: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
    """Return the greater of two columns: GREATEST exists only on PostgreSQL, MAX of two values only
    on SQLite.
    """
    return sa.case((left > right, left), else_=right)


_unless_held = sa.or_(_old.holder.is_(None), _old.held_until <= _new.touched_at)
_sent = sa.case(
    (_old.holder.is_not(None), greater(_old.sent_rank, _old.holder_rank)), else_=_old.sent_rank
)
_may = sa.and_(_unless_held, _new.holder_rank >= _sent)
_ACQUIRE = bulk.Upsert(
    ("touched_at",),
    computed={
        **{
            name: sa.case((_may, _new[name]), else_=_old[name])
            for name in ("holder", "holder_rank", "held_until")
        },
        "sent_rank": sa.case((_may, _sent), else_=_old.sent_rank),
        "awaited": sa.or_(_old.awaited, _new.awaited, sa.not_(_may)),
    },
)


def acquire(
    connection: Connection, candidates: Iterable[Delivery], now: UnixMs, lease_ms: int
) -> LockResult:
    """Acquire the locks of these deliveries until `now + lease_ms`, as far as they may be sent.

    Of several deliveries for one lock the lowest status goes first.
    """
    result = LockResult([], [], [])
    behind: list[Delivery] = []
    queues = _queues(candidates)
    while queues:
        rows = [_wanted_row(queues[key], now, lease_ms) for key in sorted(queues)]
        for row in bulk.upsert(connection, status_locks, rows, _ACQUIRE):
            _judge(row, queues[row.callback_id, row.message_id], now, result, behind)
        queues = {key: queue for key, queue in queues.items() if queue}
    if behind:
        _judge_behind(connection, behind, result)
    return result


def overtaken_among(connection: Connection, statuses: Collection[Status]) -> set[Status]:
    """Return those of `statuses` that are below one that was sent already: an attempt of them would
    never be made.
    """
    highest = {
        key: max(row.sent_rank, row.done_rank) for key, row in _locks(connection, statuses).items()
    }
    return {status for status in statuses if rank(status[2]) < highest.get(status[:2], NO_RANK)}


def free_among(connection: Connection, statuses: Collection[Status], now: UnixMs) -> set[Status]:
    """Return those of `statuses` whose lock seems free for them. This only reads: nothing is locked
    or guaranteed.
    """
    known = _locks(connection, statuses)
    return {
        status
        for status in statuses
        if (row := known.get(status[:2])) is None or _seems_free(row, rank(status[2]), now)
    }


def void_leases(connection: Connection, now: UnixMs) -> None:
    """End the leases of all locks, whose holders are gone. What a holder was about to send it may
    have sent.
    """
    connection.execute(
        sa.update(status_locks)
        .where(_old.holder.is_not(None), _old.held_until > now)
        .values(held_until=now)
    )


def lock_key(delivery: Delivery) -> LockKey:
    """Return the key of the lock of a delivery that has a status."""
    assert delivery.message_id is not None
    return delivery.callback_id, delivery.message_id


def rank_of(delivery: Delivery) -> int:
    """Return the rank of the status of a delivery that has one."""
    assert delivery.status is not None
    return rank(delivery.status)


def lock_row(
    delivery: Delivery,
    now: UnixMs,
    *,
    held_until: int,
    sent_rank: int = NO_RANK,
    done_rank: int = NO_RANK,
    awaited: bool = False,
) -> bulk.Row:
    """Return the row of a delivery's lock, as it is inserted or merged into the stored one."""
    callback_id, message_id = lock_key(delivery)
    return {
        "callback_id": callback_id,
        "message_id": message_id,
        "holder": _holder(delivery),
        "holder_rank": rank_of(delivery),
        "held_until": held_until,
        "sent_rank": sent_rank,
        "done_rank": done_rank,
        "awaited": awaited,
        "touched_at": now,
    }


def is_held(row: Row, now: UnixMs) -> bool:
    """Whether a stored lock is held, by a lease that has not ended."""
    return row.holder is not None and row.held_until > now


def _holder(delivery: Delivery) -> str:
    """Name the lease, not only the event: two deliveries of one event must not free each other's
    lock.
    """
    return delivery.attempt_id or f"{delivery.event_id}:{delivery.lease}"


def _locks(connection: Connection, statuses: Collection[Status]) -> dict[LockKey, Row]:
    keys = sorted({(callback_id, message_id) for callback_id, message_id, _ in statuses})
    stored = sa.select(status_locks).where(sa.tuple_(_old.callback_id, _old.message_id).in_(keys))
    return {(row.callback_id, row.message_id): row for row in connection.execute(stored)}


def _queues(candidates: Iterable[Delivery]) -> dict[LockKey, deque[Delivery]]:
    queues: dict[LockKey, deque[Delivery]] = {}
    ranked = (delivery for delivery in candidates if delivery.status is not None)
    for delivery in sorted(ranked, key=rank_of):
        queues.setdefault(lock_key(delivery), deque()).append(delivery)
    return queues


def _wanted_row(queue: Sequence[Delivery], now: UnixMs, lease_ms: int) -> bulk.Row:
    return lock_row(queue[0], now, held_until=now + lease_ms, awaited=len(queue) > 1)


def _judge(
    row: Row, queue: deque[Delivery], now: UnixMs, result: LockResult, behind: list[Delivery]
) -> None:
    """Remove from the queue the deliveries that are decided by this row of their lock, as it is
    after the first of them asked.
    """
    first = queue.popleft()
    if row.holder == _holder(first):
        result.go.append(first)
    elif rank_of(first) < row.done_rank:
        result.overtaken.append(first)
        return  # the next delivery, whose status is higher, asks for itself
    elif is_held(row, now):
        result.wait.append((first, row.held_until - now))
    else:
        behind.append(first)
        return
    result.wait.extend((delivery, row.held_until - now) for delivery in queue)
    queue.clear()


def _seems_free(row: Row, wanted_rank: int, now: UnixMs) -> bool:
    """Whether `_ACQUIRE` would give the lock to a status of this rank."""
    sent = row.sent_rank if row.holder is None else max(row.sent_rank, row.holder_rank)
    return not is_held(row, now) and wanted_rank >= sent


def _judge_behind(connection: Connection, behind: Sequence[Delivery], result: LockResult) -> None:
    """Decide about deliveries below a status that was sent. They wait while a higher one is open;
    otherwise they are never sent.
    """
    keys = sorted({lock_key(delivery) for delivery in behind})
    of_them = sa.tuple_(deliveries.c.callback_id, deliveries.c.message_id).in_(keys)
    still_open = sa.select(
        deliveries.c.callback_id, deliveries.c.message_id, deliveries.c.status
    ).where(of_them, deliveries.c.due_at.is_not(None))
    highest_open: dict[LockKey, int] = {}
    for callback_id, message_id, status in connection.execute(still_open):
        key = (callback_id, message_id)
        highest_open[key] = max(rank(status), highest_open.get(key, NO_RANK))
    for delivery in behind:
        highest = highest_open.get(lock_key(delivery), NO_RANK)
        if not delivery.is_requested and rank_of(delivery) < highest:
            result.wait.append((delivery, SAFETY_NET_MS))
        else:
            result.overtaken.append(delivery)
