"""The seam for observability: business code reports frozen values to an observer.

Business code knows neither Prometheus nor the log format; `ringback.observability.observer` counts
and logs. Calls come from any thread, so every method must be cheap and must never fail.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from schemas.deliveries.deliveries import Attempt, Delivery, DeliveryState
from schemas.events.types import EventType
from schemas.log_events import LogEvent

EXPIRING = (
    "events",
    "deliveries",
    "attempts",
    "status_locks",
    "requests",
    "audit_log",
    "people_log",
    "recoveries",
)
"""The tables whose rows are deleted when they are older than `RETENTION`."""


class AttemptReport(msgspec.Struct, frozen=True):
    """One stored attempt and its consequence for the delivery."""

    delivery: Delivery
    """The delivery that was attempted."""

    attempt: Attempt
    """The attempt as it was stored."""

    state: DeliveryState
    """The delivery's state after the attempt."""

    first_attempt_delay_s: float | None
    """Seconds from the event's acceptance to the first attempt; None unless this is a first attempt
    that was not deferred.
    """

    end_to_end_s: float | None
    """Seconds from the event's acceptance to the delivery; None unless this attempt delivered."""

    next_attempt_in_s: float | None
    """Seconds until the next attempt; None when there is none."""


class Observer(Protocol):
    """The receiver of reports, which counts and logs. The metrics are in `docs/operations.md`."""

    def event_accepted(self, event_type: EventType, count: int = 1) -> None:
        """Count events that the API answered with 202."""

    def event_rejected(self, slug: str) -> None:
        """Count an event that was refused, by the slug of its problem."""

    def event_duplicate(self, event_type: EventType) -> None:
        """Count an event that was already known."""

    def event_conflicting(self, event_type: EventType, event_id: str) -> None:
        """Count and log an event whose id is known with a different content."""

    def http_request(self, route: str, method: str, status: int, duration_s: float) -> None:
        """Count a request to the API and measure its duration."""

    def auth_failed(self, reason: str) -> None:
        """Count a request that was not authenticated, by reason."""

    def attempted(self, reports: Sequence[AttemptReport]) -> None:
        """Count, measure and log stored attempts."""

    def settled(self, event_type: EventType, state: DeliveryState, count: int = 1) -> None:
        """Count deliveries that ended in `state`."""

    def deferred(self, reason: str, count: int = 1) -> None:
        """Count first attempts that were deferred, by reason."""

    def expired(self, table: str, count: int) -> None:
        """Count rows of a table that were deleted after `RETENTION`."""

    def log(self, event: LogEvent, **fields: object) -> None:
        """Write a line to the log that an operator should read."""


class NullObserver(Observer):
    """An observer that ignores all reports, for commands that deliver nothing."""
