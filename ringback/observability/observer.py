"""What the parts report, counted and logged. The one place that knows both the metrics and the log.

Handed to every part by the wiring, as `schemas.observer.Observer`.
"""

from collections.abc import Sequence

from ringback.observability.log import Log
from ringback.observability.metrics import Metrics
from schemas.deliveries.deliveries import DeliveryState
from schemas.events.types import EventType
from schemas.log_events import LogEvent
from schemas.observer import AttemptReport


class Observing:
    """Counts in `metrics`, writes to `log`. Thread-safe; never raises."""

    def __init__(self, metrics: Metrics, log: Log):
        self._metrics, self._log = metrics, log
        self.http_request = metrics.http_request
        self.log = log.write

    def event_accepted(self, kind: EventType, count: int = 1) -> None:
        self._metrics.events_accepted.add(kind, count=count)

    def event_rejected(self, slug: str) -> None:
        self._metrics.events_rejected.add(slug)

    def event_duplicate(self, kind: EventType) -> None:
        self._metrics.events_duplicate.add(kind)

    def event_conflicting(self, kind: EventType, event_id: str) -> None:
        self._metrics.events_conflicting.add(kind)
        self._log.write(
            LogEvent.EVENT_CONFLICT,
            event_id=event_id,
            type=kind,
            error="its id was taken in before with other content; the first stays",
        )

    def auth_failed(self, reason: str) -> None:
        self._metrics.auth_failures.add(reason)

    def attempted(self, reports: Sequence[AttemptReport]) -> None:
        for report in reports:
            self._count(report)
        self._log.attempted(reports)

    def settled(self, kind: EventType, state: DeliveryState, count: int = 1) -> None:
        self._metrics.settled.add(kind, state, count=count)

    def deferred(self, reason: str, count: int = 1) -> None:
        self._metrics.deferred.add(reason, count=count)

    def expired(self, table: str, count: int) -> None:
        self._metrics.expired.add(table, count=count)

    def _count(self, report: AttemptReport) -> None:
        metrics, kind, attempt = self._metrics, report.delivery.type, report.attempt
        metrics.attempts.add(kind, attempt.outcome, attempt.trigger)
        metrics.attempt_duration.observe(kind, attempt.duration_ms / 1000)
        if report.first_attempt_delay_s is not None:
            metrics.first_attempt_delay.observe(kind, report.first_attempt_delay_s)
        if report.end_to_end_s is not None:
            metrics.end_to_end.observe(kind, report.end_to_end_s)
