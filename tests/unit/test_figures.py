"""Histograms of durations, and figures that are added up: what a chart shows is what happened."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.deliveries.deliveries import DeliveryState, Outcome
from schemas.figures import HOUR_MS, Figures, Step, minutes_since, percentiles, usual_step
from schemas.latency_histogram import (
    OPEN_BUCKET,
    OPEN_FROM_MS,
    Histogram,
    add_encoded,
    bucket_of,
    count_into,
    decoded,
    encoded,
    longest_ms,
    merged,
    percentile_bound_ms,
    percentile_ms,
)
from schemas.times import UnixMs

DURATIONS = st.lists(st.integers(1, OPEN_FROM_MS - 1), min_size=1, max_size=300)
HISTOGRAMS = st.dictionaries(st.integers(0, OPEN_BUCKET), st.integers(1, 2**31))
SHARES = st.sampled_from([0.01, 0.5, 0.9, 0.95, 0.99, 1.0])


def of(durations: list[int]) -> Histogram:
    histogram: Histogram = {}
    for ms in durations:
        count_into(histogram, ms)
    return histogram


def exact(durations: list[int], share: float) -> int:
    return sorted(durations)[math.ceil(share * len(durations)) - 1]


@given(DURATIONS, SHARES)
def test_a_percentile_is_within_nine_percent_of_the_exact_one(
    durations: list[int], share: float
) -> None:
    """That is what the API and the pages promise."""
    shown, right = percentile_ms(of(durations), share), exact(durations, share)

    assert shown is not None
    assert abs(shown - right) <= 0.09 * right
    rounded = {0.5: "p50_ms", 0.95: "p95_ms", 0.99: "p99_ms"}.get(share)
    if rounded:
        assert abs(getattr(percentiles(of(durations)), rounded) - right) <= 0.09 * right


@given(DURATIONS, SHARES)
def test_a_bound_of_a_percentile_is_never_below_it(durations: list[int], share: float) -> None:
    """A page may say that 95 % took at most so long."""
    bound, right = percentile_bound_ms(of(durations), share), exact(durations, share)

    assert bound is not None
    assert right <= bound < right * 2**0.25


@given(HISTOGRAMS, HISTOGRAMS, HISTOGRAMS)
def test_histograms_may_be_added_in_any_order(
    one: Histogram, two: Histogram, three: Histogram
) -> None:
    """Minutes of several processes become hours in whatever slices."""
    assert merged([merged([one, two]), three]) == merged([one, merged([three, two])])
    assert merged([one, {}]) == one


@given(DURATIONS, DURATIONS)
def test_a_sum_of_histograms_is_the_histogram_of_all(one: list[int], two: list[int]) -> None:
    """So percentiles of a sum are those of all durations."""
    assert merged([of(one), of(two)]) == of(one + two)


@given(HISTOGRAMS)
def test_what_is_stored_is_read_again(histogram: Histogram) -> None:
    """Also added to what was read before."""
    stored = encoded(histogram)

    assert decoded(stored) == histogram
    twice = decoded(stored)
    add_encoded(twice, stored)
    assert twice == {bucket: 2 * count for bucket, count in histogram.items()}
    assert (stored is None) is (histogram == {})


def test_buckets_are_the_whole_quarters_of_the_logarithm() -> None:
    """Also at the limits, at which floating point numbers are wrong."""
    assert [bucket_of(ms) for ms in (-5, 0, 1, 2, 4, 2**14, 2**15 - 1, 2**15, 10**12)] == [
        0, 0, 0, 4, 8, 56, 59, 60, 60,
    ]  # fmt: skip
    assert all(
        bucket_of(ms) == math.floor(4 * math.log2(ms) + 1e-12) for ms in range(1, OPEN_FROM_MS)
    )
    assert all(low <= high for low, high in pairwise(map(bucket_of, range(4096))))


def test_the_last_bucket_has_no_end() -> None:
    """What lasted an hour is not shown as 33 seconds: the page says "or longer"."""
    histogram = of([3_600_000])

    assert percentile_ms(histogram, 0.5) == OPEN_FROM_MS
    assert percentile_bound_ms(histogram, 0.5) is None
    assert longest_ms(OPEN_BUCKET - 1) == OPEN_FROM_MS - 1


def test_nothing_has_no_percentile() -> None:
    """A gap is no zero."""
    assert percentile_ms({}, 0.5) is None
    assert percentiles({}).p99_ms is None
    assert Figures().success_share is None


def test_what_is_no_histogram_is_refused() -> None:
    """A row that something else wrote must not be read as other figures."""
    with pytest.raises(ValueError, match="no histogram"):
        decoded(b"1234567")


def test_figures_are_added_up() -> None:
    """And the ones that were added stay as they are."""
    one = Figures(1, {Outcome.DELIVERED: 2}, {DeliveryState.EXHAUSTED: 1}, {4: 2}, {0: 1})
    two = one.copy()

    two.add(Figures(2, {Outcome.DELIVERED: 1, Outcome.TIMEOUT: 1}, {}, {4: 1, 60: 1}, {}))

    assert (two.accepted, two.delivered, two.failed) == (3, 3, 1)
    assert two.failures == {Outcome.TIMEOUT: 1}
    assert two.success_share == 0.75
    assert two.latency == {4: 3, 60: 1}
    assert one == Figures(1, {Outcome.DELIVERED: 2}, {DeliveryState.EXHAUSTED: 1}, {4: 2}, {0: 1})


@pytest.mark.parametrize(
    ("hours_ago", "hours", "step"),
    [
        (0.25, 0.25, Step.MINUTE),
        (6, 6, Step.MINUTE),
        (7, 7, Step.FIVE_MINUTES),
        (48, 48, Step.FIVE_MINUTES),
        (49, 49, Step.HOUR),
        (60, 1, Step.HOUR),
        (720, 720, Step.HOUR),
    ],
)
def test_a_range_makes_a_few_hundred_points(hours_ago: float, hours: float, step: Step) -> None:
    """And none is finer than what is kept."""
    now = UnixMs(1_800_000_000_000 + 1_234_567)
    since = UnixMs(now - int(hours_ago * HOUR_MS))

    chosen = usual_step(since, UnixMs(since + int(hours * HOUR_MS)), now)

    assert chosen is step
    assert hours * HOUR_MS / chosen.ms <= 720
    assert minutes_since(now) % HOUR_MS == 0
