"""Whether the store answers, as the jobs of this process find out. All of them report here, and it
is logged once.
"""

import time
from collections.abc import Callable

from schemas.errors import StatementTimedOut, StoreRefused
from schemas.log_events import LogEvent
from schemas.observer import Observer

CATCH_UP_S = 3.0
"""How long after an outage of the store lapsed leases are left alone, so that other processes can
write the outcomes that they kept in memory. Longer: deliveries of a process that died wait longer.
Shorter: more of them are sent twice.
"""

ERROR_LOGGED_EVERY_S = 10.0
"""How often bugs that come at every step are logged. More often: the same line again and again."""

SLOW_LOGGED_EVERY_S = 60.0
"""How often it is logged that queries take too long. More often: the same line again and again."""


class StoreStatus:
    """The state of the store for one process.

    Its methods belong to the event loop's thread, except `slow` and `internal_error`.
    """

    def __init__(self, observer: Observer, clock: Callable[[], float] = time.monotonic):
        self._observer, self._clock = observer, clock
        self._unavailable_since_s: float | None = None
        self._available_since_s = self._slow_logged_s = self._error_logged_s = float("-inf")

    def unavailable(self, error: Exception) -> None:
        """Record that a call failed."""
        if self._unavailable_since_s is None:
            self._unavailable_since_s = self._clock()
            self._observer.log(LogEvent.STORE_UNAVAILABLE, part="deliveries", reason=str(error))

    def available(self) -> None:
        """Record that a call succeeded."""
        if self._unavailable_since_s is not None:
            self._observer.log(
                LogEvent.STORE_AVAILABLE,
                part="deliveries",
                unavailable_s=round(self.unavailable_for_s, 1),
            )
            self._unavailable_since_s = None
            self._available_since_s = self._clock()

    def slow(self, error: StatementTimedOut) -> None:
        """Record that a query took too long while others are answered, which is no reason for other
        work to wait. May be called from any thread.
        """
        if self._clock() - self._slow_logged_s >= SLOW_LOGGED_EVERY_S:
            self._slow_logged_s = self._clock()
            self._observer.log(LogEvent.STORE_SLOW, reason=str(error))

    def internal_error(self, job: str, error: Exception) -> None:
        """Record a bug, or a refusal of the store, after which `job` goes on: it would meet the
        same error after a restart. May be called from any thread.
        """
        if self._clock() - self._error_logged_s >= ERROR_LOGGED_EVERY_S:
            self._error_logged_s = self._clock()
            text = str(error) if isinstance(error, StoreRefused) else repr(error)
            self._observer.log(LogEvent.INTERNAL_ERROR, loop=job, error=text)

    @property
    def unavailable_for_s(self) -> float:
        """How long the store has been unavailable; 0 while it answers."""
        if self._unavailable_since_s is None:
            return 0.0
        return self._clock() - self._unavailable_since_s

    @property
    def has_caught_up(self) -> bool:
        """Whether outcomes that were kept in memory during an outage can be taken as written
        (docs/invariants.md#an-unavailable-store-stops-sending).
        """
        return (
            self._unavailable_since_s is None
            and self._clock() - self._available_since_s >= CATCH_UP_S
        )
