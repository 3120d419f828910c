"""When a failed delivery is tried again. Pure: chance is passed in. Asked once after each failed
automatic attempt.
"""

from dataclasses import dataclass
from datetime import timedelta

from schemas.times import parse_duration

JITTER_SHARE = 0.1
"""How far a delay may move. Larger: what failed together comes back more spread out; smaller:
closer to the schedule.
"""


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """The delays after the 1st, 2nd, … failed automatic attempt."""

    delays: tuple[timedelta, ...]

    @classmethod
    def parse(cls, text: str) -> "RetrySchedule":
        """From `5s,5m,30m`; raises ValueError naming the delay that is wrong."""
        return cls(tuple(parse_duration(part) for part in text.split(",")))

    @property
    def total(self) -> timedelta:
        """From the first attempt to the last, while nothing else delays them."""
        return sum(self.delays, timedelta())

    def next_delay(
        self, failures: int, retry_after_s: float | None, jitter: float
    ) -> timedelta | None:
        """From the end of the `failures`-th failed automatic attempt (1 after the first) to the
        next; None when that was the last.

        `jitter`, between -1 and 1, moves the delay by up to a tenth. It is never shorter than the receiver's `retry_after_s`.
        """
        if failures > len(self.delays):
            return None
        delay = self.delays[failures - 1] * (1 + JITTER_SHARE * jitter)
        return max(delay, timedelta(seconds=retry_after_s or 0))
