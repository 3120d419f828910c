"""Due rows: deliveries whose time has come, leased by any dispatcher that is free to send them
(docs/invariants.md#leases-carry-a-number).

They are found and leased by share, a callback's first attempts or its retries, along the index on
(callback, is_retry, due): a callback with a million due rows delays no other one's single row.
Called by the due poller, which knows which callbacks may be called at all.
"""

import math
import random
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from schemas.deliveries.deliveries import Delivery, DeliveryState, Move
from schemas.events.types import EventType
from schemas.ids import CallbackId, EventId
from schemas.times import UnixMs
from store.deliveries.rows import delivery, read
from store.engine.bulk import once
from store.engine.database import Connection
from store.engine.paging import Row
from store.engine.prepared import Prepared
from store.figures.counting import Ended, count_ended
from store.tables import deliveries, delivery_moves
from store.tokens import alerts

LOOK_AHEAD = 500
"""Rows of a share that are read at most, to find some that may go. More: leasing costs more where
most may not. Fewer: rows behind so many of a conversation that hangs wait longer.
"""

A_CONVERSATION = 4
"""Rows of one conversation that are leased at once at most: one is sent, the others wait behind it.
More: they are given back, if it hangs. Fewer: a conversation's backlog takes more transactions.
"""

MAX_LEASES = 20
"""After so many leases that ended without an outcome a delivery is given up: it brings down the
dispatcher that works on it (docs/invariants.md#poison-is-contained).
"""

POISON = f"poison: taken {MAX_LEASES} times without an outcome"
"""The reason of a delivery that is given up after MAX_LEASES."""

_CONTENDED = 3
"""How many times its limit is tried to lease: another dispatcher may have locked the first rows at
this moment.
"""


class Share(NamedTuple):
    """Rows of one callback that compete for the same slots."""

    callback_id: CallbackId
    is_retry: bool
    """False: the deliveries that were never attempted; true: the others."""


class LeaseRequest(msgspec.Struct, frozen=True):
    """What may be leased of a share."""

    limit: int
    """How many rows at most."""
    busy_conversations: Collection[str] = frozenset()
    """Conversations of which no row is leased."""
    held_before: UnixMs | None = None
    """Rows whose age counts from before this moment are not leased."""


class LeasedRows(msgspec.Struct, frozen=True):
    """What was leased, and what is to be given up."""

    deliveries: list[Delivery]
    """Deliveries that the caller has leased."""
    poisoned: dict[CallbackId, list[str]]
    """Events by callback whose deliveries are to be given up."""


class _Lease(NamedTuple):
    now: UnixMs
    length_ms: int
    lapsed: bool


def shares_with_due(connection: Connection, now: UnixMs) -> list[Share]:
    """Return the shares that have at least one row due.

    The query skips through the index: its cost grows with callbacks, not with rows.
    """
    rows = _walk.run(connection, {"now": now})
    return [
        Share(CallbackId(row[0]), is_retry)
        for row in rows
        for is_retry in (False, True)
        if row[1 + is_retry]
    ]


def lease(
    connection: Connection,
    requests: Mapping[Share, LeaseRequest],
    now: UnixMs,
    lease_ms: int,
    *,
    lapsed: bool,
    most: int,
    until_s: float = math.inf,
    shuffle: Callable[[list[Share]], None] = random.shuffle,
) -> LeasedRows:
    """Lease the oldest rows of each share until `now + lease_ms`, as many as requested.

    In sum they fill at most `most` of the capacity. At `until_s`, monotonic, no further share is
    read. The order of shares is random, so that none is always last. With `lapsed` false, rows
    whose lease ran out are left alone: their holder may be about to write the outcome.
    """
    leased = LeasedRows([], {})
    order = list(requests)
    shuffle(order)
    for share in order:
        left = most - sum(one.weight for one in leased.deliveries)
        if left <= 0:
            break
        request = requests[share]
        limit = min(request.limit, left)
        _lease_share(connection, share, request, limit, _Lease(now, lease_ms, lapsed), leased)
        if time.monotonic() >= until_s:
            break
    return leased


def pick(rows: Sequence[Row], request: LeaseRequest) -> list[str]:
    """Return the events of those rows that may go, in their order."""
    picked: list[str] = []
    used = Counter(dict.fromkeys(request.busy_conversations, A_CONVERSATION))
    for row in rows:
        if request.held_before is not None and row.queued_at < request.held_before:
            continue
        if used[row.conversation_id] < A_CONVERSATION:
            used[row.conversation_id] += 1
            picked.append(row.event_id)
    return picked


def give_up(
    connection: Connection, callback_id: CallbackId, poisoned: Sequence[str], now: UnixMs
) -> Counter[EventType]:
    """Give up deliveries that `lease` found poisoned, unless an outcome was written meanwhile.

    Return how many were given up, by type. Not to be called in the transaction that leases: this
    locks the callback, and callbacks are locked before deliveries (`store.engine.bulk`).
    """
    unalerted = alerts.lock_unalerted(connection, [callback_id], now)
    row = deliveries.c
    still_poisoned = sa.select(row.event_id).where(
        _still_due(callback_id, poisoned, now), row.lease_count >= MAX_LEASES
    )
    statement = (
        sa.update(deliveries)
        .where(
            row.callback_id == callback_id,
            row.event_id.in_(once(still_poisoned.with_for_update(skip_locked=True))),
            delivery_moves.permitted(Move.GAVE_UP),
        )
        .values(delivery_moves.columns(Move.GAVE_UP, POISON))
        .returning(row.event_id, row.type)
    )
    given_up = connection.execute(statement).all()
    ended = [Ended(one.event_id, callback_id, one.type) for one in given_up]
    count_ended(connection, DeliveryState.EXHAUSTED, ended, now)
    exhausted = [alerts.Exhausted(EventId(one.event_id), callback_id, POISON) for one in given_up]
    alerts.alert_exhausted(connection, exhausted, unalerted, now)
    return Counter(EventType(one.type) for one in given_up)


def _lease_share(
    connection: Connection,
    share: Share,
    request: LeaseRequest,
    limit: int,
    lease: _Lease,
    leased: LeasedRows,
) -> None:
    """Read a few rows first, and more only when most of those may not go."""
    for count in (_CONTENDED * limit, LOOK_AHEAD):
        rows = _oldest(connection, share, lease.now, count, lapsed=lease.lapsed)
        poisoned = [row.event_id for row in rows if row.lease_count >= MAX_LEASES]
        wanted = pick([row for row in rows if row.lease_count < MAX_LEASES], request)
        if len(wanted) >= limit or len(rows) < count:
            break
    if poisoned:
        leased.poisoned.setdefault(share.callback_id, []).extend(poisoned)
    if wanted:
        leased.deliveries.extend(
            _lease_rows(connection, share, wanted[: _CONTENDED * limit], limit, lease)
        )


def _oldest(
    connection: Connection, share: Share, now: UnixMs, count: int, *, lapsed: bool
) -> Sequence[Row]:
    row = deliveries.c
    due = sa.select(row.event_id, row.conversation_id, row.queued_at, row.lease_count).where(
        _due_in(share, now)
    )
    if not lapsed:
        due = due.where(row.leased.is_(False))
    return connection.execute(due.order_by(row.due_at, row.sequence).limit(count)).all()


def _lease_rows(
    connection: Connection, share: Share, event_ids: Sequence[str], limit: int, lease: _Lease
) -> list[Delivery]:
    row = deliveries.c
    still_due = (
        sa.select(row.event_id)
        .where(_still_due(share.callback_id, event_ids, lease.now))
        .order_by(row.due_at, row.sequence)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    statement = (
        sa.update(deliveries)
        .where(row.callback_id == share.callback_id, row.event_id.in_(once(still_due)))
        .values(
            due_at=lease.now + lease.length_ms,
            leased=True,
            lease=row.lease + 1,
            lease_count=row.lease_count + 1,
        )
        .returning(row.event_id)
    )
    position = {event_id: number for number, event_id in enumerate(event_ids)}
    rows = read(connection, share.callback_id, list(connection.scalars(statement)))
    return [delivery(row) for row in sorted(rows, key=lambda row: position[row.event_id])]


def _due_in(share: Share, now: UnixMs) -> sa.ColumnElement[bool]:
    return sa.and_(
        deliveries.c.callback_id == share.callback_id,
        _is_in_share(share.is_retry),
        deliveries.c.due_at <= now,
    )


def _still_due(
    callback_id: CallbackId, event_ids: Sequence[str], now: UnixMs
) -> sa.ColumnElement[bool]:
    """Return the condition that these rows are due.

    The sum keeps the databases from the index of due rows, along which they might read a million
    rows to find those named here.
    """
    row = deliveries.c
    return sa.and_(
        row.callback_id == callback_id, row.event_id.in_(event_ids), row.due_at + 0 <= now
    )


def _is_in_share(is_retry: bool) -> sa.ColumnElement[bool]:
    """Return the condition in the form that PostgreSQL and SQLite can look up in an index."""
    return deliveries.c.is_retry == (sa.true() if is_retry else sa.false())


def _shares() -> sa.Select[str, bool, bool]:
    first = (
        sa.select(sa.func.min(deliveries.c.callback_id))
        .where(deliveries.c.due_at.is_not(None))
        .scalar_subquery()
    )
    walk = sa.select(first.label("callback_id")).cte("walk", recursive=True)
    following = (
        sa.select(sa.func.min(deliveries.c.callback_id))
        .where(deliveries.c.due_at.is_not(None), deliveries.c.callback_id > walk.c.callback_id)
        .scalar_subquery()
    )
    walk = walk.union_all(sa.select(following).where(walk.c.callback_id.is_not(None)))
    of_callback = deliveries.c.callback_id == walk.c.callback_id
    firsts, retries = (
        sa.exists().where(
            of_callback, _is_in_share(is_retry), deliveries.c.due_at <= sa.bindparam("now")
        )
        for is_retry in (False, True)
    )
    return sa.select(walk.c.callback_id, firsts, retries).where(walk.c.callback_id.is_not(None))


_walk = Prepared(_shares())
