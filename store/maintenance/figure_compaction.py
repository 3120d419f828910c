"""Compaction of figures: the rows of all writers become one, by minute and by hour; minutes of more
than two days ago are deleted, and hours of more than thirteen months.

An hour's row holds the merged minutes, and no others. So what is read by the hour is the hours, and
the minutes that are not merged yet.

Each function handles one slice. What it adds up and what it deletes are one transaction, so each
row counts once however often it is repeated or interrupted. Rows of minutes are locked before those
of hours, also by `store.maintenance.figure_rebuild`. Called by
`consumers.maintenance.figure_compactor`.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from schemas.figures import HOUR_MS, KEPT_BY_HOUR_MS, Figures, minutes_since
from schemas.times import UnixMs
from store.engine import bulk
from store.engine.database import Connection
from store.engine.sql_types import SqlColumn
from store.figures.rows import (
    OF_ATTEMPTS,
    OF_TRAFFIC,
    REPLACE_ATTEMPTS,
    REPLACE_TRAFFIC,
    UNMERGED_MINUTES,
    add_attempts,
    add_traffic,
    columns_of_attempts,
    columns_of_traffic,
    selected,
)
from store.figures.settled import MERGED_AFTER_MS, SETTLED_AFTER_MS
from store.tables import figure_callback_hours, figure_gauges, figure_hours, figure_minutes
from store.tables.figures import MERGED

SLICE = 500
"""Rows read in a transaction, at most. More: on SQLite a publish waits longer for it. Fewer: more
commits.
"""

_Parts = dict[tuple[int, str], Figures]

_GAUGES = ("deliveries_due", "oldest_due_ms", "outbox_depth", "queue_depth")
_HIGHEST = bulk.Upsert(_GAUGES)


def merge_minutes(connection: Connection, now: UnixMs) -> int:
    """Merge the rows of minutes that no dispatcher writes to any more: the writers of a minute into
    one row, and the same into the row of the hour. Return how many rows were merged; 0: none is
    left.
    """
    c = figure_minutes.c
    settled = sa.and_(
        UNMERGED_MINUTES,
        c.minute_at < now - SETTLED_AFTER_MS,
        c.written_at < now - SETTLED_AFTER_MS,
    )
    rows = selected(figure_minutes, "minute_at", "type", "writer", *OF_TRAFFIC).where(settled)
    found = connection.execute(rows.order_by(c.minute_at).limit(SLICE).with_for_update()).all()
    if not found:
        return 0
    minutes: _Parts = defaultdict(Figures)
    hours: _Parts = defaultdict(Figures)
    for minute_at, kind, _, *values in found:
        add_traffic(minutes[minute_at, kind], values)
        add_traffic(hours[minute_at - minute_at % HOUR_MS, kind], values)
    _add_to(connection, c.minute_at, minutes, {"writer": MERGED})
    _add_to(connection, figure_hours.c.hour_at, hours, {})
    _delete(connection, tuple(figure_minutes.primary_key), [row[:3] for row in found])
    return len(found)


def _add_to(connection: Connection, at: SqlColumn, parts: _Parts, also: Mapping[str, str]) -> None:
    """Add figures to the rows of these moments and types, which may be new."""
    key = (at, at.table.c.type)
    columns = selected(at.table, *(column.name for column in key), *OF_TRAFFIC)
    known = columns.where(sa.tuple_(*key).in_(list(parts)))
    for name, value in also.items():
        known = known.where(at.table.c[name] == value)
    for start, kind, *values in connection.execute(known):
        add_traffic(parts[start, kind], values)
    sums = [
        {at.name: start, "type": kind, **also, **columns_of_traffic(parts[start, kind])}
        for start, kind in sorted(parts)
    ]
    bulk.insert(connection, at.table, sums, REPLACE_TRAFFIC)


def delete_minutes(connection: Connection, now: UnixMs) -> int:
    """Delete old minutes, which are merged into hours. Return how many rows were deleted."""
    key = tuple(figure_minutes.primary_key)
    c = figure_minutes.c
    old = sa.select(*key).where(c.minute_at < minutes_since(now), c.writer == MERGED)
    found = connection.execute(old.order_by(*key).limit(SLICE)).all()
    if found:
        _delete(connection, key, found)
    return len(found)


def merge_callbacks(connection: Connection, now: UnixMs) -> int:
    """Merge the writers of callbacks' hours that no dispatcher writes to any more. Return how many rows were merged."""
    table, c = figure_callback_hours, figure_callback_hours.c
    columns = selected(table, "hour_at", "callback_id", "writer", *OF_ATTEMPTS)
    over = c.hour_at < now - HOUR_MS - MERGED_AFTER_MS
    old = columns.where(over, c.writer != sa.literal_column("''"))
    found = connection.execute(old.order_by(c.hour_at).limit(SLICE).with_for_update()).all()
    if not found:
        return 0
    hours: _Parts = defaultdict(Figures)
    for hour_at, callback_id, _, *values in found:
        add_attempts(hours[hour_at, callback_id], values)
    these = sa.tuple_(c.hour_at, c.callback_id).in_(list(hours))
    for hour_at, callback_id, _, *values in connection.execute(
        columns.where(these, c.writer == MERGED)
    ):
        add_attempts(hours[hour_at, callback_id], values)
    merged = [
        {
            "hour_at": hour_at,
            "callback_id": callback_id,
            "writer": MERGED,
            **columns_of_attempts(hours[hour_at, callback_id]),
        }
        for hour_at, callback_id in sorted(hours)
    ]
    bulk.insert(connection, table, merged, REPLACE_ATTEMPTS)
    _delete(connection, tuple(table.primary_key), [row[:3] for row in found])
    return len(found)


def merge_gauges(connection: Connection, now: UnixMs) -> int:
    """Keep the highest of an old hour's samples, at its beginning. Return how many were merged."""
    at = figure_gauges.c.minute_at
    others = sa.and_(at < minutes_since(now), at % HOUR_MS != 0)
    first = connection.scalar(sa.select(sa.func.min(at)).where(others))
    if first is None:
        return 0
    hour_at = first - first % HOUR_MS
    of_hour = sa.and_(at >= hour_at, at < hour_at + HOUR_MS)
    highest = sa.select(*(sa.func.max(figure_gauges.c[name]) for name in _GAUGES)).where(of_hour)
    values = dict(zip(_GAUGES, connection.execute(highest).one(), strict=True))
    bulk.insert(connection, figure_gauges, [{"minute_at": hour_at, **values}], _HIGHEST)
    return connection.execute(sa.delete(figure_gauges).where(of_hour, at != hour_at)).rowcount


def _deletion(at: SqlColumn) -> Callable[[Connection, UnixMs], int]:
    """Return what deletes rows of a table that are older than thirteen months."""
    key = tuple(at.table.primary_key)

    def delete(connection: Connection, now: UnixMs) -> int:
        old = sa.select(*key).where(at < now - KEPT_BY_HOUR_MS).order_by(*key).limit(SLICE)
        if rows := connection.execute(old).all():
            _delete(connection, key, rows)
        return len(rows)

    return delete


def _delete(
    connection: Connection, key: Sequence[SqlColumn], rows: Sequence[Sequence[Any]]
) -> None:
    these = sa.tuple_(*key).in_([tuple(row) for row in rows])
    connection.execute(sa.delete(key[0].table).where(these))


STEPS: Sequence[Callable[[Connection, UnixMs], int]] = (
    merge_minutes,
    delete_minutes,
    merge_callbacks,
    merge_gauges,
    _deletion(figure_hours.c.hour_at),
    _deletion(figure_callback_hours.c.hour_at),
    _deletion(figure_gauges.c.minute_at),
)
"""What there is to do, slice by slice. Each returns how many rows it handled; 0: it is done."""
