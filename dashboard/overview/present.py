"""The present figures of the overview: what happens a minute, how long it takes, what waits. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dashboard.overview.durations import NONE, Speaker, at_most, bound_ms, duration
from schemas.figures import MINUTE_MS, FigurePoint, Figures
from schemas.latency_histogram import Histogram
from schemas.times import UnixMs

RECENT_MS = 15 * MINUTE_MS
"""Milliseconds of which percentiles and the share of successes are. Longer: a change shows later.
Shorter: with little traffic they jump.
"""

_A_MINUTE_OF = 5
"""Minutes of which "a minute" is the average. More: a change shows later. Fewer: it jumps."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure."""

    label: str
    value: str
    note: str = ""
    colour: str = ""
    """`bad` for what a person should look at."""


def tiles(
    to: Speaker,
    points: Sequence[FigurePoint],
    gauges: Mapping[str, float | Mapping[str, float]],
    now: UnixMs,
) -> list[Tile]:
    """Return the figures of the minutes before now. `points` are minutes, and may go further back."""
    recent = [point for point in points if point.start > now - RECENT_MS - MINUTE_MS]
    ended = [point for point in recent if point.start <= now - MINUTE_MS][-_A_MINUTE_OF:]
    total = Figures()
    for point in recent:
        if point.figures is not None:
            total.add(point.figures)
    return [*_rates(to, ended), _share(to, total), *_times(to, total), *_waiting(to, gauges)]


def _rates(to: Speaker, ended: Sequence[FigurePoint]) -> list[Tile]:
    say = to.say
    known = [point.figures for point in ended if point.figures is not None]

    def a_minute(counts: Sequence[int]) -> str:
        if not counts:
            return NONE
        rate = sum(counts) / len(counts)
        return to.language.number(round(rate, 1) if rate < 10 else round(rate))

    failed = [one.failed for one in known]
    return [
        Tile(say("Accepted a minute"), a_minute([one.accepted for one in known])),
        Tile(say("Delivered a minute"), a_minute([one.delivered for one in known])),
        Tile(say("Failed a minute"), a_minute(failed), colour="bad" if sum(failed) else ""),
    ]


def _share(to: Speaker, total: Figures) -> Tile:
    share = total.success_share
    label = to.say("Attempts that succeed")
    if share is None:
        return Tile(label, NONE, to.say("none in the last 15 minutes"))
    note = to.language.plural(
        "of %(number)s in the last 15 minutes",
        "of %(number)s in the last 15 minutes",
        sum(total.outcomes.values()),
    )
    return Tile(label, to.language.percent(share), note, "bad" if share < 0.95 else "")


def _times(to: Speaker, total: Figures) -> list[Tile]:
    say = to.say
    return [
        _of_histogram(to, say("Answer time, p95"), total.latency),
        _of_histogram(to, say("First attempt after, p95"), total.first_delay),
    ]


def _of_histogram(to: Speaker, label: str, histogram: Histogram) -> Tile:
    p50, p95, p99 = (at_most(to, bound_ms(histogram, share)) for share in (0.5, 0.95, 0.99))
    note = f"p50 {p50} · p99 {p99}" if histogram else to.say("none in the last 15 minutes")
    return Tile(label, p95, note)


def _waiting(to: Speaker, gauges: Mapping[str, float | Mapping[str, float]]) -> list[Tile]:
    say, number = to.say, to.language.number
    due, oldest = gauges.get("deliveries_due"), gauges.get("deliveries_due_oldest_seconds")
    depths = [gauges.get("queue_depth"), gauges.get("outbox_depth")]
    events = [depth for depth in depths if isinstance(depth, float | int)]
    waits = isinstance(oldest, float | int) and oldest > 0
    return [
        Tile(
            say("Deliveries that are due"),
            number(due) if isinstance(due, float | int) else NONE,
            say("the oldest for %(span)s", span=duration(to, round(1000 * oldest)))
            if isinstance(oldest, float | int) and waits
            else say("none waits"),
        ),
        Tile(say("Events that wait"), number(sum(events)) if events else NONE),
    ]
