"""The ranges of the overview's charts, and how much time one point of each stands for. Pure."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from schemas.figures import HOUR_MS, MINUTE_MS, Step
from schemas.times import UnixMs

_DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Range:
    """A range that ends now."""

    name: str
    """As in the address."""
    span_ms: int
    step: Step
    """How finely figures are kept, as far back as the range goes."""
    point_ms: int | None
    """How much time a point of the chart stands for; None: a day of the person's zone."""
    refresh_s: int
    """How often the charts are fetched again."""

    @property
    def is_by_day(self) -> bool:
        """Whether a point stands for a day."""
        return self.point_ms is None

    def start_of(self, zone: ZoneInfo) -> Callable[[UnixMs], UnixMs]:
        """Return the function that returns where the point begins that a step is part of."""
        width = self.point_ms
        if width is None:
            return lambda at: _midnight(at, zone)
        return lambda at: UnixMs(at - at % width)


RANGES = {
    one.name: one
    for one in (
        Range("15m", 15 * MINUTE_MS, Step.MINUTE, MINUTE_MS, 10),
        Range("1h", HOUR_MS, Step.MINUTE, MINUTE_MS, 10),
        Range("6h", 6 * HOUR_MS, Step.MINUTE, MINUTE_MS, 10),
        Range("24h", _DAY_MS, Step.FIVE_MINUTES, 5 * MINUTE_MS, 60),
        Range("7d", 7 * _DAY_MS, Step.HOUR, HOUR_MS, 60),
        Range("30d", 30 * _DAY_MS, Step.HOUR, 2 * HOUR_MS, 300),
        Range("13mo", 396 * _DAY_MS, Step.HOUR, None, 300),
    )
}
"""Some 400 points at most: more make the page larger than a phone should have to load."""

USUAL = "1h"


def _midnight(at: UnixMs, zone: ZoneInfo) -> UnixMs:
    """Return the beginning of the day in a zone."""
    local = dt.datetime.fromtimestamp(at / 1000, zone)
    begin = local.replace(hour=0, minute=0, second=0, microsecond=0)
    return UnixMs(int(begin.timestamp() * 1000))
