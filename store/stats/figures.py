"""Figures of a range of time: step by step, in all, and by callback. Reads only; called by the API
and the pages.

What is read depends on the range, never on how many deliveries there are. Percentiles come from
histograms that are added up here.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from schemas.events.types import EventType
from schemas.figures import (
    HOUR_MS,
    CallbackFigures,
    FigurePoint,
    Figures,
    FigureSeries,
    Gauges,
    Step,
)
from schemas.ids import CallbackId
from schemas.times import UnixMs
from store.engine import bulk
from store.engine.database import Connection
from store.engine.sql_types import SqlColumn
from store.figures.rows import (
    OF_ATTEMPTS,
    OF_TRAFFIC,
    UNMERGED_MINUTES,
    add_attempts,
    add_traffic,
    selected,
)
from store.tables import figure_callback_hours, figure_gauges, figure_hours, figure_minutes

_Parts = dict[tuple[int, str], Figures]
"""Figures by the beginning of their step, and type."""

Key = TypeVar("Key", int, str)

_of_callback = figure_callback_hours.c


def figures(
    connection: Connection,
    since: UnixMs,
    until: UnixMs,
    step: Step,
    *,
    callback: CallbackId | None = None,
    event_type: EventType | None = None,
) -> FigureSeries:
    """Return the figures from the step that `since` is in to the one that ends at `until` or later,
    of all traffic or of one type or callback.

    A callback has figures by hour only, and so has everything before `minutes_since`: a finer step
    finds nothing there.
    """
    begin, end = since - since % step.ms, until + -until % step.ms
    if callback is None:
        parts = _of_traffic(connection, begin, end, step, event_type)
    else:
        parts = _of_one_callback(connection, begin, end, step, callback)
    gauges = highest_samples(connection, begin, end, step)
    by_start = _sums((start, one) for (start, _), one in parts.items())
    by_type = {} if callback else _sums((kind, one) for (_, kind), one in parts.items())
    points = [
        FigurePoint(
            UnixMs(start),
            by_start.get(start, Figures() if start in gauges else None),
            gauges.get(start),
        )
        for start in range(begin, end, step.ms)
    ]
    total = _sums((0, one) for one in by_start.values()).get(0, Figures())
    return FigureSeries(UnixMs(begin), UnixMs(end), step, points, total, by_type)


def by_callback(
    connection: Connection, since: UnixMs, until: UnixMs, limit: int
) -> list[CallbackFigures]:
    """Return the figures of callbacks in whole hours, those with the most failed attempts first,
    then those with the most attempts.
    """
    begin, end = since - since % HOUR_MS, until + -until % HOUR_MS
    within = sa.and_(_of_callback.hour_at >= begin, _of_callback.hour_at < end)
    failed, delivered = sa.func.sum(_of_callback.failed), sa.func.sum(_of_callback.delivered)
    worst = (
        sa.select(_of_callback.callback_id)
        .where(within)
        .group_by(_of_callback.callback_id)
        .order_by(failed.desc(), delivered.desc(), _of_callback.callback_id)
        .limit(limit)
    )
    found = {callback_id: Figures() for callback_id in connection.scalars(worst)}
    these = bulk.among(connection, _of_callback.callback_id, list(found))
    rows = selected(figure_callback_hours, "callback_id", *OF_ATTEMPTS).where(within, these)
    for callback_id, *values in connection.execute(rows):
        add_attempts(found[callback_id], values)
    return [CallbackFigures(CallbackId(name), one) for name, one in found.items()]


def rows_of_traffic(
    connection: Connection,
    begin: int,
    end: int,
    step: Step,
    event_type: EventType | None = None,
) -> Iterator[tuple[int, str, Sequence[Any]]]:
    """Yield where each stored row begins, its type, and its values for `add_traffic`. Those are of
    minutes, or for steps of an hour of hours, and of minutes that are in no hour yet.
    """
    sources: dict[SqlColumn, tuple[sa.ColumnElement[bool], ...]] = (
        {figure_hours.c.hour_at: (), figure_minutes.c.minute_at: (UNMERGED_MINUTES,)}
        if step is Step.HOUR
        else {figure_minutes.c.minute_at: ()}
    )
    for at, only in sources.items():
        of_type = [] if event_type is None else [at.table.c.type == event_type.value]
        rows = selected(at.table, at.name, "type", *OF_TRAFFIC).where(at >= begin, at < end)
        for start, kind, *values in connection.execute(rows.where(*only, *of_type)):
            yield start, kind, values


def _of_traffic(
    connection: Connection, begin: int, end: int, step: Step, event_type: EventType | None
) -> _Parts:
    parts: _Parts = defaultdict(Figures)
    for start, kind, values in rows_of_traffic(connection, begin, end, step, event_type):
        add_traffic(parts[start - start % step.ms, kind], values)
    return parts


def _of_one_callback(
    connection: Connection, begin: int, end: int, step: Step, callback: CallbackId
) -> _Parts:
    parts: _Parts = defaultdict(Figures)
    if step is not Step.HOUR:
        return parts
    rows = selected(figure_callback_hours, "hour_at", *OF_ATTEMPTS).where(
        _of_callback.callback_id == callback,
        _of_callback.hour_at >= begin,
        _of_callback.hour_at < end,
    )
    for hour_at, *values in connection.execute(rows):
        add_attempts(parts[hour_at, ""], values)
    return parts


def highest_samples(connection: Connection, begin: int, end: int, step: Step) -> dict[int, Gauges]:
    """Return the highest sample of each step that has one."""
    at = figure_gauges.c.minute_at
    start = (at - at % step.ms).label("start")
    names = ("deliveries_due", "oldest_due_ms", "outbox_depth", "queue_depth")
    highest = [sa.func.max(figure_gauges.c[name]) for name in names]
    rows = sa.select(start, *highest).where(at >= begin, at < end).group_by(start)
    return {row[0]: Gauges(*row[1:]) for row in connection.execute(rows)}


def _sums(parts: Iterable[tuple[Key, Figures]]) -> dict[Key, Figures]:
    """Return the sums of figures by key. They are values of their own."""
    sums: dict[Key, Figures] = {}
    for key, one in parts:
        known = sums.get(key)
        if known is None:
            sums[key] = one.copy()
        else:
            known.add(one)
    return sums
