"""The overview's charts: lines, and a sentence that says what they show. Pure.

A gap stays a gap: where nothing counted, there is no value.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from dashboard.overview.durations import Speaker, at_most, bound_ms, duration
from schemas.figures import FigurePoint, Figures, Gauges
from schemas.latency_histogram import merged

Values = Sequence[int | None]
Clock = Callable[[int], str]
"""Returns when the step with this number began, in words."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line."""

    label: str
    values: Values


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart."""

    key: str
    """Its part of the page."""
    title: str
    finding: str
    """What it shows, in words."""
    unit: str
    """`count` or `ms`."""
    lines: Sequence[Line]

    @property
    def rows(self) -> Iterator[Sequence[int | str]]:
        """Yield the values of one step after the other; an empty text is a gap."""
        for values in zip(*(line.values for line in self.lines), strict=True):
            yield ["" if value is None else value for value in values]


def charts_of(to: Speaker, points: Sequence[FigurePoint], clock: Clock) -> list[Chart]:
    """Return the charts of these points."""
    return [_events(to, points, clock), _latency(to, points, clock), _backlog(to, points, clock)]


def _events(to: Speaker, points: Sequence[FigurePoint], clock: Clock) -> Chart:
    say, number = to.say, to.language.number
    accepted = _of_figures(points, lambda one: one.accepted)
    delivered = _of_figures(points, lambda one: one.delivered)
    failed = _of_figures(points, lambda one: one.failed)
    peak = _highest(failed)
    totals = {
        "accepted": number(sum(one or 0 for one in accepted)),
        "delivered": number(sum(one or 0 for one in delivered)),
    }
    if not any(accepted) and not any(delivered) and peak is None:
        finding = say("Nothing happened in this time.")
    elif peak is None:
        finding = say("%(accepted)s accepted, %(delivered)s delivered, no failed attempt", **totals)
    else:
        finding = to.language.plural(
            "%(accepted)s accepted, %(delivered)s delivered, %(number)s attempt failed, at %(at)s",
            "%(accepted)s accepted, %(delivered)s delivered, %(number)s attempts failed, most at"
            " %(at)s",
            sum(one or 0 for one in failed),
            at=clock(peak),
            **totals,
        )
    lines = [
        Line(say("Events accepted"), accepted),
        Line(say("Delivered"), delivered),
        Line(say("Failed attempts"), failed),
    ]
    return Chart("events", say("Events and deliveries"), finding, "count", lines)


def _latency(to: Speaker, points: Sequence[FigurePoint], clock: Clock) -> Chart:
    say = to.say
    lines = [
        Line(label, _of_figures(points, partial(_within, share=share)))
        for label, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    ]
    total = merged(point.figures.latency for point in points if point.figures is not None)
    peak = _highest(lines[1].values)
    if peak is None:
        finding = say("No attempt was made in this time.")
    else:
        finding = say(
            "p95 %(bound)s, highest %(peak)s at %(at)s",
            bound=at_most(to, bound_ms(total, 0.95)),
            peak=at_most(to, lines[1].values[peak]),
            at=clock(peak),
        )
    return Chart("latency", say("How long receivers take to answer"), finding, "ms", lines)


def _within(figures: Figures, share: float) -> int | None:
    return bound_ms(figures.latency, share)


def _backlog(to: Speaker, points: Sequence[FigurePoint], clock: Clock) -> Chart:
    say = to.say
    due = _of_gauges(points, lambda one: one.deliveries_due)
    events = _of_gauges(points, lambda one: one.outbox_depth + (one.queue_depth or 0))
    peak = _highest(due)
    oldest = max((point.gauges.oldest_due_ms for point in points if point.gauges), default=0)
    if all(value is None for value in due):
        finding = say("No dispatcher sampled what waits in this time.")
    elif peak is None:
        finding = say("No delivery had to wait.")
    else:
        finding = to.language.plural(
            "Most: %(number)s delivery at %(at)s. The oldest waited for %(span)s.",
            "Most: %(number)s deliveries at %(at)s. The oldest waited for %(span)s.",
            due[peak] or 0,
            at=clock(peak),
            span=duration(to, oldest),
        )
    lines = [Line(say("Deliveries that are due"), due), Line(say("Events that wait"), events)]
    return Chart("backlog", say("What waits"), finding, "count", lines)


def _of_figures(
    points: Sequence[FigurePoint], value: Callable[[Figures], int | None]
) -> list[int | None]:
    return [None if point.figures is None else value(point.figures) for point in points]


def _of_gauges(points: Sequence[FigurePoint], value: Callable[[Gauges], int]) -> list[int | None]:
    return [None if point.gauges is None else value(point.gauges) for point in points]


def _highest(values: Values) -> int | None:
    """Return where the highest value is, the latest of equal ones; None: all are 0 or missing."""
    place, highest = None, 0
    for at, value in enumerate(values):
        if value and value >= highest:
            place, highest = at, value
    return place
