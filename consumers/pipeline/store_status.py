"""Whether the store answers, as this process's loops find out: one place that all of them tell, and
that says it once.
"""

import time
from collections.abc import Callable

from schemas.errors import StatementTimedOut, StoreRefused
from schemas.log_events import LogEvent
from schemas.observer import Observer

CATCH_UP_S = 3.0
"""After the store was away: how long whoever kept outcomes in memory has to write them before
lapsed leases are taken.
"""

ERROR_LOGGED_EVERY_S = 10.0
"""How often the operator is told of mistakes of ours that come at every look. More often: the same
line again and again.
"""

SLOW_SAID_EVERY_S = 60.0
"""How often the operator is told that looks take too long. More often: the same line again and
again.
"""


class StoreStatus:
    """On the event loop's thread only, but for `slow` and `mistaken`."""

    def __init__(self, observer: Observer, clock: Callable[[], float] = time.monotonic):
        self._observer, self._clock = observer, clock
        self._away_since_s: float | None = None
        self._back_since_s = self._slow_said_s = self._error_logged_s = float("-inf")

    def away(self, error: Exception) -> None:
        """A call failed."""
        if self._away_since_s is None:
            self._away_since_s = self._clock()
            self._observer.log(LogEvent.STORE_UNAVAILABLE, reason=str(error))

    def slow(self, error: StatementTimedOut) -> None:
        """A look took too long, while others are answered: no reason to wait with these, or with
        what they would do. From any thread.
        """
        if self._clock() - self._slow_said_s >= SLOW_SAID_EVERY_S:
            self._slow_said_s = self._clock()
            self._observer.log(LogEvent.STORE_SLOW, reason=str(error))

    def mistaken(self, loop: str, error: Exception) -> None:
        """A loop goes on although it met what nobody foresaw, or what the store refuses: it would
        meet it again after a restart. From any thread.
        """
        if self._clock() - self._error_logged_s >= ERROR_LOGGED_EVERY_S:
            self._error_logged_s = self._clock()
            told = str(error) if isinstance(error, StoreRefused) else repr(error)
            self._observer.log(LogEvent.INTERNAL_ERROR, loop=loop, error=told)

    def back(self) -> None:
        """A call succeeded."""
        if self._away_since_s is not None:
            self._observer.log(LogEvent.STORE_AVAILABLE, away_s=round(self.away_for_s, 1))
            self._away_since_s = None
            self._back_since_s = self._clock()

    @property
    def away_for_s(self) -> float:
        """0 while it answers."""
        return 0.0 if self._away_since_s is None else self._clock() - self._away_since_s

    @property
    def has_caught_up(self) -> bool:
        """Whether what was kept in memory meanwhile may be taken to be written
        (docs/invariants.md#an-unavailable-store-stops-sending).
        """
        return self._away_since_s is None and self._clock() - self._back_since_s >= CATCH_UP_S
