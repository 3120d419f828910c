"""Figures of a range as a chart shows them: put together to steps of any length, such as days of a
zone. Reads only; called by the pages.

What a year holds is read in one go: each row is added where it belongs, and nothing else is made
of it.
"""

from collections.abc import Callable

from schemas.figures import FigurePoint, Figures, Gauges, Step
from schemas.times import UnixMs
from store.engine.database import Connection
from store.figures.rows import add_traffic
from store.stats.figures import highest_samples, rows_of_traffic


def charted(
    connection: Connection,
    since: UnixMs,
    until: UnixMs,
    step: Step,
    start_of: Callable[[UnixMs], UnixMs],
) -> list[FigurePoint]:
    """Return the points of a chart, oldest first. `start_of` returns where the point begins that a
    step is part of; it may not go back as steps go on.

    As in `store.stats.figures`, a point without figures is one in which no dispatcher ran.
    """
    begin, end = since - since % step.ms, until + -until % step.ms
    point_of = {start: start_of(UnixMs(start)) for start in range(begin, end, step.ms)}
    waited: dict[UnixMs, Gauges] = {}
    for start, sample in highest_samples(connection, begin, end, step).items():
        known = waited.get(point_of[start])
        waited[point_of[start]] = sample if known is None else _highest(known, sample)
    counted = {start: Figures() for start in waited}
    for began, _, values in rows_of_traffic(connection, begin, end, step):
        start = point_of[began - began % step.ms]
        figures = counted.get(start)
        if figures is None:
            figures = counted[start] = Figures()
        add_traffic(figures, values)
    return [
        FigurePoint(start, counted.get(start), waited.get(start))
        for start in dict.fromkeys(point_of.values())
    ]


def _highest(one: Gauges, other: Gauges) -> Gauges:
    depths = [depth for depth in (one.queue_depth, other.queue_depth) if depth is not None]
    return Gauges(
        max(one.deliveries_due, other.deliveries_due),
        max(one.oldest_due_ms, other.oldest_due_ms),
        max(one.outbox_depth, other.outbox_depth),
        max(depths, default=None),
    )
