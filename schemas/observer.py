"""What the pipeline tells about itself: frozen facts, handed to one observer.

Business code reports and knows neither Prometheus nor the log format;
`ringback.observability.observer` counts and logs. Every call may come from any thread and must be
cheap and never fail.
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
    "recoveries",
)
"""The tables whose rows are deleted when they are older than `RETENTION`."""


class AttemptReport(msgspec.Struct, frozen=True):
    """One recorded attempt and what became of its delivery. Delays are seconds.

    `first_attempt_delay_s` (accepted to first attempt) is None unless this is a first attempt that was not deferred;
    `end_to_end_s` (accepted to delivered) is None unless this attempt delivered.
    """

    delivery: Delivery
    attempt: Attempt
    state: DeliveryState
    first_attempt_delay_s: float | None
    end_to_end_s: float | None
    next_attempt_in_s: float | None


class Observer(Protocol):
    """Counts and logs; the names are those of the metrics in section 7 of the contract."""

    def event_accepted(self, kind: EventType, count: int = 1) -> None: ...
    def event_rejected(self, slug: str) -> None: ...
    def event_duplicate(self, kind: EventType) -> None: ...
    def event_conflicting(self, kind: EventType, event_id: str) -> None: ...
    def http_request(self, route: str, method: str, status: int, duration_s: float) -> None: ...
    def auth_failed(self, reason: str) -> None: ...
    def attempted(self, reports: Sequence[AttemptReport]) -> None: ...
    def settled(self, kind: EventType, state: DeliveryState, count: int = 1) -> None: ...
    def deferred(self, reason: str, count: int = 1) -> None: ...
    def expired(self, table: str, count: int) -> None: ...
    def log(self, event: LogEvent, **fields: object) -> None:
        """Write a line that an operator should read: a lost connection, a fallback, a refusal."""


class NullObserver:
    """An observer that listens to nothing: for commands that deliver nothing."""

    def event_accepted(self, kind: EventType, count: int = 1) -> None: ...
    def event_rejected(self, slug: str) -> None: ...
    def event_duplicate(self, kind: EventType) -> None: ...
    def event_conflicting(self, kind: EventType, event_id: str) -> None: ...
    def http_request(self, route: str, method: str, status: int, duration_s: float) -> None: ...
    def auth_failed(self, reason: str) -> None: ...
    def attempted(self, reports: Sequence[AttemptReport]) -> None: ...
    def settled(self, kind: EventType, state: DeliveryState, count: int = 1) -> None: ...
    def deferred(self, reason: str, count: int = 1) -> None: ...
    def expired(self, table: str, count: int) -> None: ...
    def log(self, event: LogEvent, **fields: object) -> None: ...
