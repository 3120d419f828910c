"""Retention: what is older than `RETENTION` goes; what is still to be done stays, and keeps its
event.

Each sweep looks at some of the oldest rows of a table, along an index, and then removes those of
them that may go, in a transaction of its own. An event goes whole, with its deliveries and their
attempts: one that had lost some of them would get these anew from a copy or a recovery. Locks:
events first, and only those that nobody else has (SKIP LOCKED); whoever makes work for a stored
event locks it too (`still_stored`). Called by `consumers.maintenance.retention_sweeper`.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, TypeAlias

import msgspec
import sqlalchemy as sa

from schemas.deliveries.recoveries import RecoveryState
from schemas.ids import first_request_id
from schemas.times import UnixMs
from store.deliveries.held import is_not_kept
from store.engine import bulk
from store.engine.database import Connection
from store.tables import (
    attempts,
    audit_log,
    callbacks,
    deliveries,
    events,
    recoveries,
    requested_attempts,
    requests,
    status_locks,
    tokens,
)

Key: TypeAlias = tuple[Any, ...]
"""Of a row, in the order in which its table is walked through."""

_event, _delivery, _place = events.c, deliveries.c, status_locks.c
_EVENT_KEY = (_event.accepted_at, _event.id)
_DELIVERY_KEY = (_delivery.created_at, _delivery.event_id, _delivery.callback_id)
_PLACE_KEY = (_place.callback_id, _place.message_id)


class Age(msgspec.Struct, frozen=True):
    """By the store's clock: what is from before `cutoff` is old."""

    now: UnixMs
    cutoff: UnixMs


class Scan(msgspec.Struct, frozen=True):
    """Rows that may go, and behind which one to look next; None: that was all."""

    doomed: list[Key]
    following: Key | None


class Sweep(msgspec.Struct, frozen=True):
    """`look` reads at most so many rows behind a key; `remove` deletes what still may go of those,
    and counts it by table.
    """

    name: str
    look: Callable[[Connection, Age, Key | None, int], Scan]
    remove: Callable[[Connection, Age, Sequence[Key]], Counter[str]]


def _look_at_events(connection: Connection, age: Age, after: Key | None, limit: int) -> Scan:
    """Of at most `limit` deliveries in all, or one event: what is removed at once is bounded too.
    """
    size = sa.select(sa.func.count()).where(_delivery.event_id == _event.id).scalar_subquery()
    chosen = sa.select(*_EVENT_KEY, _may_go(age).label("goes"), size.label("size"))
    old = chosen.where(_event.accepted_at < age.cutoff, *_behind(_EVENT_KEY, after))
    rows = connection.execute(old.order_by(*_EVENT_KEY).limit(limit)).all()
    fitting = max(
        1, bisect_right(list(accumulate(row.size if row.goes else 0 for row in rows)), limit)
    )
    keys = [tuple(row[:2]) for row in rows[:fitting] if row.goes]
    return Scan(
        keys, tuple(rows[fitting - 1][:2]) if fitting < len(rows) else _following(rows, limit, 2)
    )


def _remove_events(connection: Connection, age: Age, doomed: Sequence[Key]) -> Counter[str]:
    """Judged once more under their locks. Deliveries before attempts: whoever is just writing one
    with its attempts is waited for.
    """
    ids = [event_id for _, event_id in doomed]
    these = bulk.among(connection, _event.id, ids)
    locked = list(
        connection.scalars(sa.select(_event.id).where(these).with_for_update(skip_locked=True))
    )
    judged = connection.execute(
        sa.select(_event.id, _may_go(age).label("goes")).where(
            bulk.among(connection, _event.id, locked)
        )
    )
    gone = [row.id for row in judged if row.goes]
    of_them = (_delivery.event_id, attempts.c.event_id, _event.id)
    return Counter({column.table.name: _delete(connection, column, gone) for column in of_them})


def _may_go(age: Age) -> sa.ColumnElement[bool]:
    """Whether an event is old, as is all that belongs to it, and nothing is to be done for it. To
    be asked for as a column.

    Its age counts from when it was claimed: before that it may have waited at the broker for longer
    than `RETENTION`.
    """
    old = sa.func.coalesce(_event.claimed_at, _event.accepted_at) < age.cutoff
    kept = _any(_delivery.event_id == _event.id, _keeps(age))
    tried = _any(attempts.c.event_id == _event.id, attempts.c.started_at >= age.cutoff)
    asked_for = _event.id.in_(sa.select(requested_attempts.c.event_id))
    return sa.and_(old, sa.not_(kept), sa.not_(tried), sa.not_(asked_for))


def _keeps(age: Age) -> sa.ColumnElement[bool]:
    """Whether a delivery keeps its event: it is young, or open and not merely held for all that
    time.
    """
    is_young = sa.func.coalesce(_delivery.queued_at, _delivery.created_at) >= age.cutoff
    in_hand = sa.and_(_delivery.leased, _delivery.due_at > age.now)
    return sa.or_(
        _delivery.created_at >= age.cutoff,
        sa.and_(_delivery.due_at.is_not(None), sa.or_(is_young, in_hand, _is_called())),
    )


def _is_called() -> sa.ColumnElement[bool]:
    """Whether a delivery's callback is there and does not hold it back (`store.deliveries.held`).
    """
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
        is_not_kept(_delivery, callbacks.c.held_before),
    )


def _look_at_leftovers(connection: Connection, age: Age, after: Key | None, limit: int) -> Scan:
    """Deliveries whose event is gone: an outcome that came late wrote them anew."""
    has_event = _any(_event.id == _delivery.event_id)
    old = sa.select(*_DELIVERY_KEY, has_event.label("has_event")).where(
        _delivery.created_at < age.cutoff, *_behind(_DELIVERY_KEY, after)
    )
    rows = connection.execute(old.order_by(*_DELIVERY_KEY).limit(limit)).all()
    return Scan([tuple(row[:3]) for row in rows if not row.has_event], _following(rows, limit, 3))


def _remove_leftovers(connection: Connection, _age: Age, doomed: Sequence[Key]) -> Counter[str]:
    """Unless an event came under that id meanwhile."""
    ids = {event_id for _, event_id, _ in doomed}
    taken = set(connection.scalars(sa.select(_event.id).where(_event.id.in_(ids))))
    keys = [(event_id, callback_id) for _, event_id, callback_id in doomed if event_id not in taken]
    removed: Counter[str] = Counter()
    for table in (deliveries, attempts):
        these = sa.tuple_(table.c.event_id, table.c.callback_id).in_(keys)
        removed[table.name] = connection.execute(sa.delete(table).where(these)).rowcount
    return removed


def _look_at_requests(connection: Connection, age: Age, after: Key | None, limit: int) -> Scan:
    """Along their ids, which are in the order of time."""
    old = sa.select(requests.c.id).where(
        requests.c.id < first_request_id(age.cutoff), *_behind((requests.c.id,), after)
    )
    rows = connection.execute(old.order_by(requests.c.id).limit(limit)).all()
    return Scan([tuple(row) for row in rows], _following(rows, limit, 1))


def _look_at_audit_log(connection: Connection, age: Age, after: Key | None, limit: int) -> Scan:
    """Along their ids, which are counted up, until one is young."""
    key = (audit_log.c.id,)
    rows = connection.execute(
        sa.select(*key, audit_log.c.at).where(*_behind(key, after)).order_by(*key).limit(limit)
    ).all()
    old = [row for row in rows if row.at < age.cutoff]
    return Scan([(row.id,) for row in old], _following(old, limit, 1))


def _look_at_recoveries(connection: Connection, age: Age, after: Key | None, limit: int) -> Scan:
    """Those that are over. People ask for them: there are few."""
    c = recoveries.c
    over = sa.and_(
        c.state != RecoveryState.RUNNING.value, c.created_at < age.cutoff, c.worked_at < age.cutoff
    )
    rows = connection.execute(
        sa.select(c.id).where(over, *_behind((c.id,), after)).order_by(c.id).limit(limit)
    ).all()
    return Scan([tuple(row) for row in rows], _following(rows, limit, 1))


def _look_at_places(connection: Connection, age: Age, after: Key | None, limit: int) -> Scan:
    """All of them, as nothing finds the old ones: an index would cost every status two writes more.
    """
    chosen = sa.select(*_PLACE_KEY, _place_may_go(age).label("goes")).where(
        *_behind(_PLACE_KEY, after)
    )
    rows = connection.execute(chosen.order_by(*_PLACE_KEY).limit(limit)).all()
    return Scan([tuple(row[:2]) for row in rows if row.goes], _following(rows, limit, 2))


def _remove_places(connection: Connection, age: Age, doomed: Sequence[Key]) -> Counter[str]:
    """But for those that somebody just uses."""
    key = sa.tuple_(*_PLACE_KEY)
    free = (
        sa.select(*_PLACE_KEY)
        .where(key.in_(doomed), _place_may_go(age))
        .with_for_update(skip_locked=True)
    )
    keys = [tuple(row) for row in connection.execute(free)]
    return Counter(
        {
            status_locks.name: connection.execute(
                sa.delete(status_locks).where(key.in_(keys))
            ).rowcount
        }
    )


def _place_may_go(age: Age) -> sa.ColumnElement[bool]:
    """While a status is open it must find what was sent before it
    (docs/invariants.md#statuses-never-go-backwards).
    """
    of_it = sa.and_(
        _delivery.callback_id == _place.callback_id, _delivery.message_id == _place.message_id
    )
    is_awaited = _any(of_it, _delivery.due_at.is_not(None))
    return sa.and_(
        _place.touched_at < age.cutoff, _place.held_until <= age.now, sa.not_(is_awaited)
    )


def _remove_by_id(table: sa.Table) -> Callable[[Connection, Age, Sequence[Key]], Counter[str]]:
    def remove(connection: Connection, _age: Age, doomed: Sequence[Key]) -> Counter[str]:
        return Counter({table.name: _delete(connection, table.c.id, [key[0] for key in doomed])})

    return remove


def _delete(connection: Connection, column: sa.Column[Any], values: Sequence[str | int]) -> int:
    return connection.execute(
        sa.delete(column.table).where(bulk.among(connection, column, values))
    ).rowcount


def _any(*conditions: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """Whether there is such a row. Not EXISTS: for a whole backlog, before its limit, PostgreSQL
    would rather read the table once.
    """
    return (
        sa.select(sa.literal_column("1")).where(*conditions).limit(1).scalar_subquery().is_not(None)
    )


def _behind(
    key: Sequence[sa.ColumnElement[Any]], after: Key | None
) -> list[sa.ColumnElement[bool]]:
    return [] if after is None else [sa.tuple_(*key) > sa.tuple_(*after)]


def _following(rows: Sequence[Sequence[Any]], limit: int, key_length: int) -> Key | None:
    return tuple(rows[-1][:key_length]) if len(rows) == limit else None


SWEEPS = (
    Sweep("events", _look_at_events, _remove_events),
    Sweep("leftovers", _look_at_leftovers, _remove_leftovers),
    Sweep("requests", _look_at_requests, _remove_by_id(requests)),
    Sweep("audit_log", _look_at_audit_log, _remove_by_id(audit_log)),
    Sweep("recoveries", _look_at_recoveries, _remove_by_id(recoveries)),
)
PLACES = Sweep("status_locks", _look_at_places, _remove_places)
"""Reads its whole table: to be made seldom."""
