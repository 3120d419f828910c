"""The overview: what happens now and did before, what fails, and what to do next."""

from collections.abc import Mapping, Sequence
from zoneinfo import ZoneInfo

from flask import Response, request

from dashboard.overview.charts import charts_of
from dashboard.overview.durations import bound_ms
from dashboard.overview.present import tiles
from dashboard.overview.ranges import RANGES, USUAL, Range
from dashboard.overview.state import states
from dashboard.pages import Page, shown
from dashboard.parts import Gauges
from dashboard.rows.deliveries import DeliveryRow, delivery_rows
from dashboard.visit import Visit
from schemas.deliveries.callback_health import CallbackState
from schemas.deliveries.deliveries import DeliveryState
from schemas.figures import MINUTE_MS, FigurePoint, Figures, Step
from schemas.listings import DeliveryFilter
from schemas.times import UnixMs
from store.attention.failing import failing_callbacks
from store.deliveries.listing import list_deliveries
from store.engine.database import Connection
from store.stats.charted import charted
from store.stats.latest import latest
from web.exports.spreadsheets import Cell, Sheet, moment
from web.exports.streaming import csv_download

_FAILING = 8
"""Failing callbacks that are listed. More: the page gets long; all are at "Needs attention"."""

_LATEST = 5
"""Deliveries that are listed."""

_NOW, _CHARTS = "now", "charts"
"""The parts of the page that the browser fetches again, each by itself."""

_COLUMNS = (
    "Beginning (UTC)", "Accepted", "Delivered", "Failed attempts", "Given up", "Overtaken",
    "Cancelled", "p50 (ms)", "p95 (ms)", "p99 (ms)", "First attempt p95 (ms)", "Due",
    "Oldest due (ms)", "Events waiting",
)  # fmt: skip


def overview(visit: Visit) -> Response:
    """The first page."""
    chosen, part = _range(visit), request.headers.get("X-Live-Part")
    by_minute = chosen if chosen.step is Step.MINUTE else RANGES["15m"]
    now = visit.parts.directory.now()
    values: dict[str, object] = {"chosen": chosen, "ranges": _range_names(visit), "part": part}
    with visit.parts.database.read() as connection:
        points = (
            _points(connection, by_minute, now) if by_minute is chosen or part != _CHARTS else ()
        )
        if part != _CHARTS:
            values |= _present(visit, connection, points, now)
            # who looks further back looks for something else, and it takes three queries
            values["newest"] = _newest(visit, connection) if by_minute is chosen else ()
        if part != _NOW:
            if by_minute is not chosen:
                points = _points(connection, chosen, now, visit.zone)
            values |= _charts(visit, points, chosen, now)
    return visit.render("overview.html", **values)


def overview_csv(visit: Visit) -> Response:
    """The figures of the charts as a file, as finely as they are kept."""
    chosen = _range(visit)
    with visit.parts.database.read() as connection:
        points = _points(connection, chosen, visit.parts.directory.now())
    sheet = Sheet("Figures", _COLUMNS, map(_cells, points))
    return csv_download(f"ringback-figures-{chosen.name}", sheet, for_excel=False)


def _range(visit: Visit) -> Range:
    return RANGES.get(visit.query.get("range", ""), RANGES[USUAL])


def _points(
    connection: Connection, chosen: Range, now: UnixMs, zone: ZoneInfo | None = None
) -> Sequence[FigurePoint]:
    """Return the points of a range: those of its chart in a zone, else as finely as they are kept."""
    since = UnixMs(now - chosen.span_ms)
    start_of = chosen.start_of(zone) if zone else lambda at: at
    return charted(connection, since, now, chosen.step, start_of)


def _present(
    visit: Visit, connection: Connection, points: Sequence[FigurePoint], now: UnixMs
) -> Mapping[str, object]:
    """Return what the page shows of the present."""
    parts, known = visit.parts, latest(connection)
    gauges = parts.gauges()
    steps = [] if known.has_events or not visit.is_admin else list(parts.first_steps())
    return {
        "has_events": known.has_events,
        "first_steps": steps,
        "tiles": tiles(visit, points, gauges, now),
        "delivered_at": known.delivered_at and min(now, UnixMs(known.delivered_at + MINUTE_MS)),
        "failing": failing_callbacks(connection, now, _FAILING + 1),
        "most_failing": _FAILING,
        "counts": _callback_counts(gauges),
        "states": states(visit, parts.readiness(), gauges, known.sampled_at, now),
    }


def _callback_counts(gauges: Gauges) -> Mapping[str, int]:
    """Return how many callbacks work, and how many a person switched off."""
    known = gauges.get("callbacks")
    counts = known if isinstance(known, Mapping) else {}
    return {
        state.value: int(counts.get(state, 0))
        for state in (CallbackState.HEALTHY, CallbackState.OFF)
    }


def _newest(visit: Visit, connection: Connection) -> Sequence[DeliveryRow]:
    listed = list_deliveries(connection, DeliveryFilter(), _LATEST).rows
    return delivery_rows(visit, connection, listed)


def _charts(
    visit: Visit, points: Sequence[FigurePoint], chosen: Range, now: UnixMs
) -> Mapping[str, object]:
    """Return the charts, with the beginning of each step in words."""
    language, zone = visit.language, visit.zone
    if chosen.is_by_day:
        times = [language.day(point.start, zone) for point in points]
    else:
        times = [language.short(point.start, zone, now) for point in points]
    return {
        "charts": charts_of(visit, points, times.__getitem__),
        "steps": [(point.start // 1000, time) for point, time in zip(points, times, strict=True)],
        # days are of different lengths where clocks change
        "step_s": chosen.point_ms and chosen.point_ms // 1000,
    }


def _range_names(visit: Visit) -> Mapping[str, str]:
    say = visit.say
    return {
        "15m": say("15 minutes"),
        "1h": say("1 hour"),
        "6h": say("6 hours"),
        "24h": say("24 hours"),
        "7d": say("7 days"),
        "30d": say("30 days"),
        "13mo": say("13 months"),
    }


def _cells(point: FigurePoint) -> tuple[Cell, ...]:
    one, waited = point.figures, point.gauges
    return (
        moment(point.start),
        *(_counts(one) if one else (None,) * 10),
        *(
            (
                waited.deliveries_due,
                waited.oldest_due_ms,
                waited.outbox_depth + (waited.queue_depth or 0),
            )
            if waited
            else (None,) * 3
        ),
    )


def _counts(one: Figures) -> tuple[Cell, ...]:
    ended = (DeliveryState.EXHAUSTED, DeliveryState.SUPERSEDED, DeliveryState.CANCELLED)
    return (
        one.accepted,
        one.delivered,
        one.failed,
        *(one.ended.get(state, 0) for state in ended),
        *(bound_ms(one.latency, share) for share in (0.5, 0.95, 0.99)),
        bound_ms(one.first_delay, 0.95),
    )


PAGES: tuple[Page, ...] = (shown("/", overview), shown("/overview.csv", overview_csv))
