"""Replacing rows of figures by rebuilt ones. Each function is one transaction.

Counts of deliveries that ended without success are not rebuilt: those of the rows that go are kept.
Called by `store.maintenance.figure_rebuild`.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

import sqlalchemy as sa

from schemas.deliveries.deliveries import DeliveryState
from schemas.figures import HOUR_MS, UNSUCCESSFUL, Figures
from store.engine import bulk
from store.engine.database import Connection
from store.engine.sql_types import SqlColumn
from store.figures.rows import (
    REPLACE_ATTEMPTS,
    REPLACE_TRAFFIC,
    columns_of_attempts,
    columns_of_traffic,
    new_writer,
    selected,
)
from store.tables import figure_callback_hours, figure_hours, figure_minutes
from store.tables.figures import MERGED

_ENDS = tuple(state.value for state in UNSUCCESSFUL)
_ATS = (figure_minutes.c.minute_at, figure_hours.c.hour_at)
_Parts = dict[tuple[int, str], Figures]
_NONE = Figures()

_CALLBACKS = 200
"""Callbacks replaced in a transaction. More: on SQLite a publish waits longer for it. Fewer: more
commits.
"""


def replace_hour(
    connection: Connection,
    hour_at: int,
    figures: Mapping[tuple[int, str], Figures],
    *,
    with_minutes: bool,
) -> None:
    """Replace the figures of all traffic in an hour by those given by minute and type.
    `with_minutes`: whether the hour still has minutes.
    """
    minutes: _Parts = defaultdict(Figures)
    minutes.update({key: one.copy() for key, one in figures.items()})
    for key, ended in _ends_of_hour(connection, hour_at).items():
        minutes[key].add(Figures(ended=ended))
    hours: _Parts = defaultdict(Figures)
    for (_, kind), one in minutes.items():
        hours[hour_at, kind].add(one)
    for at in _ATS:
        connection.execute(sa.delete(at.table).where(_within(at, hour_at)))
    if with_minutes:
        _insert(connection, figure_minutes.c.minute_at, minutes, {"writer": MERGED})
    _insert(connection, figure_hours.c.hour_at, hours, {})


def _ends_of_hour(
    connection: Connection, hour_at: int
) -> dict[tuple[int, str], dict[DeliveryState, int]]:
    """Lock an hour's rows. Return how many deliveries ended without success, by minute and type.
    What the hour knows and its minutes do not counts in its first minute.
    """
    # minutes first, as a compaction does: whichever comes second finds what the first one left
    ends: dict[tuple[int, str], Counter[DeliveryState]] = defaultdict(Counter)
    minute_at = figure_minutes.c.minute_at
    rows = selected(figure_minutes, "minute_at", "type", "writer", *_ENDS)
    merged: dict[str, Counter[DeliveryState]] = defaultdict(Counter)
    for start, kind, writer, *counts in connection.execute(
        rows.where(_within(minute_at, hour_at)).with_for_update()
    ):
        ended = dict(zip(UNSUCCESSFUL, counts, strict=True))
        ends[start, kind].update(ended)
        if writer == MERGED:
            merged[kind].update(ended)
    of_hour = selected(figure_hours, "type", *_ENDS).where(figure_hours.c.hour_at == hour_at)
    for kind, *counts in connection.execute(of_hour.with_for_update()):
        ended = dict(zip(UNSUCCESSFUL, counts, strict=True))
        ends[hour_at, kind].update(Counter(ended) - merged[kind])
    return {key: {s: n for s, n in one.items() if n} for key, one in ends.items()}


def _insert(connection: Connection, at: SqlColumn, parts: _Parts, also: Mapping[str, str]) -> None:
    rows = [
        {at.name: start, "type": kind, **also, **columns_of_traffic(parts[start, kind])}
        for start, kind in sorted(parts)
        if parts[start, kind] != _NONE
    ]
    bulk.insert(connection, at.table, rows, REPLACE_TRAFFIC)


def _within(at: SqlColumn, hour_at: int) -> sa.ColumnElement[bool]:
    return sa.and_(at >= hour_at, at < hour_at + HOUR_MS)


def any_traffic(connection: Connection, hour_at: int) -> bool:
    """Return whether there are figures of traffic in an hour."""
    return any(connection.scalar(sa.select(sa.exists().where(_within(at, hour_at)))) for at in _ATS)


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
    known = selected(figure_callback_hours, "callback_id", *_ENDS).where(these)
    for callback_id, *counts in connection.execute(known.with_for_update()):
        ended = {s: n for s, n in zip(UNSUCCESSFUL, counts, strict=True) if n}
        replaced[callback_id].add(Figures(ended=ended))
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
