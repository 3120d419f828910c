"""The metrics of this process. The only module that imports Prometheus' client library.

`Metrics` holds every counter and histogram of docs/operations.md, and reads the gauges when it is
rendered. Counting is on the path of every event, so counts are gathered and handed to the library
many at a time. Called by `ringback.observability.observer`, which counts, and by the routes for
`/metrics`, which render.
"""

import os
import platform
import threading
from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product

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

from ringback.observability import buckets
from ringback.observability.gathered import GatheredCounter, GatheredHistogram
from ringback.observability.gauges import HELP, Gauges
from schemas.deliveries.deliveries import SETTLED, Outcome, Trigger
from schemas.errors import Problem
from schemas.events.types import EventType
from schemas.observer import EXPIRING

MULTIPROCESS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable that makes worker processes count into files of one folder, and each
answer for all of them.
"""

FLUSH_S = 0.1
"""How old the numbers of another worker process may be. Longer: more of them is lost when it is
killed. Shorter: more work.
"""

_NAMESPACE = "ringback"
_EVENT_TYPES = [str(event_type) for event_type in EventType]


class Metrics:
    """All metrics of one process. Thread-safe. With PROMETHEUS_MULTIPROC_DIR set, those of all
    worker processes.
    """

    def __init__(self, version: str, gauges: Callable[[], Gauges] = dict):
        disable_created_metrics()
        folder = os.environ.get(MULTIPROCESS_FOLDER)
        # The library chose the class when it was imported, before the variable was set.
        if folder and not values.ValueClass._multiprocess:  # noqa: SLF001 - no public way to ask
            values.ValueClass = values.MultiProcessValue()
        self._registry = CollectorRegistry()
        self._gathered: list[GatheredCounter | GatheredHistogram] = []
        self._flushing = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(
            target=self._flush_for_ever, name="ringback-metrics", daemon=True
        )
        self._add_events()
        self._add_requests()
        self._add_attempts()
        self._add_deliveries()
        self.log_lines_dropped = self._plain_counter(
            "log_lines_dropped", "Log lines that standard output did not accept in time."
        )
        self.requests_unlogged = self._plain_counter(
            "requests_unlogged", "Rows of the request log that could not be written."
        )
        self._rendered = self._registry if folder is None else _of_all_workers(folder)
        self._rendered.register(_GaugeCollector(version, gauges))
        ProcessCollector(registry=self._rendered)

    def start(self) -> None:
        """Start the thread that flushes every `FLUSH_S`."""
        self._thread.start()

    def close(self) -> None:
        """Stop the thread and flush what is left."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join()
        self._flush()

    def http_request(self, route: str, method: str, status: int, duration_s: float) -> None:
        """Count a request to the API. `route` is the pattern that matched and `method` a standard
        method: the caller keeps both sets finite.
        """
        self._requests.add(route, method, str(status))
        self._request_duration.observe(route, duration_s)

    def render(self) -> tuple[bytes, str]:
        """Return the body of `/metrics` and its content type."""
        self._flush()
        return generate_latest(self._rendered), CONTENT_TYPE_PLAIN_0_0_4

    def _add_events(self) -> None:
        types = [(event_type,) for event_type in _EVENT_TYPES]
        slugs = [(slug,) for slug in sorted(_slugs(Problem))]
        self.events_accepted = self._counter(
            "events_accepted", "Events answered with 202.", ["type"], types
        )
        self.events_rejected = self._counter(
            "events_rejected", "Events refused, by the problem's slug.", ["reason"], slugs
        )
        self.events_duplicate = self._counter(
            "events_duplicate", "Events whose id was known already.", ["type"], types
        )
        self.events_conflicting = self._counter(
            "events_conflicting",
            "Events whose id was known already with other content.",
            ["type"],
            types,
        )

    def _add_requests(self) -> None:
        self._requests = self._counter(
            "http_requests", "Requests answered by the API.", ["route", "method", "status"]
        )
        self._request_duration = self._histogram(
            "http_request_duration_seconds",
            "Seconds from a request's arrival to its answer.",
            "route",
            buckets.REQUEST_S,
        )
        self.auth_failures = self._counter(
            "token_auth_failures", "Requests and checks without a valid token.", ["reason"]
        )

    def _add_attempts(self) -> None:
        self.attempts = self._counter(
            "attempts",
            "HTTP requests to callbacks, by outcome.",
            ["type", "outcome", "trigger"],
            product(_EVENT_TYPES, map(str, Outcome), map(str, Trigger)),
        )
        self.attempt_duration = self._histogram(
            "attempt_duration_seconds",
            "Seconds from the start of an attempt to its answer or failure.",
            "type",
            buckets.ATTEMPT_S,
            _EVENT_TYPES,
        )
        self.first_attempt_delay = self._histogram(
            "first_attempt_delay_seconds",
            "Seconds from an event's acceptance to its first attempt.",
            "type",
            buckets.FIRST_ATTEMPT_DELAY_S,
            _EVENT_TYPES,
        )
        self.end_to_end = self._histogram(
            "end_to_end_seconds",
            "Seconds from an event's acceptance to the answer that delivered it.",
            "type",
            buckets.END_TO_END_S,
            _EVENT_TYPES,
        )

    def _add_deliveries(self) -> None:
        self.settled = self._counter(
            "deliveries_settled",
            "Deliveries that have ended, by state.",
            ["type", "state"],
            product(_EVENT_TYPES, sorted(map(str, SETTLED))),
        )
        self.deferred = self._counter(
            "deliveries_deferred",
            "Deliveries whose first attempt was put off, by reason.",
            ["reason"],
            [("spilled",), ("breaker",), ("throttled",), ("held",), ("status",)],
        )
        self.expired = self._counter(
            "rows_expired",
            "Rows deleted because they are older than the retention.",
            ["table"],
            [(table,) for table in EXPIRING],
        )

    def _plain_counter(self, name: str, help_text: str) -> Counter:
        return Counter(name, help_text, namespace=_NAMESPACE, registry=self._registry)

    def _counter(
        self,
        name: str,
        help_text: str,
        labels: list[str],
        known: Iterable[tuple[str, ...]] = (),
    ) -> GatheredCounter:
        """Add a counter. Labels that are known are shown as 0 before anything happens."""
        counter = Counter(name, help_text, labels, namespace=_NAMESPACE, registry=self._registry)
        for label_values in known:
            counter.labels(*label_values)
        gathered = GatheredCounter(
            lambda label_values, count: counter.labels(*label_values).inc(count)
        )
        self._gathered.append(gathered)
        return gathered

    def _histogram(
        self,
        name: str,
        help_text: str,
        label: str,
        bounds_s: Sequence[float],
        known: Iterable[str] = (),
    ) -> GatheredHistogram:
        """Add a histogram with one label. Values that are known are shown as 0 from the start."""
        histogram = _Histogram(
            name,
            help_text,
            [label],
            namespace=_NAMESPACE,
            registry=self._registry,
            buckets=bounds_s,
        )
        for value in known:
            histogram.labels(value)
        gathered = GatheredHistogram(
            lambda value, durations: histogram.labels(value).observe_all(durations)
        )
        self._gathered.append(gathered)
        return gathered

    def _flush_for_ever(self) -> None:
        while not self._closed.wait(FLUSH_S):
            self._flush()

    def _flush(self) -> None:
        with self._flushing:
            for metric in self._gathered:
                metric.flush()


class _Histogram(Histogram):
    """A histogram that takes many values at once. The library's takes one at a time, with a lock
    for each of its parts and, in worker processes, a write to a file.
    """

    def observe_all(self, amounts: Sequence[float]) -> None:
        by_bucket = Counts(bisect_left(self._upper_bounds, amount) for amount in amounts)
        for bucket, count in by_bucket.items():
            self._buckets[bucket].inc(count)
        self._sum.inc(sum(amounts))


class _GaugeCollector:
    """A collector in the library's sense: reads the gauges at each rendering."""

    def __init__(self, version: str, gauges: Callable[[], Gauges]):
        self._version, self._gauges = version, gauges

    def collect(self) -> Iterable[Metric]:
        info = GaugeMetricFamily(
            "ringback_build_info",
            "Always 1; the labels say what runs.",
            labels=["version", "python"],
        )
        info.add_metric([self._version, platform.python_version()], 1)
        yield info
        for name, value in self._gauges().items():
            yield _gauge(name, value)


def _gauge(name: str, value: float | Mapping[str, float]) -> GaugeMetricFamily:
    if isinstance(value, Mapping):
        family = GaugeMetricFamily(f"ringback_{name}", HELP[name], labels=["state"])
        for state, count in value.items():
            family.add_metric([state], count)
        return family
    return GaugeMetricFamily(f"ringback_{name}", HELP[name], value=value)


def _of_all_workers(folder: str) -> CollectorRegistry:
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=folder)
    return registry


def _slugs(problem: type[Problem]) -> set[str]:
    return {slug for each in problem.__subclasses__() for slug in {each.slug} | _slugs(each)}
