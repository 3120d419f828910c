"""The retry schedule of failed deliveries. Pure: randomness is passed in. Called once after each
failed automatic attempt.
"""

from dataclasses import dataclass
from datetime import timedelta

from schemas.times import parse_duration

JITTER_SHARE = 0.1
"""The share by which a delay may vary. Larger: deliveries that failed together are retried further
apart. Smaller: delays are closer to the schedule.
"""


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """The delays after the 1st, 2nd, … failed automatic attempt."""

    delays: tuple[timedelta, ...]
    """One delay for each retry; empty: a failed delivery is given up at once."""

    @classmethod
    def parse(cls, text: str) -> "RetrySchedule":
        """Read a schedule such as `5s,5m,30m`; raises ValueError naming the delay that is wrong."""
        return cls(tuple(parse_duration(part) for part in text.split(",")))

    @property
    def total(self) -> timedelta:
        """The time from the first attempt to the last, while nothing else delays them."""
        return sum(self.delays, timedelta())

    def next_delay(
        self, failures: int, retry_after_s: float | None, jitter: float
    ) -> timedelta | None:
        """Return the delay from the end of the `failures`-th failed automatic attempt (1 after the
        first) to the next; None when that was the last.

        `jitter`, between -1 and 1, varies the delay by up to a tenth. The delay is never shorter
        than the receiver's `retry_after_s`.
        """
        if failures > len(self.delays):
            return None
        delay = self.delays[failures - 1] * (1 + JITTER_SHARE * jitter)
        return max(delay, timedelta(seconds=retry_after_s or 0))
