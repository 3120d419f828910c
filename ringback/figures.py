"""The figures behind the gauges: how much waits and what is connected. Gathered when `/metrics` is read, at most every two seconds.

Never counts anything by itself: the wiring adds what each part can tell. A part that cannot answer leaves its figures out,
because a gap can be seen on a graph and a wrong zero cannot.
"""

import threading
import time
from collections.abc import Callable, Mapping

from schemas.errors import RingbackError

Figures = Mapping[str, float | Mapping[str, float]]
"""By gauge, without prefix: a number, or numbers by state."""

KEPT_S = 2.0
"""Longer: a graph lags. Shorter: several scrapers, or somebody reloading a page, make the database count again and again."""


class Gatherer:
    """Asks its sources in turn. Thread-safe: readers that come together share one asking."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._asking = threading.Lock()
        self._cheap: list[Callable[[], Figures]] = []
        self._costly: list[Callable[[], Figures]] = []
        self._kept: Figures = {}
        self._kept_until_s = float("-inf")

    def add(self, source: Callable[[], Figures]) -> None:
        """One that looks into memory: asked each time."""
        self._cheap.append(source)

    def add_costly(self, source: Callable[[], Figures]) -> None:
        """One that asks a database or a broker: its answer, or that there was none, is kept for two seconds."""
        self._costly.append(source)

    def __call__(self) -> Figures:
        with self._asking:
            if self._clock() >= self._kept_until_s:
                self._kept = _asked(self._costly)
                self._kept_until_s = self._clock() + KEPT_S
            return {**self._kept, **_asked(self._cheap)}


def _asked(sources: list[Callable[[], Figures]]) -> Figures:
    answers: dict[str, float | Mapping[str, float]] = {}
    for source in sources:
        try:
            answers.update(source())
        except RingbackError:  # it is away: its figures are left out, and `database_connected` and `broker_connected` say so
            continue
    return answers
