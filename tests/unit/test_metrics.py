"""The metrics: names, labels, figures, and worker processes that count together."""

import platform
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ringback.observability.gauges import KEPT_S, Gatherer
from ringback.observability.log import Log
from ringback.observability.metrics import MULTIPROCESS_FOLDER, Metrics
from ringback.observability.observer import Observing
from schemas.deliveries.deliveries import DeliveryState, Outcome
from schemas.errors import StoreUnavailable
from schemas.events.types import EventType
from schemas.observer import AttemptReport, Observer
from tests.kit.making import a_delivery, an_attempt
from tests.kit.waiting import wait_for

NAMES = [
    "events_accepted_total", "events_rejected_total", "events_duplicate_total",
    "events_conflicting_total", "http_requests_total",
    "http_request_duration_seconds", "token_auth_failures_total", "attempts_total",
    "deliveries_settled_total", "attempt_duration_seconds",
    "first_attempt_delay_seconds", "deliveries_deferred_total", "end_to_end_seconds", "build_info",
]  # fmt: skip


class Page:
    """A rendered page, read as Prometheus itself would."""

    def __init__(self, metrics: Metrics):
        families = text_string_to_metric_families(metrics.render()[0].decode())
        self._values = {
            (s.name, frozenset(s.labels.items())): s.value
            for family in families
            for s in family.samples
        }

    def value(self, name: str, **labels: str) -> float | None:
        """None when the page has no such line."""
        return self._values.get((f"ringback_{name}", frozenset(labels.items())))


def an_observer(metrics: Metrics) -> Observer:
    return Observing(metrics, Log(-1, pretty=False, dropped=lambda _lines: None))


def a_report(outcome: Outcome = Outcome.DELIVERED, **fields: float | None) -> AttemptReport:
    delays = {
        "first_attempt_delay_s": None,
        "end_to_end_s": None,
        "next_attempt_in_s": None,
    } | fields
    return AttemptReport(a_delivery(), an_attempt(outcome), DeliveryState.DELIVERED, **delays)


def test_every_metric_of_the_contract_has_its_name() -> None:
    """Dashboards and alerts are written against them."""
    text = Metrics("1.2.3").render()[0].decode()

    for name in NAMES:
        assert f"# TYPE ringback_{name} " in text


def test_counters_with_known_labels_start_at_zero() -> None:
    """A counter that first appears at 1 has no increase that Prometheus could see."""
    page = Page(Metrics("1.2.3"))

    assert (
        page.value("attempts_total", type="message.received", outcome="tls", trigger="retry") == 0
    )
    assert page.value("deliveries_settled_total", type="message.status", state="exhausted") == 0
    assert page.value("events_rejected_total", reason="too-large") == 0
    assert page.value("end_to_end_seconds_count", type="message.status") == 0
    assert page.value("log_lines_dropped_total") == 0


def test_an_attempt_counts_once_and_in_the_histograms_that_it_belongs_to() -> None:
    """A retry has no first-attempt delay, a failure no end-to-end time."""
    metrics = Metrics("1.2.3")

    an_observer(metrics).attempted(
        [
            a_report(first_attempt_delay_s=0.02),
            a_report(Outcome.TIMEOUT),
            a_report(end_to_end_s=7200.5),
        ]
    )

    page = Page(metrics)
    assert (
        page.value("attempts_total", type="message.received", outcome="delivered", trigger="first")
        == 2
    )
    assert (
        page.value("attempts_total", type="message.received", outcome="timeout", trigger="first")
        == 1
    )
    assert page.value("attempt_duration_seconds_sum", type="message.received") == pytest.approx(
        0.009
    )
    assert page.value("first_attempt_delay_seconds_count", type="message.received") == 1
    assert page.value("end_to_end_seconds_bucket", type="message.received", le="7200.0") == 0
    assert page.value("end_to_end_seconds_bucket", type="message.received", le="18000.0") == 1


def test_everything_that_is_reported_is_counted() -> None:
    """One method of the observer after the other."""
    metrics = Metrics("1.2.3")
    observer = an_observer(metrics)

    observer.event_accepted(EventType.MESSAGE_STATUS, 3)
    observer.event_rejected("invalid")
    observer.event_duplicate(EventType.MESSAGE_STATUS)
    observer.event_conflicting(EventType.MESSAGE_STATUS, "evt_1")
    observer.http_request("/v1/events", "POST", 202, 0.003)
    observer.auth_failed("expired")
    observer.settled(EventType.MESSAGE_STATUS, DeliveryState.EXHAUSTED, 2)
    observer.deferred("spilled", 4)

    page = Page(metrics)
    assert page.value("events_accepted_total", type="message.status") == 3
    assert page.value("events_rejected_total", reason="invalid") == 1
    assert page.value("events_duplicate_total", type="message.status") == 1
    assert page.value("events_conflicting_total", type="message.status") == 1
    assert page.value("http_requests_total", route="/v1/events", method="POST", status="202") == 1
    assert page.value("http_request_duration_seconds_bucket", route="/v1/events", le="0.005") == 1
    assert page.value("token_auth_failures_total", reason="expired") == 1
    assert page.value("deliveries_settled_total", type="message.status", state="exhausted") == 2
    assert page.value("deliveries_deferred_total", reason="spilled") == 4


def test_values_become_gauges_by_state_or_alone() -> None:
    """The store's and the processes' own stand side by side."""
    gatherer = Gatherer()
    gatherer.add(lambda: {"in_flight": 3})
    gatherer.add_costly(lambda: {"callbacks": {"healthy": 2, "off": 1}})

    page = Page(Metrics("1.2.3", gatherer))

    assert page.value("in_flight") == 3
    assert page.value("callbacks", state="off") == 1
    assert page.value("build_info", version="1.2.3", python=platform.python_version()) == 1


def test_costly_gauges_are_read_at_most_every_two_seconds() -> None:
    """Scrapers must not be able to keep the database busy."""
    now_s, asked = 100.0, []
    gatherer = Gatherer(clock=lambda: now_s)
    gatherer.add_costly(lambda: {"outbox_depth": asked.append(1) or len(asked)})

    first, second = gatherer(), gatherer()
    now_s += KEPT_S
    third = gatherer()

    assert [first["outbox_depth"], second["outbox_depth"], third["outbox_depth"]] == [1, 1, 2]


def test_a_silent_source_holds_up_no_scrape_and_is_not_asked_twice_at_once() -> None:
    """A broker that takes ten seconds to not answer must not cost the scrape."""
    answering, asked = threading.Event(), []

    def silent() -> dict[str, float]:
        asked.append(1)
        answering.wait(10)
        return {"queue_depth": 7}

    gatherer = Gatherer(timeout_s=0.01)
    gatherer.add_costly(silent)

    assert gatherer() == {}
    assert gatherer() == {}
    answering.set()
    wait_for("the late answer", lambda: gatherer() == {"queue_depth": 7})
    assert len(asked) == 1


def test_a_store_that_is_away_leaves_a_gap_and_not_a_zero() -> None:
    """A queue that seems empty while the database is down would hide the problem from
    the operator.
    """

    def away() -> dict[str, float]:
        raise StoreUnavailable("away")

    gatherer = Gatherer()
    gatherer.add_costly(away)
    gatherer.add_costly(lambda: {"queue_depth": 5})

    page = Page(Metrics("1.2.3", gatherer))

    assert page.value("outbox_depth") is None
    assert page.value("queue_depth") == 5


WORKER = """
import os, signal, time
from ringback.observability.metrics import Metrics
metrics = Metrics("1")
child = os.fork()
metrics.start()
metrics.http_request("/v1/events", "POST", 202, 0.001)
if child:
    until = time.monotonic() + 20
    while b'status="202"} 2.0' not in metrics.render()[0] and time.monotonic() < until:
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    print(metrics.render()[0].decode())
else:
    signal.pause()
"""


def test_worker_processes_count_together(tmp_path: Path) -> None:
    """The worker that answers the scrape answers for all, also for one that is not read itself, or
    was killed.
    """
    done = subprocess.run(
        [sys.executable, "-c", WORKER],
        env={MULTIPROCESS_FOLDER: str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert (
        'ringback_http_requests_total{method="POST",route="/v1/events",status="202"} 2.0'
        in done.stdout
    )
    assert "ringback_build_info" in done.stdout
