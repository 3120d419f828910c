"""The figures behind the gauges: how much waits and what is connected. Gathered when `/metrics` is
read.

Never counts anything by itself: the wiring adds what each part can tell. A part that cannot answer
leaves its figures out, because a gap can be seen on a graph and a wrong zero cannot.
"""

import threading
import time
from collections.abc import Callable, Mapping

from schemas.errors import RingbackError

Figures = Mapping[str, float | Mapping[str, float]]
"""By gauge, without prefix: a number, or numbers by state."""

Source = Callable[[], Figures]
"""May raise any of our errors when what it asks is away."""

KEPT_S = 2.0
"""Longer: a graph lags. Shorter: several scrapers, or somebody reloading a page, make the database
count again and again.
"""

PATIENCE_S = 1.0
"""How long a reader waits for a database or broker that is silent. Longer than a scraper's own
patience would cost the page.
"""


class Gatherer:
    """Asks its sources in turn. Thread-safe. Add all of them before the first reading."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, patience_s: float = PATIENCE_S):
        self._clock, self._patience_s = clock, patience_s
        self._cheap: list[Source] = []
        self._costly: list[_Kept] = []

    def add(self, source: Source) -> None:
        """One that looks into memory: asked each time."""
        self._cheap.append(source)

    def add_costly(self, source: Source) -> None:
        """One that asks a database or a broker: its answer, or that there was none, is kept for two
        seconds.
        """
        self._costly.append(_Kept(source, self._clock))

    def __call__(self) -> Figures:
        answers: dict[str, float | Mapping[str, float]] = {}
        for kept in self._costly:
            answers.update(kept.answer(self._patience_s))
        for source in self._cheap:
            answers.update(source())
        return answers


class _Kept:
    """One costly source, asked by a thread of its own so that nobody need wait for it to the end,
    and never twice at once.
    """

    def __init__(self, source: Source, clock: Callable[[], float]):
        self._source, self._clock = source, clock
        self._lock = threading.Lock()
        self._asked = threading.Event()
        self._asked.set()
        self._gauges: Figures = {}
        self._until_s = float("-inf")

    def answer(self, patience_s: float) -> Figures:
        """The last answer when it is new enough; nothing while a newer one is being waited for in
        vain.
        """
        with self._lock:
            if self._asked.is_set() and self._clock() >= self._until_s:
                self._asked.clear()
                threading.Thread(target=self._ask, name="ringback-figures", daemon=True).start()
        return self._gauges if self._asked.wait(patience_s) else {}

    def _ask(self) -> None:
        try:
            self._gauges = self._source()
        except (
            RingbackError
        ):  # it is away: a gap, and `database_connected` or `broker_connected` says why
            self._gauges = {}
        finally:
            self._until_s = self._clock() + KEPT_S
            self._asked.set()
