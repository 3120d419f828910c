"""The values behind the gauges: how much waits and what is connected, read when `/metrics` is read.

Nothing is counted here: `ringback.parts` adds a source for each part. A source that cannot answer
leaves its gauges out, because a gap is visible on a graph and a false zero is not. Called by
`ringback.observability.metrics`.
"""

import threading
import time
from collections.abc import Callable, Mapping

from schemas.errors import RingbackError

HELP = {
    "deliveries_due": (
        "Deliveries in the store that are due and that no dispatcher has leased. 100,000 means at "
        "least that many."
    ),
    "deliveries_due_oldest_seconds": "Age of the oldest due delivery, in seconds.",
    "events_oldest_seconds": "Age of the oldest stored event, in seconds.",
    "outbox_depth": "Events that wait in the outbox.",
    "outbox_oldest_seconds": "Age of the oldest event in the outbox, in seconds.",
    "queue_depth": "Messages that wait in the broker's queue.",
    "dead_letters": "Messages that are not valid events.",
    "in_flight": "Attempts of this process that wait for their answer.",
    "callbacks": "Callbacks by state.",
    "tokens": "Tokens by state.",
    "broker_connected": "1 while this process has a working connection to the broker.",
    "database_connected": "1 while the database answers this process and accepts writes.",
}
"""The HELP text of each gauge, by name without prefix."""

Gauges = Mapping[str, float | Mapping[str, float]]
"""Values by gauge, named without prefix: a number, or numbers by state."""

Source = Callable[[], Gauges]
"""Reads some gauges. May raise RingbackError when what it reads is unavailable."""

KEPT_S = 2.0
"""Longer: a graph lags. Shorter: several scrapers, or a page that is reloaded, make the database
count again and again.
"""

REFRESH_TIMEOUT_S = 1.0
"""How long a reader waits for a database or broker that is silent. Longer: a scraper with a shorter
timeout loses the whole page. Shorter: a slow answer is a gap more often.
"""


class Gatherer:
    """Reads all sources in turn. Thread-safe. Add every source before the first reading."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, timeout_s: float = REFRESH_TIMEOUT_S
    ):
        self._clock, self._timeout_s = clock, timeout_s
        self._cheap: list[Source] = []
        self._costly: list[_CachedSource] = []

    def add(self, source: Source) -> None:
        """Add a source that reads memory. It is called at each reading."""
        self._cheap.append(source)

    def add_costly(self, source: Source) -> None:
        """Add a source that asks a database or a broker. Its result, or its failure, is kept for
        `KEPT_S`.
        """
        self._costly.append(_CachedSource(source, self._clock))

    def __call__(self) -> Gauges:
        """Return the gauges of all sources that answer in time."""
        values: dict[str, float | Mapping[str, float]] = {}
        for cached in self._costly:
            values.update(cached.read(self._timeout_s))
        for source in self._cheap:
            values.update(source())
        return values


class _CachedSource:
    """One costly source. A thread of its own calls it, so that a reader can stop waiting, and never
    twice at once.
    """

    def __init__(self, source: Source, clock: Callable[[], float]):
        self._source, self._clock = source, clock
        self._lock = threading.Lock()
        self._refreshed = threading.Event()
        self._refreshed.set()
        self._values: Gauges = {}
        self._until_s = float("-inf")

    def read(self, timeout_s: float) -> Gauges:
        """Return the last values if they are new enough, none while newer ones take longer than
        `timeout_s`.
        """
        with self._lock:
            if self._refreshed.is_set() and self._clock() >= self._until_s:
                self._refreshed.clear()
                threading.Thread(target=self._refresh, name="ringback-gauges", daemon=True).start()
        return self._values if self._refreshed.wait(timeout_s) else {}

    def _refresh(self) -> None:
        try:
            self._values = self._source()
        except RingbackError:  # a gap; `database_connected` or `broker_connected` says why
            self._values = {}
        finally:
            self._until_s = self._clock() + KEPT_S
            self._refreshed.set()
