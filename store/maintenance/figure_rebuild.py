"""Rebuilding figures from the events and attempts that are stored: after an upgrade from a release
without figures, or when a crash has lost some.

Only whole hours are rebuilt that ended some time ago, as dispatchers still write to the others, and
only those whose attempts are all stored. Deliveries that ended without success leave no trace of
when they did: their counts stay as they are.

Reading is in slices, and so is replacing (`store.maintenance.figure_replacement`). So it may run
next to live processes, be interrupted, and be begun again: charts show old figures or new ones,
never a part. Called by the command line.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from schemas.deliveries.deliveries import Trigger
from schemas.figures import HOUR_MS, MINUTE_MS, PROMPT_MS, Figures, minutes_since
from schemas.latency_histogram import count_into
from schemas.times import UnixMs
from store.deliveries.samples import no_test
from store.engine.database import Database
from store.engine.paging import Row
from store.engine.sql_types import SqlColumn
from store.figures.settled import SETTLED_AFTER_MS
from store.maintenance.figure_replacement import (
    any_traffic,
    batched,
    callbacks_of_hour,
    replace_callbacks,
    replace_hour,
)
from store.tables import attempts, deliveries, events

SLICE = 20_000
"""Rows that a statement reads. More: on a slow disk one may exceed the statement timeout. Fewer:
more statements.
"""

CALLBACK_HOURS = 100_000
"""Figures of callbacks that are in memory at once. With more of them, the attempts are read several
times. More: more memory. Fewer: more readings.
"""

_LAST = "~"  # above every id
_ATTEMPT_KEY = (attempts.c.event_id, attempts.c.callback_id, attempts.c.id)
_EVENT_KEY = (events.c.accepted_at, events.c.id)

Traffic = dict[tuple[int, str], Figures]
"""Figures by the beginning of their minute, or of their hour where minutes are merged, and type."""


@dataclass
class Progress:
    """What was done so far."""

    since: UnixMs
    """The beginning of the first hour that is rebuilt."""

    until: UnixMs
    """The end of the last one. Not after `since`: there is none."""

    read: int = 0
    """Rows that were read, some of them more than once."""

    events: int = 0
    """Events that were counted."""

    attempts: int = 0
    """Attempts that were counted."""

    hours: int = 0
    """Hours whose figures were replaced."""


class _Callbacks:
    """The figures of as many callbacks as there is memory for: those whose id is from `low` to
    before `high`, by hour.
    """

    def __init__(self, low: str = ""):
        self.low, self.high = low, _LAST
        self.hours: dict[tuple[int, str], Figures] = {}

    def of(self, hour_at: int, callback_id: str) -> Figures | None:
        """Return the figures to count into; None: they are another reading's."""
        key = hour_at, callback_id
        if not self.low <= callback_id < self.high:
            return None
        if key not in self.hours and len(self.hours) >= CALLBACK_HOURS:
            self._leave_half()
            if callback_id >= self.high:
                return None
        return self.hours.setdefault(key, Figures())

    def _leave_half(self) -> None:
        """Leave half of the callbacks to the next reading, if there are two."""
        ids = sorted({callback_id for _, callback_id in self.hours})
        if len(ids) > 1:
            self.high = ids[len(ids) // 2]
            self.hours = {key: one for key, one in self.hours.items() if key[1] < self.high}


def rebuild(database: Database, since: UnixMs, kept_for_ms: int) -> Iterator[Progress]:
    """Rebuild the figures of whole hours, from the one that `since` is in. Yield the progress after
    each slice. `kept_for_ms` is the retention. Raises StoreUnavailable.
    """
    now = database.time()
    rebuilding = _Rebuilding(database, _range(since, kept_for_ms, now), minutes_since(now))
    yield rebuilding.progress
    if rebuilding.progress.since < rebuilding.progress.until:
        for _ in rebuilding.steps():
            yield rebuilding.progress


def _range(since: UnixMs, kept_for_ms: int, now: UnixMs) -> Progress:
    """Return the hours that can be rebuilt. Attempts from before the retention may be deleted, and
    more of them while this goes on.
    """
    complete = now - kept_for_ms + HOUR_MS
    begin = max(since - since % HOUR_MS, complete + -complete % HOUR_MS)
    end = now - SETTLED_AFTER_MS
    return Progress(UnixMs(begin), UnixMs(end - end % HOUR_MS))


class _Rebuilding:
    """One rebuild. Each step is a slice that was read or replaced."""

    def __init__(self, database: Database, progress: Progress, by_minute_since: UnixMs):
        self._database, self.progress = database, progress
        self._by_minute_since = by_minute_since
        self._traffic: Traffic = defaultdict(Figures)

    def steps(self) -> Iterator[None]:
        for rows in self._events():
            for row in rows:
                self._traffic[self._start(row.accepted_at), row.type].accepted += 1
            self.progress.events += len(rows)
            yield
        callbacks = _Callbacks()
        for rows in self._attempts():
            for row in rows:
                self._count(row)
                _count_of_callback(row, callbacks)
            self.progress.attempts += len(rows)
            yield
        yield from self._replace_traffic()
        yield from self._replace_callbacks(callbacks)
        while callbacks.high != _LAST:
            callbacks = _Callbacks(callbacks.high)
            for rows in self._attempts():
                for row in rows:
                    _count_of_callback(row, callbacks)
                yield
            yield from self._replace_callbacks(callbacks)

    def _start(self, at: int) -> int:
        return at - at % (MINUTE_MS if at >= self._by_minute_since else HOUR_MS)

    def _count(self, row: Row) -> None:
        figures = self._traffic[self._start(row.started_at), row.type]
        figures.outcomes[row.outcome] = figures.outcomes.get(row.outcome, 0) + 1
        count_into(figures.latency, row.duration_ms)
        if row.is_prompt and row.accepted_at is not None:
            count_into(figures.first_delay, row.started_at - row.accepted_at)

    def _events(self) -> Iterator[Sequence[Row]]:
        c = events.c
        within = (c.accepted_at >= self.progress.since, c.accepted_at < self.progress.until)
        rows = sa.select(c.accepted_at, c.type).where(no_test(c.id))
        return self._slices(_EVENT_KEY, within, rows)

    def _attempts(self) -> Iterator[Sequence[Row]]:
        """Read all attempts by key, as they have no index by time."""
        c = attempts.c
        joined = attempts.join(
            deliveries,
            sa.and_(deliveries.c.event_id == c.event_id, deliveries.c.callback_id == c.callback_id),
        ).outerjoin(events, events.c.id == c.event_id)
        rows = (
            sa.select(c.callback_id, c.started_at, c.duration_ms, c.outcome, _is_prompt)
            .add_columns(deliveries.c.type, events.c.accepted_at)
            .select_from(joined)
            .where(no_test(c.event_id))
            .where(c.started_at >= self.progress.since, c.started_at < self.progress.until)
        )
        return self._slices(_ATTEMPT_KEY, (), rows)

    def _slices(
        self,
        key: Sequence[SqlColumn],
        walked: Sequence[sa.ColumnElement[bool]],
        rows: sa.Select[*tuple[Any, ...]],
    ) -> Iterator[Sequence[Row]]:
        """Read `rows` along a key, and with `walked` only a part of it."""
        whole, after = sa.tuple_(*key), list[sa.ColumnElement[bool]]()
        while True:
            ends = sa.select(*key).where(*walked, *after).order_by(*key)
            with self._database.read() as connection:
                end = connection.execute(ends.offset(SLICE - 1).limit(1)).one_or_none()
                until = [] if end is None else [whole <= sa.tuple_(*end)]
                found = connection.execute(rows.where(*walked, *after, *until)).all()
            self.progress.read += SLICE if end is not None else len(found)
            yield found
            if end is None:
                return
            after = [whole > sa.tuple_(*end)]

    def _replace_traffic(self) -> Iterator[None]:
        by_hour: dict[int, Traffic] = defaultdict(dict)
        for (start, kind), figures in self._traffic.items():
            by_hour[start - start % HOUR_MS][start, kind] = figures
        for hour_at in range(self.progress.since, self.progress.until, HOUR_MS):
            own = by_hour[hour_at]
            if own or self._any_traffic(hour_at):
                with_minutes = hour_at >= self._by_minute_since
                with self._database.write() as connection:
                    replace_hour(connection, hour_at, own, with_minutes=with_minutes)
            self.progress.hours += 1
            yield

    def _any_traffic(self, hour_at: int) -> bool:
        with self._database.read() as connection:
            return any_traffic(connection, hour_at)

    def _replace_callbacks(self, callbacks: _Callbacks) -> Iterator[None]:
        by_hour: dict[int, dict[str, Figures]] = defaultdict(dict)
        for (hour_at, callback_id), figures in callbacks.hours.items():
            by_hour[hour_at][callback_id] = figures
        for hour_at in range(self.progress.since, self.progress.until, HOUR_MS):
            own = by_hour[hour_at]
            with self._database.read() as connection:
                known = callbacks_of_hour(connection, hour_at)
            ids = {one for one in known if callbacks.low <= one < callbacks.high} | own.keys()
            merged = hour_at < self._by_minute_since
            for some in batched(sorted(ids)):
                with self._database.write() as connection:
                    replace_callbacks(connection, hour_at, some, own, merged=merged)
                yield


_is_prompt = sa.and_(
    attempts.c.number == 1,
    attempts.c.trigger == Trigger.FIRST.value,
    attempts.c.started_at - deliveries.c.created_at <= PROMPT_MS,
).label("is_prompt")
"""The rule of `store.figures.settled` in SQL."""


def _count_of_callback(row: Row, callbacks: _Callbacks) -> None:
    figures = callbacks.of(row.started_at - row.started_at % HOUR_MS, row.callback_id)
    if figures is not None:
        figures.outcomes[row.outcome] = figures.outcomes.get(row.outcome, 0) + 1
        count_into(figures.latency, row.duration_ms)
