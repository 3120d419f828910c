"""What one dispatcher process accepts and settles, counted by minute, and by callback and hour.

The rows of minutes are written in the transaction that settles, so figures say what the lists say,
also after a crash. The others are written every few seconds, as a batch may be of a hundred
callbacks; a crash loses so much of them. A row has no other writer. So it is written as what it
holds in all, which may be repeated when it is not known whether a commit happened.

Called by `consumers.pipeline.settled_figures`, in one thread, except `accept`.
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec

from schemas.deliveries.deliveries import Attempt, Delivery, DeliveryState, Trigger
from schemas.deliveries.settlement import Settlement
from schemas.events.types import EventType
from schemas.figures import HOUR_MS, MINUTE_MS, PROMPT_MS, UNSUCCESSFUL, Figures
from schemas.ids import CallbackId, is_test_event
from schemas.latency_histogram import bucket_of
from schemas.times import UnixMs
from store.engine import bulk
from store.engine.database import Connection
from store.figures.rows import (
    REPLACE_ATTEMPTS,
    REPLACE_MINUTES,
    columns_of_attempts,
    columns_of_traffic,
    new_writer,
)
from store.tables import figure_callback_hours, figure_minutes

OPEN_MS = 10 * MINUTE_MS
"""How long a row may still be written to: a minute's since it was last written, an hour's since the
hour ended. What comes later gets another row of the same minute or hour. Longer: more memory.
Shorter: more rows. Less than SETTLED_AFTER_MS, as nothing may be written to what is merged.
"""

SETTLED_AFTER_MS = 15 * MINUTE_MS
"""How long after it was last written a row may be merged with others. Longer: more rows are read
for a chart. Shorter: a dispatcher that was stopped for a moment may still write to it.
"""

GIVEN_UP_MS = HOUR_MS
"""How long after its end an hour's row may still be written to because the store was away."""

MERGED_AFTER_MS = 2 * HOUR_MS
"""How long after its end the rows of an hour are merged. Longer: there are more of them. Must be
longer than GIVEN_UP_MS, or figures are counted twice.
"""

OPEN_CALLBACK_HOURS = 2_000
"""Rows of callbacks that are kept in memory between two flushes. More: more memory. Fewer: more
rows, which are merged hours later.
"""

FLUSH_ROWS = 500
"""Rows of callbacks in one transaction. More: settlements wait longer for it. Fewer: more commits.
"""

Minute = tuple[int, EventType]
"""The beginning of a minute, and a type."""

CallbackHour = tuple[int, CallbackId]
"""The beginning of an hour, and a callback."""

Key = TypeVar("Key", Minute, CallbackHour)


Tried = tuple[Minute, str, int, int | None]
"""What is counted of an attempt by minute: its outcome, the bucket of its duration, and that of its
first-attempt delay; None: it was put off, or is no first one. Those that are alike are counted
together.
"""

OfCallback = tuple[CallbackHour, str | None, int, DeliveryState | None]
"""What is counted by callback and hour, of an attempt or of an end without success: outcome, bucket
of the duration, state. Plain tuples: this is done for each delivery.
"""


class _Row(msgspec.Struct):
    """A row that only this process writes."""

    writer: str
    figures: Figures
    """What the stored row says."""
    used_at: UnixMs
    """When it was last written."""


class SettledCounts:
    """Counts of one settler. `write` in its transaction, then `committed`. Now and then `flush`,
    then `flushed`.
    """

    def __init__(self) -> None:
        self._writer = new_writer()
        self._arrived: deque[Mapping[Minute, int]] = deque()
        self._accepted: Counter[Minute] = Counter()
        self._minutes: dict[Minute, _Row] = {}
        self._hours: dict[CallbackHour, _Row] = {}
        self._of_callbacks: list[OfCallback] = []
        self._unflushed: dict[CallbackHour, Figures] = {}
        self._written: dict[Minute, Figures] = {}
        self._counted: list[OfCallback] = []

    def accept(self, accepted: Mapping[Minute, int]) -> None:
        """Count events that were claimed, with the next `write`. May be called from any thread."""
        if accepted:
            self._arrived.append(accepted)

    def write(self, connection: Connection, settlements: Iterable[Settlement], now: UnixMs) -> None:
        """Write the minutes of these settlements. Nothing of it counts before `committed`."""
        self._close_minutes(now)
        minutes, self._counted = _count(settlements, now)
        while self._arrived:
            self._accepted.update(self._arrived.popleft())
        for minute, count in self._accepted.items():
            minutes.setdefault(minute, Figures()).accepted += count
        self._written = {
            minute: _sum(self._open(self._minutes, minute, now).figures, added)
            for minute, added in minutes.items()
        }
        rows = [
            {
                "minute_at": minute[0],
                "type": minute[1].value,
                "writer": self._minutes[minute].writer,
                **columns_of_traffic(self._written[minute]),
                "written_at": now,
            }
            for minute in sorted(self._written)
        ]
        bulk.insert(connection, figure_minutes, rows, REPLACE_MINUTES)

    def committed(self, now: UnixMs) -> None:
        """Count what was written: its transaction is committed."""
        for minute, figures in self._written.items():
            row = self._minutes[minute]
            row.figures, row.used_at = figures, now
        self._of_callbacks += self._counted
        self._accepted.clear()
        self._written, self._counted = {}, []

    @property
    def flushable(self) -> bool:
        """Whether there are figures that are not written."""
        return bool(self._of_callbacks or self._unflushed or self._arrived or self._accepted)

    @property
    def is_behind(self) -> bool:
        """Whether the last `flush` left rows of callbacks to the next."""
        return bool(self._unflushed)

    def flush(self, connection: Connection, now: UnixMs) -> Sequence[CallbackHour]:
        """Write what was accepted, and some of the rows of callbacks. After the commit, call
        `committed` and pass the result to `flushed`.
        """
        self.write(connection, (), now)
        gathered, self._of_callbacks = self._of_callbacks, []
        _gather(gathered, self._unflushed)
        some = sorted(self._unflushed)[:FLUSH_ROWS]
        rows = [
            {
                "hour_at": hour[0],
                "callback_id": hour[1],
                "writer": row.writer,
                **columns_of_attempts(_sum(row.figures, self._unflushed[hour])),
            }
            for hour in some
            for row in [self._open(self._hours, hour, now)]
        ]
        bulk.insert(connection, figure_callback_hours, rows, REPLACE_ATTEMPTS)
        return some

    def flushed(self, hours: Sequence[CallbackHour], now: UnixMs) -> None:
        """Count what `flush` wrote: its transaction is committed."""
        for hour in hours:
            row = self._hours[hour]
            row.figures.add(self._unflushed.pop(hour))
            row.used_at = now

    def forget_unflushed(self) -> None:
        """Give up what cannot be written, so that it does not gather for ever."""
        self._of_callbacks, self._unflushed = [], {}
        self._arrived.clear()
        self._accepted.clear()

    def close_hours(self, now: UnixMs) -> None:
        """Forget hours of callbacks that are not to be written any more, and those that were not
        used for longest when there are many. One that waits for the store is kept until it would be
        merged: what is written then is a row of its own.
        """
        over = [
            hour
            for hour in self._hours
            if hour[0] + HOUR_MS < now - (GIVEN_UP_MS if hour in self._unflushed else OPEN_MS)
        ]
        self._forget(self._hours, over)
        if (surplus := len(self._hours) - OPEN_CALLBACK_HOURS) > 0:
            written = [hour for hour in self._hours if hour not in self._unflushed]
            written.sort(key=lambda hour: self._hours[hour].used_at)
            self._forget(self._hours, written[:surplus])

    def _close_minutes(self, now: UnixMs) -> None:
        """Forget minutes that are not to be written any more. One of which it is not known whether
        it was written stays.
        """
        before = now - OPEN_MS
        closed = [
            minute
            for minute, row in self._minutes.items()
            if row.used_at < before and minute not in self._written
        ]
        self._forget(self._minutes, closed)

    def _forget(self, rows: dict[Key, _Row], closed: Sequence[Key]) -> None:
        """Forget rows. What comes for them later gets rows of another writer, as what these hold is
        not known then.
        """
        for key in closed:
            del rows[key]
        if closed:
            self._writer = new_writer()

    def _open(self, rows: dict[Key, _Row], key: Key, now: UnixMs) -> _Row:
        """Return this process's row of a minute or hour, which may be new."""
        row = rows.get(key)
        if row is None:
            row = rows[key] = _Row(self._writer, Figures(), now)
        return row


def _count(
    settlements: Iterable[Settlement], now: UnixMs
) -> tuple[dict[Minute, Figures], list[OfCallback]]:
    """Return the figures of settlements by minute, and what is to be gathered by callback."""
    tried: dict[Tried, int] = {}
    ended: dict[tuple[Minute, DeliveryState], int] = {}
    of_callbacks: list[OfCallback] = []
    for settlement in settlements:
        delivery, attempt, state = settlement.delivery, settlement.attempt, settlement.state
        failed = state if state in _UNSUCCESSFUL else None
        if (attempt is None and failed is None) or is_test_event(delivery.event_id):
            continue
        at = now if attempt is None else attempt.started_at
        minute = at - at % MINUTE_MS, delivery.type
        hour = at - at % HOUR_MS, delivery.callback_id
        outcome, latency = None, 0
        if attempt is not None:
            outcome, latency = attempt.outcome, bucket_of(attempt.duration_ms)
            alike = minute, outcome, latency, _first_delay(delivery, attempt)
            tried[alike] = tried.get(alike, 0) + 1
        if failed is not None:
            ended[minute, failed] = ended.get((minute, failed), 0) + 1
        of_callbacks.append((hour, outcome, latency, failed))
    return _by_minute(tried, ended), of_callbacks


_UNSUCCESSFUL = frozenset(UNSUCCESSFUL)


def _first_delay(delivery: Delivery, attempt: Attempt) -> int | None:
    """Return the bucket of a first-attempt delay, if this attempt has one. `figure_rebuild` has the
    same rule in SQL.
    """
    at = attempt.started_at
    if (
        attempt.number == 1
        and attempt.trigger is Trigger.FIRST
        and at - delivery.created_at <= PROMPT_MS
    ):
        return bucket_of(at - delivery.accepted_at)
    return None


def _by_minute(
    tried: Mapping[Tried, int], ended: Mapping[tuple[Minute, DeliveryState], int]
) -> dict[Minute, Figures]:
    minutes: dict[Minute, Figures] = {}
    for (minute, outcome, latency, first_delay), count in tried.items():
        figures = minutes.get(minute) or minutes.setdefault(minute, Figures())
        _add(figures.outcomes, outcome, count)
        _add(figures.latency, latency, count)
        if first_delay is not None:
            _add(figures.first_delay, first_delay, count)
    for (minute, state), count in ended.items():
        _add(minutes.setdefault(minute, Figures()).ended, state, count)
    return minutes


def _gather(of_callbacks: Iterable[OfCallback], into: dict[CallbackHour, Figures]) -> None:
    for (hour, outcome, latency, state), count in Counter(of_callbacks).items():
        figures = into.get(hour) or into.setdefault(hour, Figures())
        if outcome is not None:
            _add(figures.outcomes, outcome, count)
            _add(figures.latency, latency, count)
        if state is not None:
            _add(figures.ended, state, count)


K = TypeVar("K")


def _add(counts: dict[K, int], key: K, count: int) -> None:
    counts[key] = counts.get(key, 0) + count


def _sum(figures: Figures, added: Figures) -> Figures:
    total = figures.copy()
    total.add(added)
    return total
