"""The overview's charts and figures: sentences, gaps, bounds, and points that are put together."""

from zoneinfo import ZoneInfo

import pytest

from dashboard.languages import Language
from dashboard.overview.charts import Chart, charts_of
from dashboard.overview.durations import at_most, bound_ms, duration
from dashboard.overview.present import tiles
from dashboard.overview.ranges import RANGES, Range
from dashboard.overview.state import SAMPLED_WITHIN_MS, states
from schemas.deliveries.deliveries import Outcome
from schemas.figures import HOUR_MS, MINUTE_MS, FigurePoint, Figures, Gauges
from schemas.latency_histogram import OPEN_FROM_MS, count_into
from schemas.readiness import Readiness
from schemas.times import UnixMs, from_rfc3339, to_rfc3339

UTC, ROME = ZoneInfo("UTC"), ZoneInfo("Europe/Rome")
NOON = UnixMs(1_795_262_400_000)  # 2026-11-21T12:00:00Z


class English:
    """A person who reads English."""

    language = Language("en")

    def say(self, text: str, **values: object) -> str:
        return self.language.text(text, **values)


TO = English()


def figures(
    accepted: int = 0, delivered: int = 0, failed: int = 0, took_ms: tuple[int, ...] = ()
) -> Figures:
    outcomes = {Outcome.DELIVERED.value: delivered, Outcome.TIMEOUT.value: failed}
    made = Figures(accepted, {outcome: count for outcome, count in outcomes.items() if count})
    for ms in took_ms:
        count_into(made.latency, ms)
    return made


def point(minute: int, figures: Figures | None = None, due: int | None = None) -> FigurePoint:
    gauges = None if due is None else Gauges(due, due * 1_000, 0, None)
    return FigurePoint(UnixMs(NOON + minute * MINUTE_MS), figures, gauges)


def charts(*points: FigurePoint) -> dict[str, Chart]:
    return {chart.key: chart for chart in charts_of(TO, points, lambda place: f"12:{place:02d}")}


def test_charts_say_what_they_show() -> None:
    """Who cannot see a picture, or has no time for it, reads the sentence."""
    found = charts(
        point(0, figures(5, 9, 1, (10,) * 99 + (3_000,)), due=0),
        point(1, figures(4, 8, 3, (200,) * 100), due=7),
        point(2, figures(1, 1, 3, (50,) * 100), due=2),
    )

    assert {key: chart.finding for key, chart in found.items()} == {
        "events": "10 accepted, 18 delivered, 7 attempts failed, most at 12:02",
        "latency": "p95 ≤ 220 ms, highest ≤ 220 ms at 12:01",
        "backlog": "Most: 7 deliveries at 12:01. The oldest waited for 7 s.",
    }


@pytest.mark.parametrize(
    ("points", "sentences"),
    [
        (
            [point(0)],
            [
                "Nothing happened in this time.",
                "No attempt was made in this time.",
                "No dispatcher sampled what waits in this time.",
            ],
        ),
        (
            [point(0, figures(3, 3, took_ms=(5,)), due=0)],
            [
                "3 accepted, 3 delivered, no failed attempt",
                "p95 ≤ 5 ms, highest ≤ 5 ms at 12:00",
                "No delivery had to wait.",
            ],
        ),
    ],
)
def test_charts_of_nothing_say_so(points: list[FigurePoint], sentences: list[str]) -> None:
    assert [chart.finding for chart in charts(*points).values()] == sentences


def test_a_gap_stays_a_gap_and_a_zero_a_zero() -> None:
    """A process that was away is no quiet minute."""
    found = charts(
        point(0, figures(1, 1, took_ms=(5,)), due=3), point(1), point(2, figures(), due=0)
    )

    assert [list(row) for row in found["events"].rows] == [[1, 1, 0], ["", "", ""], [0, 0, 0]]
    assert [list(row) for row in found["latency"].rows] == [[5, 5, 5], ["", "", ""], ["", "", ""]]
    assert [list(row) for row in found["backlog"].rows] == [[3, 0], ["", ""], [0, 0]]


def test_days_begin_at_midnight_where_the_person_is() -> None:
    """Also on the days on which clocks change."""
    of_rome, of_utc = (RANGES["13mo"].start_of(zone) for zone in (ROME, UTC))
    summer_ends = from_rfc3339("2026-10-25T22:30:00Z")  # 23:30 in Rome, on the day of 25 hours

    assert to_rfc3339(of_utc(summer_ends)) == "2026-10-25T00:00:00.000Z"
    assert to_rfc3339(of_rome(summer_ends)) == "2026-10-24T22:00:00.000Z"
    assert to_rfc3339(of_rome(UnixMs(summer_ends + HOUR_MS))) == "2026-10-25T23:00:00.000Z"


@pytest.mark.parametrize("chosen", RANGES.values(), ids=lambda one: one.name)
def test_no_range_has_many_points(chosen: Range) -> None:
    """Each is three rows of tables in the page."""
    points = chosen.span_ms / (chosen.point_ms or 24 * HOUR_MS)

    assert points <= 400
    assert chosen.point_ms is None or chosen.point_ms % chosen.step.ms == 0


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (None, "\u2013"),
        (0, "≤ 0 ms"),
        (7, "≤ 7 ms"),
        (239, "≤ 240 ms"),
        (999, "≤ 1 s"),
        (1_903, "≤ 2 s"),
        (1_899, "≤ 1.9 s"),
        (31_000, "≤ 31 s"),
        (OPEN_FROM_MS, "> 32 s"),
    ],
)
def test_a_bound_is_never_too_low(ms: int | None, text: str) -> None:
    """It is rounded up, but for what is longer than all that is distinguished."""
    assert at_most(TO, ms) == text


def test_a_long_duration_is_in_words() -> None:
    assert duration(TO, 30 * MINUTE_MS) == "30 minutes"


def test_a_duration_beyond_the_last_bucket_is_said_to_be_longer() -> None:
    assert at_most(TO, bound_ms(figures(took_ms=(60_000,)).latency, 0.5)) == "> 32 s"


def test_present_figures_are_of_the_minutes_that_ended() -> None:
    """The minute that runs would make each rate too low; what is older than the last quarter of an
    hour says nothing about now.
    """
    points = [
        point(-20, figures(900, 900, 900)),
        *(point(-minute, figures(60, 120, 0, (30,))) for minute in range(7, 0, -1)),
        point(0, figures(1, 1)),
    ]
    gauges = {"deliveries_due": 3.0, "deliveries_due_oldest_seconds": 4.2, "outbox_depth": 7.0}

    found = {one.label: one for one in tiles(TO, points, gauges, UnixMs(NOON + 30_000))}

    values = {label: tile.value for label, tile in found.items()}
    assert values == {
        "Accepted a minute": "60",
        "Delivered a minute": "120",
        "Failed a minute": "0",
        "Attempts that succeed": "100%",
        "Answer time, p95": "≤ 31 ms",
        "First attempt after, p95": "\u2013",
        "Deliveries that are due": "3",
        "Events that wait": "7",
    }
    assert found["Deliveries that are due"].note == "the oldest for 4.2 s"


def test_what_is_not_known_is_no_zero() -> None:
    """A zero would say that all is well."""
    assert {one.value for one in tiles(TO, [], {}, NOON)} == {"\u2013"}


def test_failures_and_a_low_share_catch_the_eye() -> None:
    found = {one.label: one for one in tiles(TO, [point(-1, figures(9, 9, 1))], {}, NOON)}

    assert (found["Failed a minute"].colour, found["Attempts that succeed"].colour) == (
        "bad",
        "bad",
    )
    assert found["Accepted a minute"].colour == ""


def test_each_part_of_ringback_says_how_it_is() -> None:
    """In the words of the part that found the trouble."""
    lacking = {"broker": "no connection", "database": "it does not answer"}

    well = states(TO, Readiness(True, {}), {"broker_connected": 1.0}, NOON, NOON)
    ill = states(TO, Readiness(False, lacking), {}, UnixMs(NOON - HOUR_MS), NOON)
    fresh = states(TO, Readiness(True, {}), {}, None, NOON)

    assert all(one.is_well for one in well)
    assert [one.text for one in ill] == [
        "no: neither by broker nor database",
        "it does not answer",
        "no connection",
        "none works: the last one was seen 60 minutes ago",
    ]
    assert not any(one.is_well for one in ill)
    assert [one.text for one in fresh[2:]] == [
        "not used: events wait in the database",
        "none was seen yet: one reports each minute",
    ]


def test_a_dispatcher_that_sampled_the_last_minute_lives() -> None:
    just, late = (UnixMs(NOON - int(SAMPLED_WITHIN_MS) - more) for more in (0, 1))

    assert states(TO, Readiness(True, {}), {}, just, NOON)[-1].is_well
    assert not states(TO, Readiness(True, {}), {}, late, NOON)[-1].is_well
