"""Due rows: deliveries whose time has come, taken under a lease by whoever is free to try them (rule 6).

They are read per callback, by the index on (callback, due), so that one with a million due rows delays nobody else's one.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from schemas.deliveries import Delivery, DeliveryState, Trigger
from schemas.event_types import EventType
from schemas.ids import AttemptId, CallbackId, EventId, TokenId
from schemas.times import UnixMs
from store.database import Connection, Database
from store.tables import attempts, deliveries, events, outbox, requested_attempts

_CANCEL_SLICE = 1000

REQUESTED_SHARE = 4
"""Requested attempts of one callback under way at once, over all dispatchers. More: one that hangs keeps more of the hands of
those who serve everybody. Fewer: many retries of one take longer."""

_number = (
    sa.select(sa.func.count() + 1)
    .where(attempts.c.event_id == deliveries.c.event_id, attempts.c.callback_id == deliveries.c.callback_id)
    .scalar_subquery()
)


def _once(chosen: sa.Select[tuple[str]]) -> sa.Select[tuple[str]]:
    """As a CTE, which PostgreSQL evaluates once; a plain subquery with a limit may be run again for every row it joins."""
    return sa.select(chosen.cte())


def callbacks_with_due(connection: Connection, now: UnixMs) -> list[CallbackId]:
    """The callbacks with at least one row due, by skipping through the index: the cost grows with callbacks, not with rows."""
    first = sa.select(sa.func.min(deliveries.c.callback_id)).where(deliveries.c.due_at.is_not(None)).scalar_subquery()
    walk = sa.select(first.label("callback_id")).cte("walk", recursive=True)
    following = (
        sa.select(sa.func.min(deliveries.c.callback_id))
        .where(deliveries.c.due_at.is_not(None), deliveries.c.callback_id > walk.c.callback_id)
        .scalar_subquery()
    )
    walk = walk.union_all(sa.select(following).where(walk.c.callback_id.is_not(None)))
    is_due = sa.exists().where(deliveries.c.callback_id == walk.c.callback_id, deliveries.c.due_at <= now)
    return [CallbackId(c) for c in connection.scalars(sa.select(walk.c.callback_id).where(walk.c.callback_id.is_not(None), is_due))]


def take(
    connection: Connection,
    limits: Mapping[CallbackId, int],
    now: UnixMs,
    lease_ms: int,
    *,
    lapsed: bool,
    most: int,
    shuffle: Callable[[list[CallbackId]], None] = random.shuffle,
) -> list[Delivery]:
    """At most `limits[callback]` due deliveries each, oldest first, and at most `most` in all; leased until `now + lease_ms`.

    Where `most` ends it, chance has chosen whose turn it was, so that nobody is always the last.
    With `lapsed` false, rows whose lease ran out are left alone: their holder may be about to write what it found out.
    """
    taken: list[Delivery] = []
    order = list(limits)
    shuffle(order)
    for callback_id in order:
        if len(taken) >= most:
            break
        limit = min(limits[callback_id], most - len(taken))
        taken += _take_of(connection, callback_id, limit, now, lease_ms, lapsed)
    return taken


def _take_of(connection: Connection, callback_id: CallbackId, limit: int, now: UnixMs, lease_ms: int, lapsed: bool) -> list[Delivery]:
    chosen = (
        sa.select(deliveries.c.event_id)
        .where(deliveries.c.callback_id == callback_id, deliveries.c.due_at <= now)
        .order_by(deliveries.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    if not lapsed:
        chosen = chosen.where(deliveries.c.leased.is_(False))
    statement = (
        sa.update(deliveries)
        .where(deliveries.c.callback_id == callback_id, deliveries.c.event_id.in_(_once(chosen)))
        .values(due_at=now + lease_ms, leased=True, lease=deliveries.c.lease + 1)
        .returning(deliveries.c.event_id)
    )
    keys = list(connection.scalars(statement))
    return [_delivery(row) for row in _read(connection, callback_id, keys)]


def _read(connection: Connection, callback_id: CallbackId, event_ids: Sequence[str]) -> Sequence[Row[Any]]:
    joined = deliveries.join(events, events.c.id == deliveries.c.event_id)
    columns = sa.select(deliveries, events.c.conversation_id, events.c.body, events.c.accepted_at, _number.label("number")).select_from(
        joined
    )
    chosen = columns.where(deliveries.c.callback_id == callback_id, deliveries.c.event_id.in_(event_ids))
    return connection.execute(chosen.order_by(events.c.accepted_at, events.c.id)).all()


def _delivery(row: Row[Any], trigger: Trigger | None = None, attempt_id: AttemptId | None = None) -> Delivery:
    number = int(row.number)
    return Delivery(
        event_id=EventId(row.event_id),
        callback_id=CallbackId(row.callback_id),
        token_id=TokenId(row.token_id),
        type=EventType(row.type),
        conversation_id=row.conversation_id,
        body=bytes(row.body),
        accepted_at=UnixMs(row.accepted_at),
        created_at=UnixMs(row.created_at),
        since_at=UnixMs(row.created_at if row.since_at is None else row.since_at),
        message_id=row.message_id,
        status=row.status,
        lease=row.lease,
        failures=row.failures,
        number=number,
        trigger=trigger or (Trigger.FIRST if number == 1 else Trigger.RETRY),
        attempt_id=attempt_id,
    )


def take_requested(connection: Connection, limit: int, now: UnixMs, lease_ms: int, share: int = REQUESTED_SHARE) -> list[Delivery]:
    """Attempts that somebody asked for, oldest first, each under a lease of its own; the automatic ones are not touched.

    Of one callback at most `share` are under way at once: those that are leased already count.
    """
    asked_at = requested_attempts.c.due_at
    place = sa.func.row_number().over(partition_by=requested_attempts.c.callback_id, order_by=((asked_at > now).desc(), asked_at))
    ranked = sa.select(requested_attempts.c.id, place.label("place")).subquery()
    chosen = (
        sa.select(requested_attempts.c.id)
        .where(asked_at <= now, requested_attempts.c.id.in_(sa.select(ranked.c.id).where(ranked.c.place <= share)))
        .order_by(asked_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    statement = (
        sa.update(requested_attempts)
        .where(requested_attempts.c.id.in_(_once(chosen)))
        .values(due_at=now + lease_ms)
        .returning(requested_attempts)
    )
    taken = []
    for asked in connection.execute(statement).all():
        for row in _read(connection, asked.callback_id, [asked.event_id]):
            taken.append(_delivery(row, Trigger(asked.trigger), AttemptId(asked.id)))
    return taken


def cancel(connection: Connection, callback_id: CallbackId, reason: str, now: UnixMs) -> int:
    """Settle due rows of a callback that will never be called again; at most a slice at a time. Returns how many."""
    chosen = (
        sa.select(deliveries.c.event_id).where(deliveries.c.callback_id == callback_id, deliveries.c.due_at <= now).limit(_CANCEL_SLICE)
    )
    statement = (
        sa.update(deliveries)
        .where(deliveries.c.callback_id == callback_id, deliveries.c.event_id.in_(_once(chosen)))
        .values(state=DeliveryState.CANCELLED.value, reason=reason, due_at=None, leased=False)
        .returning(deliveries.c.event_id)
    )
    return len(connection.execute(statement).all())  # SQLite's driver counts no rows of an UPDATE that begins with WITH


def void_leases(database: Database) -> None:
    """At the start of an embedded process, which is alone by its file lock: whoever held a lease is gone."""
    with database.write() as connection:
        now = database.now(connection)
        open_rows = sa.and_(deliveries.c.due_at.is_not(None), deliveries.c.leased)
        connection.execute(sa.update(deliveries).where(open_rows).values(due_at=now, leased=False))
        connection.execute(sa.update(requested_attempts).values(due_at=now))
        connection.execute(sa.update(outbox).values(leased_until=0).where(outbox.c.leased_until > 0))
