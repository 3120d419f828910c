"""From figures to the API's response models. Called by `api.views.stats`."""

from api.figure_models import (
    CountsAnswer,
    FigurePointAnswer,
    FiguresAnswer,
    PercentilesAnswer,
    WaitingAnswer,
)
from schemas.deliveries.deliveries import DeliveryState
from schemas.figures import Figures, FigureSeries, Gauges, percentiles
from schemas.latency_histogram import Histogram
from schemas.times import to_rfc3339


def figures_answer(series: FigureSeries, *, of_callback: bool) -> FiguresAnswer:
    """Return figures as the API shows them. Of a callback some are not known."""
    return FiguresAnswer(
        since=to_rfc3339(series.since),
        until=to_rfc3339(series.until),
        step=series.step,
        total=_counts(series.total, of_callback=of_callback),
        by_type={
            kind: _counts(figures, of_callback=of_callback)
            for kind, figures in sorted(series.by_type.items())
        },
        points=[
            FigurePointAnswer(
                start=to_rfc3339(point.start),
                counts=_counts(point.figures, of_callback=of_callback) if point.figures else None,
                waiting=_waiting(point.gauges) if point.gauges else None,
            )
            for point in series.points
        ],
    )


def _counts(figures: Figures, *, of_callback: bool) -> CountsAnswer:
    return CountsAnswer(
        accepted=None if of_callback else figures.accepted,
        delivered=figures.delivered,
        failed=figures.failed,
        failures=dict(sorted(figures.failures.items())),
        exhausted=figures.ended.get(DeliveryState.EXHAUSTED, 0),
        superseded=figures.ended.get(DeliveryState.SUPERSEDED, 0),
        cancelled=figures.ended.get(DeliveryState.CANCELLED, 0),
        success_share=figures.success_share,
        latency=_percentiles(figures.latency),
        first_attempt_delay=None if of_callback else _percentiles(figures.first_delay),
    )


def _percentiles(histogram: Histogram) -> PercentilesAnswer:
    known = percentiles(histogram)
    return PercentilesAnswer(known.p50_ms, known.p95_ms, known.p99_ms)


def _waiting(gauges: Gauges) -> WaitingAnswer:
    return WaitingAnswer(
        gauges.deliveries_due, gauges.oldest_due_ms / 1000, gauges.outbox_depth, gauges.queue_depth
    )
