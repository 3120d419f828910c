"""The observer of a process: counts and logs what the parts report. The only module that knows both
the metrics and the log.

`ringback.parts` hands it to every part, as `schemas.observer.Observer`.
"""

from collections.abc import Sequence

from ringback.observability.log import Log
from ringback.observability.metrics import Metrics
from schemas.deliveries.deliveries import DeliveryState
from schemas.events.types import EventType
from schemas.log_events import LogEvent
from schemas.observer import AttemptReport


class Observing:
    """An observer that counts in `metrics` and writes to `log`. Thread-safe; never raises."""

    def __init__(self, metrics: Metrics, log: Log):
        self._metrics, self._log = metrics, log
        self.http_request = metrics.http_request
        self.log = log.write

    def event_accepted(self, event_type: EventType, count: int = 1) -> None:
        """Count events that were answered with 202."""
        self._metrics.events_accepted.add(event_type, count=count)

    def event_rejected(self, slug: str) -> None:
        """Count an event that was refused, by the problem's slug."""
        self._metrics.events_rejected.add(slug)

    def event_duplicate(self, event_type: EventType) -> None:
        """Count an event whose id was known already."""
        self._metrics.events_duplicate.add(event_type)

    def event_conflicting(self, event_type: EventType, event_id: str) -> None:
        """Count and log an event whose id was known already with other content."""
        self._metrics.events_conflicting.add(event_type)
        self._log.write(
            LogEvent.EVENT_CONFLICT,
            event_id=event_id,
            type=event_type,
            error="this id was accepted before with other content; the first content stays",
        )

    def auth_failed(self, reason: str) -> None:
        """Count a request without a valid token."""
        self._metrics.auth_failures.add(reason)

    def attempted(self, reports: Sequence[AttemptReport]) -> None:
        """Count attempts and log a line for each."""
        for report in reports:
            self._count(report)
        self._log.attempted(reports)

    def settled(self, event_type: EventType, state: DeliveryState, count: int = 1) -> None:
        """Count deliveries that have ended."""
        self._metrics.settled.add(event_type, state, count=count)

    def deferred(self, reason: str, count: int = 1) -> None:
        """Count deliveries whose first attempt was put off."""
        self._metrics.deferred.add(reason, count=count)

    def expired(self, table: str, count: int) -> None:
        """Count rows that the retention deleted."""
        self._metrics.expired.add(table, count=count)

    def _count(self, report: AttemptReport) -> None:
        metrics, event_type, attempt = self._metrics, report.delivery.type, report.attempt
        metrics.attempts.add(event_type, attempt.outcome, attempt.trigger)
        metrics.attempt_duration.observe(event_type, attempt.duration_ms / 1000)
        if report.first_attempt_delay_s is not None:
            metrics.first_attempt_delay.observe(event_type, report.first_attempt_delay_s)
        if report.end_to_end_s is not None:
            metrics.end_to_end.observe(event_type, report.end_to_end_s)
