"""Retention: what is older than `RETENTION` is deleted. What is still to be done stays, and keeps
its event.

Each sweep scans some of the oldest rows of a table, along an index, and then deletes those of them
that have expired, in a transaction of its own. An event goes whole, with its deliveries and their
attempts: an event that had lost some of them would get new ones from a copy or a recovery. Locks:
events first, and only those that no other transaction has (SKIP LOCKED). What makes work for a
stored event locks it too (`still_stored`). Called by `consumers.maintenance.retention_sweeper`.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from typing import Any, TypeAlias

import msgspec
import sqlalchemy as sa

from schemas.deliveries.recoveries import RecoveryState
from schemas.ids import first_request_id
from schemas.times import UnixMs
from store.deliveries.held import is_not_kept
from store.deliveries.rows import DELIVERY_KEY
from store.engine import bulk
from store.engine.database import Connection
from store.engine.paging import Row
from store.engine.sql_types import SqlColumn
from store.tables import (
    attempts,
    audit_log,
    callbacks,
    deliveries,
    events,
    people_log,
    recoveries,
    requested_attempts,
    requests,
    status_locks,
    tokens,
)

Key: TypeAlias = tuple[Any, ...]  # numbers and texts, as the table's key has them
"""A row's key, in the order in which its table is scanned."""

Conditions: TypeAlias = list[sa.ColumnElement[bool]]

_event, _delivery, _lock = events.c, deliveries.c, status_locks.c
_EVENT_KEY = (_event.accepted_at, _event.id)
_LOCK_KEY = (_lock.callback_id, _lock.message_id)


class Age(msgspec.Struct, frozen=True):
    """What is old, by the store's clock."""

    now: UnixMs
    cutoff: UnixMs
    """What is from before this moment is old."""


class ExpiryScan(msgspec.Struct, frozen=True):
    """The result of scanning some rows of a table."""

    expired: list[Key]
    """Rows that may be deleted."""
    following: Key | None
    """The row after which to scan next; None: this was all."""


class Sweep(msgspec.Struct, frozen=True):
    """How one table is swept."""

    name: str
    scan: Callable[[Connection, Age, Key | None, int], ExpiryScan]
    """Reads at most so many rows after a key."""
    remove: Callable[[Connection, Age, Sequence[Key]], Counter[str]]
    """Deletes those of the scanned rows that are still expired, and counts them by table."""


def _scan_events(connection: Connection, age: Age, after: Key | None, limit: int) -> ExpiryScan:
    """Scan events with at most `limit` deliveries in all, or one event: so what is deleted at
    once is bounded too.
    """
    size = sa.select(sa.func.count()).where(_delivery.event_id == _event.id).scalar_subquery()
    events_by_age = sa.select(*_EVENT_KEY, _is_expired(age).label("goes"), size.label("size"))
    old = events_by_age.where(_event.accepted_at < age.cutoff, *_after(_EVENT_KEY, after))
    rows = connection.execute(old.order_by(*_EVENT_KEY).limit(limit)).all()
    fitting = max(
        1, bisect_right(list(accumulate(row.size if row.goes else 0 for row in rows)), limit)
    )
    keys = [tuple(row[:2]) for row in rows[:fitting] if row.goes]
    if fitting < len(rows):
        return ExpiryScan(keys, tuple(rows[fitting - 1][:2]))
    return ExpiryScan(keys, _following(rows, limit, 2))


def _remove_events(connection: Connection, age: Age, expired: Sequence[Key]) -> Counter[str]:
    """Delete events that are still expired under their locks.

    Deliveries go before attempts, so that a transaction that writes a delivery with its attempts is
    waited for.
    """
    ids = [event_id for _, event_id in expired]
    these = bulk.among(connection, _event.id, ids)
    locked = list(
        connection.scalars(sa.select(_event.id).where(these).with_for_update(skip_locked=True))
    )
    judged = connection.execute(
        sa.select(_event.id, _is_expired(age).label("goes")).where(
            bulk.among(connection, _event.id, locked)
        )
    )
    gone = [row.id for row in judged if row.goes]
    of_them = (_delivery.event_id, attempts.c.event_id, _event.id)
    return Counter({column.table.name: _delete(connection, column, gone) for column in of_them})


def _is_expired(age: Age) -> sa.ColumnElement[bool]:
    """Return whether an event and all that belongs to it are old, and nothing is to be done for it.
    It is selected as a column.

    The age of an event counts from when it was claimed: before that it may have waited at the
    broker for longer than `RETENTION`.
    """
    old = sa.func.coalesce(_event.claimed_at, _event.accepted_at) < age.cutoff
    kept = _any(_delivery.event_id == _event.id, _keeps(age))
    tried = _any(attempts.c.event_id == _event.id, attempts.c.started_at >= age.cutoff)
    requested = _event.id.in_(sa.select(requested_attempts.c.event_id))
    return sa.and_(old, sa.not_(kept), sa.not_(tried), sa.not_(requested))


def _keeps(age: Age) -> sa.ColumnElement[bool]:
    """Return whether a delivery keeps its event: it is young, or open and not merely held for all
    that time.
    """
    is_young = sa.func.coalesce(_delivery.queued_at, _delivery.created_at) >= age.cutoff
    in_flight = sa.and_(_delivery.leased, _delivery.due_at > age.now)
    return sa.or_(
        _delivery.created_at >= age.cutoff,
        sa.and_(_delivery.due_at.is_not(None), sa.or_(is_young, in_flight, _is_called())),
    )


def _is_called() -> sa.ColumnElement[bool]:
    """Return whether a delivery's callback exists and does not hold it."""
    on = sa.and_(
        callbacks.c.enabled,
        callbacks.c.disabled_at.is_(None),
        tokens.c.enabled,
        tokens.c.revoked_at.is_(None),
    )
    return _any(
        callbacks.c.id == _delivery.callback_id,
        tokens.c.id == callbacks.c.token_id,
        on,
        is_not_kept(callbacks.c.held_before),
    )


def _scan_leftovers(connection: Connection, age: Age, after: Key | None, limit: int) -> ExpiryScan:
    """Scan deliveries whose event is deleted: an outcome that came late wrote them again."""
    has_event = _any(_event.id == _delivery.event_id)
    old = sa.select(*DELIVERY_KEY, has_event.label("has_event")).where(
        _delivery.created_at < age.cutoff, *_after(DELIVERY_KEY, after)
    )
    rows = connection.execute(old.order_by(*DELIVERY_KEY).limit(limit)).all()
    return ExpiryScan(
        [tuple(row[:3]) for row in rows if not row.has_event], _following(rows, limit, 3)
    )


def _remove_leftovers(connection: Connection, _age: Age, expired: Sequence[Key]) -> Counter[str]:
    """Delete leftovers, unless an event came with that id meanwhile."""
    ids = {event_id for _, event_id, _ in expired}
    stored = set(connection.scalars(sa.select(_event.id).where(_event.id.in_(ids))))
    keys = [(event, callback) for _, event, callback in expired if event not in stored]
    removed: Counter[str] = Counter()
    for table in (deliveries, attempts):
        these = sa.tuple_(table.c.event_id, table.c.callback_id).in_(keys)
        removed[table.name] = connection.execute(sa.delete(table).where(these)).rowcount
    return removed


def _scan_requests(connection: Connection, age: Age, after: Key | None, limit: int) -> ExpiryScan:
    """Scan along the ids, which are in the order of time."""
    old = sa.select(requests.c.id).where(
        requests.c.id < first_request_id(age.cutoff), *_after((requests.c.id,), after)
    )
    rows = connection.execute(old.order_by(requests.c.id).limit(limit)).all()
    return ExpiryScan([tuple(row) for row in rows], _following(rows, limit, 1))


def _scan_log(
    log: sa.Table, connection: Connection, age: Age, after: Key | None, limit: int
) -> ExpiryScan:
    """Scan along the ids, which are counted up, until an entry is young."""
    key = (log.c.id,)
    rows = connection.execute(
        sa.select(*key, log.c.at).where(*_after(key, after)).order_by(*key).limit(limit)
    ).all()
    old = [row for row in rows if row.at < age.cutoff]
    return ExpiryScan([(row.id,) for row in old], _following(old, limit, 1))


def _scan_recoveries(connection: Connection, age: Age, after: Key | None, limit: int) -> ExpiryScan:
    """Scan recoveries that are over. People create them, so there are few."""
    c = recoveries.c
    over = sa.and_(
        c.state != RecoveryState.RUNNING.value, c.created_at < age.cutoff, c.worked_at < age.cutoff
    )
    rows = connection.execute(
        sa.select(c.id).where(over, *_after((c.id,), after)).order_by(c.id).limit(limit)
    ).all()
    return ExpiryScan([tuple(row) for row in rows], _following(rows, limit, 1))


def _scan_locks(connection: Connection, age: Age, after: Key | None, limit: int) -> ExpiryScan:
    """Scan all of them, as nothing finds the old ones: an index would cost every status two
    more writes.
    """
    every = sa.select(*_LOCK_KEY, _is_expired_lock(age).label("goes")).where(
        *_after(_LOCK_KEY, after)
    )
    rows = connection.execute(every.order_by(*_LOCK_KEY).limit(limit)).all()
    return ExpiryScan([tuple(row[:2]) for row in rows if row.goes], _following(rows, limit, 2))


def _remove_locks(connection: Connection, age: Age, expired: Sequence[Key]) -> Counter[str]:
    """Delete status locks, except those that another transaction is using."""
    key = sa.tuple_(*_LOCK_KEY)
    free = (
        sa.select(*_LOCK_KEY)
        .where(key.in_(expired), _is_expired_lock(age))
        .with_for_update(skip_locked=True)
    )
    keys = [tuple(row) for row in connection.execute(free)]
    deleted = connection.execute(sa.delete(status_locks).where(key.in_(keys)))
    return Counter({status_locks.name: deleted.rowcount})


def _is_expired_lock(age: Age) -> sa.ColumnElement[bool]:
    """Return whether a status lock is old and no open status needs it: while one is open it must
    find what was sent before it (docs/invariants.md#statuses-never-go-backwards).
    """
    of_it = sa.and_(
        _delivery.callback_id == _lock.callback_id, _delivery.message_id == _lock.message_id
    )
    is_awaited = _any(of_it, _delivery.due_at.is_not(None))
    return sa.and_(_lock.touched_at < age.cutoff, _lock.held_until <= age.now, sa.not_(is_awaited))


def _remove_by_id(table: sa.Table) -> Callable[[Connection, Age, Sequence[Key]], Counter[str]]:
    def remove(connection: Connection, _age: Age, expired: Sequence[Key]) -> Counter[str]:
        return Counter({table.name: _delete(connection, table.c.id, [key[0] for key in expired])})

    return remove


def _delete(connection: Connection, column: sa.Column[str], values: Sequence[str | int]) -> int:
    return connection.execute(
        sa.delete(column.table).where(bulk.among(connection, column, values))
    ).rowcount


def _any(*conditions: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """Return whether there is such a row. It is no EXISTS: for a whole backlog, before its limit,
    PostgreSQL would rather read the table once.
    """
    return (
        sa.select(sa.literal_column("1")).where(*conditions).limit(1).scalar_subquery().is_not(None)
    )


def _after(key: Sequence[SqlColumn], after: Key | None) -> Conditions:
    return [] if after is None else [sa.tuple_(*key) > sa.tuple_(*after)]


def _following(rows: Sequence[Row], limit: int, key_length: int) -> Key | None:
    return tuple(rows[-1][:key_length]) if len(rows) == limit else None


SWEEPS = (
    Sweep("events", _scan_events, _remove_events),
    Sweep("leftovers", _scan_leftovers, _remove_leftovers),
    Sweep("requests", _scan_requests, _remove_by_id(requests)),
    Sweep("audit_log", partial(_scan_log, audit_log), _remove_by_id(audit_log)),
    Sweep("people_log", partial(_scan_log, people_log), _remove_by_id(people_log)),
    Sweep("recoveries", _scan_recoveries, _remove_by_id(recoveries)),
)
"""The sweeps that follow an index."""

STATUS_LOCKS = Sweep("status_locks", _scan_locks, _remove_locks)
"""The sweep that reads its whole table: it is to be made seldom."""
