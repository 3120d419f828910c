"""Places: of a callback and a message, one status is sent at a time, and none below one that may
have arrived (docs/invariants.md#statuses-never-go-backwards).

A place is held by one delivery under one lease, or by one attempt that was asked for. It is taken
by one upsert and freed in the transaction that ends the lease. Locks are taken in the order: the
caller's own deliveries, places by key, and then other deliveries only as far as nobody else has
them (SKIP LOCKED); so nobody waits in a circle. Called by `store.deliveries.status_gate`, before
anything is sent, and by `store.deliveries.settlement`, after.
"""

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Row

from schemas.deliveries.deliveries import (
    SETTLED,
    Delivery,
    DeliveryState,
    Move,
    Settlement,
    next_state,
)
from schemas.events.status_order import NO_RANK, OVERTAKEN, rank
from schemas.ids import CallbackId
from schemas.times import UnixMs
from store.engine import bulk
from store.engine.database import Connection
from store.tables import deliveries, status_locks

SAFETY_NET_MS = 300_000
"""When a status that waits for a higher one, which was sent and not answered, is looked at even if
nobody wakes it: what ends deliveries by the thousand wakes nobody. Shorter: the same rows are
looked at more often for the days that this may take.
"""

Place = tuple[str, str]
"""A callback's id and a message's."""


class GateResult(msgspec.Struct, frozen=True):
    """What a place says to those that ask for it, each in exactly one: go, wait (for so many ms),
    or never.
    """

    go: list[Delivery]
    wait: list[tuple[Delivery, int]]
    overtaken: list[Delivery]


class Freed(msgspec.Struct, frozen=True):
    """How many that waited may never go, and whether another may go now."""

    overtaken: int = 0
    woken: bool = False


_new: Any = sa.table("excluded", *(sa.column(column.name) for column in status_locks.c)).c
_old: Any = status_locks.c


def _higher(one: Any, other: Any) -> Any:
    """GREATEST is PostgreSQL's, MAX of two is SQLite's."""
    return sa.case((one > other, one), else_=other)


_unless_held = sa.or_(_old.holder.is_(None), _old.held_until <= _new.touched_at)
_sent = sa.case(
    (_old.holder.is_not(None), _higher(_old.sent_rank, _old.holder_rank)), else_=_old.sent_rank
)
_may = sa.and_(_unless_held, _new.holder_rank >= _sent)
_TAKE = bulk.Upsert(
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
_FREE = bulk.Upsert(
    ("touched_at",),
    computed={
        "holder": sa.case((_old.holder == _new.holder, sa.null()), else_=_old.holder),
        "sent_rank": _higher(_old.sent_rank, _new.sent_rank),
        "done_rank": _higher(_old.done_rank, _new.done_rank),
    },
)
_this = sa.and_(
    deliveries.c.event_id == sa.bindparam("event"),
    deliveries.c.callback_id == sa.bindparam("callback"),
)
_END = (
    sa.update(deliveries)
    .where(_this)
    .values(
        state=next_state(DeliveryState.PENDING, Move.OVERTAKEN).value,
        reason=OVERTAKEN,
        due_at=None,
        awaits_status=False,
    )
)
_HASTEN = (
    sa.update(deliveries)
    .where(_this)
    .values(due_at=sa.func.coalesce(deliveries.c.queued_at, deliveries.c.created_at))
)


def acquire(
    connection: Connection, candidates: Iterable[Delivery], now: UnixMs, lease_ms: int
) -> GateResult:
    """Who of these may be sent now, and holds its place until `now + lease_ms`. Of several for one
    place the lowest goes first.
    """
    standing = GateResult([], [], [])
    behind: list[Delivery] = []
    queues = _queues(candidates)
    while queues:
        wishes = [_wish(queues[place], now, lease_ms) for place in sorted(queues)]
        for row in bulk.upsert(connection, status_locks, wishes, _TAKE):
            _judge(row, queues[row.callback_id, row.message_id], now, standing, behind)
        queues = {place: queue for place, queue in queues.items() if queue}
    if behind:
        _judge_behind(connection, behind, standing)
    return standing


def release(connection: Connection, settlements: Iterable[Settlement], now: UnixMs) -> Freed:
    """Remember what was sent and what ended, free the places of those whose lease ended, however,
    and let the next ones go.
    """
    rounds: list[dict[Place, bulk.Row]] = []
    for one in settlements:
        if one.delivery.status is not None and not (
            one.leased or one.awaits_status or one.state is DeliveryState.SUPERSEDED
        ):
            place = _place(one.delivery)
            following = next((rows for rows in rounds if place not in rows), None)
            if (
                following is None
            ):  # an old lease's outcome beside that of a new one: a row is touched once a statement
                rounds.append(following := {})
            following[place] = _ending(one, now)
    freed: dict[Place, Row[Any]] = {}
    for rows in rounds:
        for row in bulk.upsert(
            connection, status_locks, [rows[place] for place in sorted(rows)], _FREE
        ):
            freed[row.callback_id, row.message_id] = row
    awaited = {place: row for place, row in freed.items() if row.awaited}
    return _let_follow(connection, awaited, now) if awaited else Freed()


def overtaken_among(
    connection: Connection, statuses: Collection[tuple[CallbackId, str, str]]
) -> set[tuple[CallbackId, str, str]]:
    """Those (callback, message, status) below one that was sent already: asking for an attempt of
    them is in vain.
    """
    wanted = sorted({(callback_id, message_id) for callback_id, message_id, _ in statuses})
    chosen = sa.select(status_locks).where(sa.tuple_(_old.callback_id, _old.message_id).in_(wanted))
    highest = {
        (row.callback_id, row.message_id): max(row.sent_rank, row.done_rank)
        for row in connection.execute(chosen)
    }
    return {one for one in statuses if rank(one[2]) < highest.get(one[:2], NO_RANK)}


def free_among(
    connection: Connection, statuses: Collection[tuple[CallbackId, str, str]], now: UnixMs
) -> set[tuple[CallbackId, str, str]]:
    """Those (callback, message, status) whose place seems free for them. Only a look: it locks
    nothing and promises nothing.
    """
    wanted = sorted({(callback_id, message_id) for callback_id, message_id, _ in statuses})
    chosen = sa.select(status_locks).where(sa.tuple_(_old.callback_id, _old.message_id).in_(wanted))
    known = {(row.callback_id, row.message_id): row for row in connection.execute(chosen)}
    return {
        one
        for one in statuses
        if (row := known.get(one[:2])) is None or _seems_free(row, rank(one[2]), now)
    }


def void_leases(connection: Connection, now: UnixMs) -> None:
    """Whoever held a place is gone. What it was about to send it may have sent."""
    connection.execute(
        sa.update(status_locks)
        .where(_old.holder.is_not(None), _old.held_until > now)
        .values(held_until=now)
    )


def _place(delivery: Delivery) -> Place:
    assert delivery.message_id is not None
    return delivery.callback_id, delivery.message_id


def _rank(delivery: Delivery) -> int:
    assert delivery.status is not None
    return rank(delivery.status)


def _holder(delivery: Delivery) -> str:
    """Names the lease, not only the event: two of one event must not free each other's place."""
    return delivery.attempt_id or f"{delivery.event_id}:{delivery.lease}"


def _queues(candidates: Iterable[Delivery]) -> dict[Place, deque[Delivery]]:
    found: dict[Place, deque[Delivery]] = {}
    for one in sorted((one for one in candidates if one.status is not None), key=_rank):
        found.setdefault(_place(one), deque()).append(one)
    return found


def _wish(queue: Sequence[Delivery], now: UnixMs, lease_ms: int) -> bulk.Row:
    return _row(queue[0], now, held_until=now + lease_ms, awaited=len(queue) > 1)


def _ending(one: Settlement, now: UnixMs) -> bulk.Row:
    """What was given back unsent leaves no trace. An end counts only after something was sent, by
    this attempt or an earlier one.
    """
    delivered = one.state is DeliveryState.DELIVERED
    sent = delivered or one.attempt is not None or one.failures > one.delivery.failures
    done = delivered or (one.state in SETTLED and (sent or one.delivery.number > 1))
    own = _rank(one.delivery)
    return _row(
        one.delivery,
        now,
        held_until=now,
        sent_rank=own if sent or done else NO_RANK,
        done_rank=own if done else NO_RANK,
    )


def _row(
    delivery: Delivery,
    now: UnixMs,
    *,
    held_until: int,
    sent_rank: int = NO_RANK,
    done_rank: int = NO_RANK,
    awaited: bool = False,
) -> bulk.Row:
    callback_id, message_id = _place(delivery)
    return {
        "callback_id": callback_id,
        "message_id": message_id,
        "holder": _holder(delivery),
        "holder_rank": _rank(delivery),
        "held_until": held_until,
        "sent_rank": sent_rank,
        "done_rank": done_rank,
        "awaited": awaited,
        "touched_at": now,
    }


def _judge(
    row: Row[Any], queue: deque[Delivery], now: UnixMs, standing: GateResult, behind: list[Delivery]
) -> None:
    """Take off the queue those whose answer is in this row of their place, as it is after the first
    of them asked.
    """
    first = queue.popleft()
    if row.holder == _holder(first):
        standing.go.append(first)
    elif _rank(first) < row.done_rank:
        standing.overtaken.append(first)
        return  # the next one, which is higher, asks for itself
    elif _is_held(row, now):
        standing.wait.append((first, row.held_until - now))
    else:
        behind.append(first)
        return
    standing.wait.extend((one, row.held_until - now) for one in queue)
    queue.clear()


def _seems_free(row: Row[Any], wanted: int, now: UnixMs) -> bool:
    """As `_TAKE` would say."""
    sent = row.sent_rank if row.holder is None else max(row.sent_rank, row.holder_rank)
    return not _is_held(row, now) and wanted >= sent


def _is_held(row: Row[Any], now: UnixMs) -> bool:
    return row.holder is not None and row.held_until > now


def _judge_behind(connection: Connection, behind: Sequence[Delivery], standing: GateResult) -> None:
    """These are below one that was sent. It is over, or will be, when that one is: unless it is
    open, they never go.
    """
    wanted = sorted({_place(one) for one in behind})
    of_them = sa.tuple_(deliveries.c.callback_id, deliveries.c.message_id).in_(wanted)
    chosen = sa.select(
        deliveries.c.callback_id, deliveries.c.message_id, deliveries.c.status
    ).where(of_them, deliveries.c.due_at.is_not(None))
    highest_open: dict[Place, int] = {}
    for callback_id, message_id, status in connection.execute(chosen):
        place = (callback_id, message_id)
        highest_open[place] = max(rank(status), highest_open.get(place, NO_RANK))
    for one in behind:
        if not one.asked_for and _rank(one) < highest_open.get(_place(one), NO_RANK):
            standing.wait.append((one, SAFETY_NET_MS))
        else:
            standing.overtaken.append(one)


def _let_follow(connection: Connection, places: dict[Place, Row[Any]], now: UnixMs) -> Freed:
    """Of those that wait for these places, end the overtaken and hasten the lowest that may go.
    Waking only hastens: the one woken has to ask like everybody.
    """
    of_them = sa.tuple_(deliveries.c.callback_id, deliveries.c.message_id).in_(sorted(places))
    waiting = sa.and_(
        of_them,
        deliveries.c.awaits_status,
        sa.not_(deliveries.c.leased),
        deliveries.c.due_at.is_not(None),
    )
    columns = (
        deliveries.c.event_id,
        deliveries.c.callback_id,
        deliveries.c.message_id,
        deliveries.c.status,
    )
    found = connection.execute(
        sa.select(*columns).where(waiting).with_for_update(skip_locked=True)
    ).all()
    overtaken = [
        row for row in found if rank(row.status) < places[row.callback_id, row.message_id].done_rank
    ]
    following: dict[Place, Any] = {}
    for row in sorted(found, key=lambda row: (rank(row.status), row.event_id)):
        place = (row.callback_id, row.message_id)
        if not _is_held(places[place], now) and rank(row.status) >= places[place].sent_rank:
            following.setdefault(place, row)
    for statement, rows in ((_END, overtaken), (_HASTEN, list(following.values()))):
        if rows:
            connection.execute(
                statement, [{"event": row.event_id, "callback": row.callback_id} for row in rows]
            )
    return Freed(len(overtaken), bool(following))
