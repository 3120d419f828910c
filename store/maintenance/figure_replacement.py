"""Replacing rows of figures by rebuilt ones. Each function is one transaction.

Counts of deliveries that ended without success are not rebuilt: those of the rows that go are kept.
Called by `store.maintenance.figure_rebuild`.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

import sqlalchemy as sa

from schemas.figures import HOUR_MS, MINUTE_MS, Figures
from store.engine import bulk
from store.engine.database import Connection
from store.figures.rows import (
    REPLACE_ATTEMPTS,
    REPLACE_TRAFFIC,
    add_attempts,
    columns_of_attempts,
    columns_of_traffic,
    new_writer,
)
from store.tables import figure_callback_hours, figure_hours, figure_minutes
from store.tables.figures import MERGED

SPAN_MS = 10 * MINUTE_MS
"""Minutes replaced in a transaction. More: on SQLite a publish waits longer for it. Fewer: more
commits.
"""

_NONE = Figures()

_CALLBACKS = 200
"""Callbacks replaced in a transaction, for the same reasons."""


def replace_traffic(
    connection: Connection,
    begin: int,
    end: int,
    figures: Mapping[tuple[int, str], Figures],
    *,
    by_minute: bool,
) -> None:
    """Replace the figures of all traffic from `begin` to before `end`: by minute, or else of one
    hour.
    """
    replaced: dict[tuple[int, str], Figures] = defaultdict(Figures)
    replaced.update({key: one.copy() for key, one in figures.items()})
    step_ms = MINUTE_MS if by_minute else HOUR_MS
    # minutes first, as a compaction does: whichever comes second finds what the first one left
    for at in (figure_minutes.c.minute_at, figure_hours.c.hour_at):
        within = sa.and_(at >= begin, at < end)
        for row in connection.execute(sa.select(at.table).where(within).with_for_update()):
            start = getattr(row, at.name)
            _keep_ends(replaced[start - start % step_ms, row.type], row)
        connection.execute(sa.delete(at.table).where(within))
    writer = {"writer": new_writer()} if by_minute else {}
    rows = [
        {
            "minute_at" if by_minute else "hour_at": start,
            "type": kind,
            **writer,
            **columns_of_traffic(replaced[start, kind]),
        }
        for start, kind in sorted(replaced)
        if replaced[start, kind] != _NONE
    ]
    bulk.insert(connection, figure_minutes if by_minute else figure_hours, rows, REPLACE_TRAFFIC)


def any_traffic(connection: Connection, begin: int, end: int) -> bool:
    """Return whether there are figures of traffic from `begin` to before `end`."""
    ats = (figure_minutes.c.minute_at, figure_hours.c.hour_at)
    return any(connection.scalar(sa.select(sa.exists().where(at >= begin, at < end))) for at in ats)


def callbacks_of_hour(connection: Connection, hour_at: int) -> Collection[str]:
    """Return the callbacks that have figures in an hour."""
    c = figure_callback_hours.c
    return connection.scalars(sa.select(c.callback_id).where(c.hour_at == hour_at).distinct()).all()


def batched(callback_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Return as many callbacks at a time as one transaction replaces."""
    for start in range(0, len(callback_ids), _CALLBACKS):
        yield callback_ids[start : start + _CALLBACKS]


def replace_callbacks(
    connection: Connection,
    hour_at: int,
    callback_ids: Sequence[str],
    figures: Mapping[str, Figures],
    *,
    merged: bool,
) -> None:
    """Replace the figures of these callbacks in an hour. `merged`: whether the hour's rows are
    merged already.
    """
    c = figure_callback_hours.c
    replaced = {one: figures.get(one, Figures()).copy() for one in callback_ids}
    these = sa.and_(c.hour_at == hour_at, bulk.among(connection, c.callback_id, callback_ids))
    for row in connection.execute(sa.select(figure_callback_hours).where(these).with_for_update()):
        _keep_ends(replaced[row.callback_id], row)
    connection.execute(sa.delete(figure_callback_hours).where(these))
    writer = MERGED if merged else new_writer()
    rows = [
        {
            "hour_at": hour_at,
            "callback_id": one,
            "writer": writer,
            **columns_of_attempts(replaced[one]),
        }
        for one in callback_ids
        if replaced[one] != _NONE
    ]
    bulk.insert(connection, figure_callback_hours, rows, REPLACE_ATTEMPTS)


def _keep_ends(figures: Figures, row: sa.Row[*tuple[object, ...]]) -> None:
    known = Figures()
    add_attempts(known, row)
    figures.add(Figures(ended=known.ended))
