"""Compaction of figures: minutes of more than two days ago become hours, the rows of all writers
become one, and what is older than thirteen months is deleted.

Each function handles one slice. What it adds up and what it deletes are one transaction, so each
row counts once however often it is repeated or interrupted. Rows of minutes are locked before those
of hours, also by `store.maintenance.figure_rebuild`. Called by
`consumers.maintenance.figure_compactor`.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence

import sqlalchemy as sa

from schemas.figures import HOUR_MS, KEPT_BY_HOUR_MS, Figures, minutes_since
from schemas.times import UnixMs
from store.engine import bulk
from store.engine.database import Connection
from store.engine.paging import Row
from store.engine.sql_types import SqlColumn
from store.figures.rows import (
    REPLACE_ATTEMPTS,
    REPLACE_TRAFFIC,
    add_attempts,
    add_traffic,
    columns_of_attempts,
    columns_of_traffic,
)
from store.tables import figure_callback_hours, figure_gauges, figure_hours, figure_minutes
from store.tables.figures import MERGED

SLICE = 500
"""Rows read in a transaction, at most. More: on SQLite a publish waits longer for it. Fewer: more
commits.
"""

_GAUGES = ("deliveries_due", "oldest_due_ms", "outbox_depth", "queue_depth")
_HIGHEST = bulk.Upsert(_GAUGES)


def merge_minutes(connection: Connection, now: UnixMs) -> int:
    """Merge old minutes into hours. Return how many rows were merged; 0: none is left."""
    key = tuple(figure_minutes.primary_key)
    old = sa.select(figure_minutes).where(figure_minutes.c.minute_at < minutes_since(now))
    rows = connection.execute(old.order_by(*key).limit(SLICE).with_for_update()).all()
    if not rows:
        return 0
    hours: dict[tuple[int, str], Figures] = defaultdict(Figures)
    for row in rows:
        add_traffic(hours[row.minute_at - row.minute_at % HOUR_MS, row.type], row)
    known = _these(figure_hours, (figure_hours.c.hour_at, figure_hours.c.type), list(hours))
    for row in connection.execute(known):
        add_traffic(hours[row.hour_at, row.type], row)
    merged = [
        {"hour_at": hour_at, "type": kind, **columns_of_traffic(hours[hour_at, kind])}
        for hour_at, kind in sorted(hours)
    ]
    bulk.insert(connection, figure_hours, merged, REPLACE_TRAFFIC)
    _delete(connection, key, rows)
    return len(rows)


def merge_callbacks(connection: Connection, now: UnixMs) -> int:
    """Merge the writers of callbacks' old hours. Return how many rows were merged."""
    table = figure_callback_hours
    key = tuple(table.primary_key)
    old = sa.select(table).where(
        table.c.hour_at < minutes_since(now), table.c.writer != sa.literal_column("''")
    )
    rows = connection.execute(old.order_by(table.c.hour_at).limit(SLICE).with_for_update()).all()
    if not rows:
        return 0
    hours: dict[tuple[int, str], Figures] = defaultdict(Figures)
    for row in rows:
        add_attempts(hours[row.hour_at, row.callback_id], row)
    of_them = _these(table, (table.c.hour_at, table.c.callback_id), list(hours))
    for row in connection.execute(of_them.where(table.c.writer == MERGED)):
        add_attempts(hours[row.hour_at, row.callback_id], row)
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
    _delete(connection, key, rows)
    return len(rows)


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


def _these(
    table: sa.Table, key: tuple[SqlColumn, SqlColumn], values: Sequence[tuple[int, str]]
) -> sa.Select[*tuple[object, ...]]:
    return sa.select(table).where(sa.tuple_(*key).in_(values))


def _delete(connection: Connection, key: Sequence[SqlColumn], rows: Sequence[Row]) -> None:
    values = [tuple(getattr(row, column.name) for column in key) for row in rows]
    connection.execute(sa.delete(key[0].table).where(sa.tuple_(*key).in_(values)))


STEPS: Sequence[Callable[[Connection, UnixMs], int]] = (
    merge_minutes,
    merge_callbacks,
    merge_gauges,
    _deletion(figure_hours.c.hour_at),
    _deletion(figure_callback_hours.c.hour_at),
    _deletion(figure_gauges.c.minute_at),
)
"""What there is to do, slice by slice. Each returns how many rows it handled; 0: it is done."""
