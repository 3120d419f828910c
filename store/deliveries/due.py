"""Due rows: deliveries whose time has come, taken under a lease by whoever is free to try them
(docs/invariants.md#leases-carry-a-number).

They are found and taken by share, a callback's first attempts or its repeats, along the index on
(callback, tried, due): one with a million due rows delays nobody else's one. Called by the due
taker; who may be called at all is not known here.
"""

import math
import random
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Row

from schemas.deliveries.deliveries import Delivery, DeliveryState, Move, Trigger, next_state
from schemas.events.types import EventType
from schemas.ids import AttemptId, CallbackId, EventId
from schemas.times import UnixMs
from store.deliveries.rows import delivery, read
from store.engine.bulk import once
from store.engine.database import Connection
from store.engine.prepared import Prepared
from store.tables import deliveries, requested_attempts
from store.tokens import alerts

LOOK_AHEAD = 500
"""Rows of a share that a take looks at, at most, for some that may go. More: a take costs more
where most may not. Fewer: rows behind so many of a conversation that hangs wait longer.
"""

A_CONVERSATION = 4
"""Rows of one conversation that a take gives at most: one is sent, the others wait behind it. More:
they are given back, if it hangs. Fewer: a conversation's backlog takes more takes.
"""

MAX_LEASES = 20
"""After so many takes that nobody could say the end of, a delivery is given up: it brings down
whoever has it in hand (docs/invariants.md#poison-is-contained).
"""

POISON = f"poison: taken {MAX_LEASES} times without an outcome"

REQUESTED_SHARE = 4
"""Requested attempts of one callback under way at once, over all dispatchers. More: one that hangs
keeps more of the hands of those who serve everybody. Fewer: many retries of one take longer.
"""


_CONTENDED = 3
"""How many times its limit a take names: another dispatcher may have locked the first of them at
this moment.
"""


class Share(NamedTuple):
    """Rows of one callback that compete for the same slots: those never attempted, or (`is_retry`)
    the repeats.
    """

    callback_id: CallbackId
    is_retry: bool


class Wish(msgspec.Struct, frozen=True):
    """What may be taken of a share: at most `limit`, none of the conversations in hand, none whose
    age counts from before `held_before`.
    """

    limit: int
    in_hand: Collection[str] = frozenset()
    held_before: UnixMs | None = None


class LeasedRows(msgspec.Struct, frozen=True):
    """`deliveries` are leased by the caller; the poisoned, by callback, are to be given up."""

    deliveries: list[Delivery]
    poisoned: dict[CallbackId, list[str]]


def shares_with_due(connection: Connection, now: UnixMs) -> list[Share]:
    """The shares with at least one row due, by skipping through the index: the cost grows with
    callbacks, not with rows.
    """
    found = _walk.run(connection, {"now": now})
    return [
        Share(CallbackId(row[0]), is_retry)
        for row in found
        for is_retry in (False, True)
        if row[1 + is_retry]
    ]


def has_requested(connection: Connection, now: UnixMs) -> bool:
    """Whether somebody asked for an attempt that nobody makes yet."""
    return bool(_requested.run(connection, {"now": now}).scalar())


def _shares() -> sa.Select[Any]:
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
    due = [
        sa.exists().where(
            of_callback, _is_tried(is_retry), deliveries.c.due_at <= sa.bindparam("now")
        )
        for is_retry in (False, True)
    ]
    return sa.select(walk.c.callback_id, *due).where(walk.c.callback_id.is_not(None))


def take(
    connection: Connection,
    wishes: Mapping[Share, Wish],
    now: UnixMs,
    lease_ms: int,
    *,
    lapsed: bool,
    most: int,
    until_s: float = math.inf,
    shuffle: Callable[[list[Share]], None] = random.shuffle,
) -> LeasedRows:
    """What is wished of each share, oldest first, and no more in all than fill `most` places; leased until `now + lease_ms`. At
    `until_s`, monotonic, it looks at no further share.

    Where that or `most` ends it, chance has chosen whose turn it was, so that nobody is always the
    last. With `lapsed` false, rows whose lease ran out are left alone: their holder may be about to
    write what it found out.
    """
    taken = LeasedRows([], {})
    order = list(wishes)
    shuffle(order)
    for share in order:
        left = most - sum(one.places for one in taken.deliveries)
        if left <= 0:
            break
        wish = wishes[share]
        _take_of(connection, share, wish, min(wish.limit, left), (now, lease_ms, lapsed), taken)
        if time.monotonic() >= until_s:
            break
    return taken


def _take_of(
    connection: Connection,
    share: Share,
    wish: Wish,
    limit: int,
    lease: tuple[UnixMs, int, bool],
    taken: LeasedRows,
) -> None:
    """Look at a few first, and at more only when most of those may not go."""
    now, lease_ms, lapsed = lease
    for look in (_CONTENDED * limit, LOOK_AHEAD):
        rows = _oldest(connection, share, now, look, lapsed=lapsed)
        poisoned = [row.event_id for row in rows if row.lease_count >= MAX_LEASES]
        wanted = pick([row for row in rows if row.lease_count < MAX_LEASES], wish)
        if len(wanted) >= limit or len(rows) < look:
            break
    if poisoned:
        taken.poisoned.setdefault(share.callback_id, []).extend(poisoned)
    if wanted:
        taken.deliveries.extend(
            _lease(connection, share, wanted[: _CONTENDED * limit], limit, now, lease_ms)
        )


def pick(rows: Sequence[Row[Any]], wish: Wish) -> list[str]:
    """The events of those rows that may go, in their order."""
    chosen: list[str] = []
    given = Counter(dict.fromkeys(wish.in_hand, A_CONVERSATION))
    for row in rows:
        if wish.held_before is not None and row.queued_at < wish.held_before:
            continue
        if given[row.conversation_id] < A_CONVERSATION:
            given[row.conversation_id] += 1
            chosen.append(row.event_id)
    return chosen


def _oldest(
    connection: Connection, share: Share, now: UnixMs, look: int, *, lapsed: bool
) -> Sequence[Row[Any]]:
    row = deliveries.c
    chosen: sa.Select[Any] = sa.select(
        row.event_id, row.conversation_id, row.queued_at, row.lease_count
    ).where(_due_in(share, now))
    if not lapsed:
        chosen = chosen.where(row.leased.is_(False))
    return connection.execute(chosen.order_by(row.due_at, row.sequence).limit(look)).all()


def _lease(
    connection: Connection,
    share: Share,
    event_ids: Sequence[str],
    limit: int,
    now: UnixMs,
    lease_ms: int,
) -> list[Delivery]:
    row = deliveries.c
    chosen = (
        sa.select(row.event_id)
        .where(_still_due(share.callback_id, event_ids, now))
        .order_by(row.due_at, row.sequence)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    statement = (
        sa.update(deliveries)
        .where(row.callback_id == share.callback_id, row.event_id.in_(once(chosen)))
        .values(
            due_at=now + lease_ms, leased=True, lease=row.lease + 1, lease_count=row.lease_count + 1
        )
        .returning(row.event_id)
    )
    place = {event_id: number for number, event_id in enumerate(event_ids)}
    found = read(connection, share.callback_id, list(connection.scalars(statement)))
    return [delivery(one) for one in sorted(found, key=lambda one: place[one.event_id])]


def give_up(
    connection: Connection, callback_id: CallbackId, poisoned: Sequence[str], now: UnixMs
) -> Counter[EventType]:
    """Those of a callback that a take named, unless somebody found something out meanwhile. Returns
    how many, by type. Not to be called in the transaction of the take: it locks the callback, and
    callbacks are locked before deliveries (`store.engine.bulk`).
    """
    unalerted = alerts.lock_unalerted(connection, [callback_id], now)
    row = deliveries.c
    chosen = sa.select(row.event_id).where(
        _still_due(callback_id, poisoned, now), row.lease_count >= MAX_LEASES
    )
    exhausted = next_state(DeliveryState.PENDING, Move.GAVE_UP)
    statement = (
        sa.update(deliveries)
        .where(
            row.callback_id == callback_id,
            row.event_id.in_(once(chosen.with_for_update(skip_locked=True))),
        )
        .values(state=exhausted.value, reason=POISON, due_at=None, leased=False)
        .returning(row.event_id, row.type)
    )
    given_up = connection.execute(statement).all()
    told = [alerts.Exhausted(EventId(one.event_id), callback_id, POISON) for one in given_up]
    alerts.alert_exhausted(connection, told, unalerted, now)
    return Counter(EventType(one.type) for one in given_up)


def _due_in(share: Share, now: UnixMs) -> sa.ColumnElement[bool]:
    return sa.and_(
        deliveries.c.callback_id == share.callback_id,
        _is_tried(share.is_retry),
        deliveries.c.due_at <= now,
    )


def _still_due(
    callback_id: CallbackId, event_ids: Sequence[str], now: UnixMs
) -> sa.ColumnElement[bool]:
    """The sum keeps the databases from the index of due rows, along which they might look at a
    million for those named here.
    """
    row = deliveries.c
    return sa.and_(
        row.callback_id == callback_id, row.event_id.in_(event_ids), row.due_at + 0 <= now
    )


def _is_tried(is_retry: bool) -> sa.ColumnElement[bool]:
    """As PostgreSQL and SQLite can look it up in an index."""
    return deliveries.c.is_retry == (sa.true() if is_retry else sa.false())


_walk = Prepared(_shares())
_requested = Prepared(
    sa.select(sa.exists().where(requested_attempts.c.due_at <= sa.bindparam("now")))
)


def take_requested(
    connection: Connection, limit: int, now: UnixMs, lease_ms: int, share: int = REQUESTED_SHARE
) -> list[Delivery]:
    """Attempts that somebody asked for, oldest first, each under a lease of its own; the automatic
    ones are not touched.

    Of one callback at most `share` are under way at once: those that are leased already count.
    """
    asked_at = requested_attempts.c.due_at
    place = sa.func.row_number().over(
        partition_by=requested_attempts.c.callback_id, order_by=((asked_at > now).desc(), asked_at)
    )
    ranked = sa.select(requested_attempts.c.id, place.label("place")).subquery()
    chosen = (
        sa.select(requested_attempts.c.id)
        .where(
            asked_at <= now,
            requested_attempts.c.id.in_(sa.select(ranked.c.id).where(ranked.c.place <= share)),
        )
        .order_by(asked_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    statement = (
        sa.update(requested_attempts)
        .where(requested_attempts.c.id.in_(once(chosen)))
        .values(due_at=now + lease_ms)
        .returning(requested_attempts)
    )
    taken = []
    for asked in connection.execute(statement).all():
        for row in read(connection, asked.callback_id, [asked.event_id]):
            taken.append(delivery(row, Trigger(asked.trigger), AttemptId(asked.id)))
    return taken
