"""The metrics of this process, on Prometheus' client library; nobody else imports it.

`Metrics` holds every counter and histogram of the contract, and asks for the gauges when it is read. Counting is on the way
of every event: what is counted is only gathered there, and handed to the library for many at once. Called by `ringback.observability.observer` (to count) and by
whoever answers `/metrics` (to render).
"""

import os
import platform
import threading
from bisect import bisect_left
from collections import Counter as Counts
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
    values,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector

from ringback.observability.gauges import Figures
from schemas.deliveries.deliveries import SETTLED, Outcome, Trigger
from schemas.errors import Problem
from schemas.events.types import EventType
from schemas.observer import EXPIRING

MULTIPROCESS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable that makes worker processes count into files of one folder, and each
answer for all of them.
"""

FLUSH_S = 0.1
"""How old the figures of another worker process may be. Longer: more of them is lost when it is
killed. Shorter: more work.
"""

_T = TypeVar("_T")

_ATTEMPT_BUCKETS_S = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    15,
    30,
    60,
)
_FIRST_ATTEMPT_BUCKETS_S = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    30,
    60,
    120,
    300,
)
_END_TO_END_BUCKETS_S = (
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    5,
    30,
    300,
    1800,
    7200,
    18000,
    43200,
    86400,
    172800,
    345600,
)
_REQUEST_BUCKETS_S = (
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
)

_GAUGES = {
    "deliveries_due": "Deliveries in the store whose next attempt is due and that nobody has taken; 100,000: at least so many.",
    "deliveries_due_oldest_seconds": "For how long the longest waiting of them is due.",
    "events_oldest_seconds": "For how long the oldest event is kept already.",
    "outbox_depth": "Messages that wait in the outbox.",
    "outbox_oldest_seconds": "For how long the oldest of them waits.",
    "queue_depth": "Messages that wait in the broker's queue.",
    "dead_letters": "Messages that were no events.",
    "in_flight": "Attempts of this process that wait for their answer.",
    "callbacks": "Callbacks by state.",
    "tokens": "Tokens by state.",
    "broker_connected": "Whether this process holds a working connection to the broker.",
    "database_connected": "Whether the database answers this process, and takes what it writes.",
}


class Labelled:
    """A counter that is counted up for many at once: what threads add is gathered without a lock
    until `flush`.
    """

    def __init__(self, counter: Counter, known: Iterable[tuple[str, ...]]):
        self._counter = counter
        self._gathered: deque[tuple[tuple[str, ...], float]] = deque()
        for labels in known:
            counter.labels(*labels)  # so that it is there, as 0, before anything happens

    def add(self, *labels: str, count: float = 1) -> None:
        self._gathered.append((labels, count))

    def flush(self) -> None:
        sums: defaultdict[tuple[str, ...], float] = defaultdict(float)
        for labels, count in _drained(self._gathered):
            sums[labels] += count
        for labels, count in sums.items():
            self._counter.labels(*labels).inc(count)


class Timed:
    """The same of a histogram with one label. Seconds."""

    def __init__(self, histogram: "_Histogram", known: Iterable[str]):
        self._histogram = histogram
        self._gathered: deque[tuple[str, float]] = deque()
        for label in known:
            histogram.labels(label)

    def observe(self, label: str, seconds: float) -> None:
        self._gathered.append((label, seconds))

    def flush(self) -> None:
        observed: defaultdict[str, list[float]] = defaultdict(list)
        for label, seconds in _drained(self._gathered):
            observed[label].append(seconds)
        for label, durations in observed.items():
            self._histogram.labels(label).observe_all(durations)


class _Histogram(Histogram):
    """The library's takes one value at a time, with a lock (and a write to a file, of worker
    processes) for each of its parts.
    """

    def observe_all(self, amounts: Sequence[float]) -> None:
        in_bucket = Counts(bisect_left(self._upper_bounds, amount) for amount in amounts)
        for place, count in in_bucket.items():
            self._buckets[place].inc(count)
        self._sum.inc(sum(amounts))


def _drained(gathered: deque[_T]) -> list[_T]:
    """What is there now; others may go on adding at the other end."""
    return [gathered.popleft() for _ in range(len(gathered))]


class Metrics:
    """All metrics of one process. Thread-safe. With PROMETHEUS_MULTIPROC_DIR set, those of all
    worker processes.
    """

    def __init__(self, version: str, figures: Callable[[], Figures] = dict):
        disable_created_metrics()
        folder = os.environ.get(MULTIPROCESS_FOLDER)
        if folder and not values.ValueClass._multiprocess:  # noqa: SLF001 - chosen when the library was imported, before the variable was set
            values.ValueClass = values.MultiProcessValue()
        self._registry = CollectorRegistry()
        self._gathering: list[Labelled | Timed] = []
        self._flushing = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(
            target=self._flush_for_ever, name="ringback-metrics", daemon=True
        )
        self._count_events()
        self._count_requests()
        self._count_attempts()
        self.log_lines_dropped = Counter(
            "log_lines_dropped",
            "Log lines that standard output did not take.",
            namespace="ringback",
            registry=self._registry,
        )
        self.requests_unlogged = Counter(
            "requests_unlogged",
            "Rows that the request log lost while the database was away.",
            namespace="ringback",
            registry=self._registry,
        )
        self._shown = self._registry if folder is None else _of_all_workers(folder)
        self._shown.register(_Gauges(version, figures))
        ProcessCollector(registry=self._shown)

    def start(self) -> None:
        """Hand over what has gathered, now and then, from now on."""
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join()
        self._flush()

    def http_request(self, route: str, method: str, status: int, duration_s: float) -> None:
        """`route` is the pattern that matched, `method` one that HTTP knows: the caller sees to it
        that neither set has no end.
        """
        self._requests.add(route, method, str(status))
        self._request_duration.observe(route, duration_s)

    def render(self) -> tuple[bytes, str]:
        """What `/metrics` answers, and its content type."""
        self._flush()
        return generate_latest(self._shown), CONTENT_TYPE_PLAIN_0_0_4

    def _count_events(self) -> None:
        kinds = [(str(kind),) for kind in EventType]
        slugs = [(slug,) for slug in sorted(_slugs(Problem))]
        self.events_accepted = self._counter(
            "events_accepted", "Events answered with 202.", ["type"], kinds
        )
        self.events_rejected = self._counter(
            "events_rejected", "Events refused, by the problem's slug.", ["reason"], slugs
        )
        self.events_duplicate = self._counter(
            "events_duplicate", "Events whose id had been seen before.", ["type"], kinds
        )
        self.events_conflicting = self._counter(
            "events_conflicting", "Events whose id had other content before.", ["type"], kinds
        )

    def _count_requests(self) -> None:
        self._requests = self._counter(
            "http_requests", "Requests answered by the API.", ["route", "method", "status"]
        )
        self._request_duration = self._histogram(
            "http_request_duration_seconds",
            "From a request's arrival to its answer.",
            "route",
            _REQUEST_BUCKETS_S,
        )
        self.auth_failures = self._counter(
            "token_auth_failures", "Requests without a valid token.", ["reason"]
        )

    def _count_attempts(self) -> None:
        kinds = [str(kind) for kind in EventType]
        known = list(product(kinds, map(str, Outcome), map(str, Trigger)))
        self.attempts = self._counter(
            "attempts",
            "HTTP requests to callbacks, by how they ended.",
            ["type", "outcome", "trigger"],
            known,
        )
        ends = list(product(kinds, sorted(map(str, SETTLED))))
        self.settled = self._counter(
            "deliveries_settled", "Deliveries that are done with.", ["type", "state"], ends
        )
        self.deferred = self._counter(
            "deliveries_deferred",
            "Deliveries whose first attempt was put off, and why.",
            ["reason"],
            [("spilled",), ("breaker",), ("throttled",), ("held",), ("status",)],
        )
        self.expired = self._counter(
            "rows_expired",
            "Rows that were deleted as older than the retention.",
            ["table"],
            [(table,) for table in EXPIRING],
        )
        self.attempt_duration = self._histogram(
            "attempt_duration_seconds",
            "From the start of an attempt to its answer or failure.",
            "type",
            _ATTEMPT_BUCKETS_S,
            kinds,
        )
        self.first_attempt_delay = self._histogram(
            "first_attempt_delay_seconds",
            "From an event's acceptance to its first attempt.",
            "type",
            _FIRST_ATTEMPT_BUCKETS_S,
            kinds,
        )
        self.end_to_end = self._histogram(
            "end_to_end_seconds",
            "From an event's acceptance to the answer that delivered it.",
            "type",
            _END_TO_END_BUCKETS_S,
            kinds,
        )

    def _counter(
        self, name: str, what: str, labels: list[str], known: Iterable[tuple[str, ...]] = ()
    ) -> Labelled:
        made = Labelled(
            Counter(name, what, labels, namespace="ringback", registry=self._registry), known
        )
        self._gathering.append(made)
        return made

    def _histogram(
        self, name: str, what: str, label: str, buckets: Sequence[float], known: Iterable[str] = ()
    ) -> Timed:
        made = Timed(
            _Histogram(
                name, what, [label], namespace="ringback", registry=self._registry, buckets=buckets
            ),
            known,
        )
        self._gathering.append(made)
        return made

    def _flush_for_ever(self) -> None:
        while not self._closed.wait(FLUSH_S):
            self._flush()

    def _flush(self) -> None:
        with self._flushing:
            for one in self._gathering:
                one.flush()


class _Gauges:
    """A collector in the library's sense: what is true now, asked for when somebody reads."""

    def __init__(self, version: str, figures: Callable[[], Figures]):
        self._version, self._gauges = version, figures

    def collect(self) -> Iterable[Metric]:
        info = GaugeMetricFamily(
            "ringback_build_info",
            "Always 1; the version is in the label.",
            labels=["version", "python"],
        )
        info.add_metric([self._version, platform.python_version()], 1)
        yield info
        for name, value in self._gauges().items():
            yield _gauge(name, value)


def _gauge(name: str, value: float | Mapping[str, float]) -> GaugeMetricFamily:
    if isinstance(value, Mapping):
        family = GaugeMetricFamily(f"ringback_{name}", _GAUGES[name], labels=["state"])
        for state, count in value.items():
            family.add_metric([state], count)
        return family
    return GaugeMetricFamily(f"ringback_{name}", _GAUGES[name], value=value)


def _of_all_workers(folder: str) -> CollectorRegistry:
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=folder)
    return registry


def _slugs(problem: type[Problem]) -> set[str]:
    return {slug for each in problem.__subclasses__() for slug in {each.slug} | _slugs(each)}
