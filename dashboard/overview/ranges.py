"""The ranges of the overview's charts, and points that are put together where a range has too many.
Pure.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import msgspec

from schemas.figures import HOUR_MS, MINUTE_MS, FigurePoint, Figures, Gauges, Step
from schemas.times import UnixMs

_DAY_MS = 24 * HOUR_MS
DAILY = "day"


@dataclass(frozen=True, slots=True)
class Range:
    """A range that ends now."""

    name: str
    """As in the address."""
    span_ms: int
    step: Step
    """What is read from the store."""
    shown: Step | int | str
    """How much time a point of the chart stands for: a step, milliseconds, or DAILY."""
    refresh_s: int
    """How often the charts are fetched again."""


RANGES = {
    one.name: one
    for one in (
        Range("15m", 15 * MINUTE_MS, Step.MINUTE, Step.MINUTE, 10),
        Range("1h", HOUR_MS, Step.MINUTE, Step.MINUTE, 10),
        Range("6h", 6 * HOUR_MS, Step.MINUTE, Step.MINUTE, 10),
        Range("24h", _DAY_MS, Step.FIVE_MINUTES, Step.FIVE_MINUTES, 60),
        Range("7d", 7 * _DAY_MS, Step.HOUR, Step.HOUR, 60),
        Range("30d", 30 * _DAY_MS, Step.HOUR, 2 * HOUR_MS, 300),
        Range("13mo", 396 * _DAY_MS, Step.HOUR, DAILY, 300),
    )
}
USUAL = "1h"


def shown_points(
    points: Sequence[FigurePoint], chosen: Range, zone: ZoneInfo
) -> Sequence[FigurePoint]:
    """Return the points of a chart."""
    if chosen.shown is chosen.step:
        return points
    if isinstance(chosen.shown, int):
        width = chosen.shown
        return _merged(points, lambda at: UnixMs(at - at % width))
    return _merged(points, lambda at: _midnight(at, zone))


def _midnight(at: UnixMs, zone: ZoneInfo) -> UnixMs:
    """Return the beginning of the day in a zone."""
    local = dt.datetime.fromtimestamp(at / 1000, zone)
    begin = local.replace(hour=0, minute=0, second=0, microsecond=0)
    return UnixMs(int(begin.timestamp() * 1000))


def _merged(
    points: Iterable[FigurePoint], start_of: Callable[[UnixMs], UnixMs]
) -> list[FigurePoint]:
    """Put together what has the same start: counts are added, of what waited the highest counts."""
    found: dict[UnixMs, FigurePoint] = {}
    for point in points:
        start = start_of(point.start)
        known = found.get(start)
        if known is None:
            own = None if point.figures is None else point.figures.copy()
            found[start] = msgspec.structs.replace(point, start=start, figures=own)
        else:
            found[start] = FigurePoint(
                start, _sum(known.figures, point.figures), _highest(known.gauges, point.gauges)
            )
    return list(found.values())


def _sum(one: Figures | None, other: Figures | None) -> Figures | None:
    if one is None or other is None:
        return one or (other and other.copy())
    one.add(other)
    return one


def _highest(one: Gauges | None, other: Gauges | None) -> Gauges | None:
    if one is None or other is None:
        return one or other
    depths = [depth for depth in (one.queue_depth, other.queue_depth) if depth is not None]
    return Gauges(
        max(one.deliveries_due, other.deliveries_due),
        max(one.oldest_due_ms, other.oldest_due_ms),
        max(one.outbox_depth, other.outbox_depth),
        max(depths, default=None),
    )
