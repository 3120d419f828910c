"""The retry schedule: bounds that hold for any schedule, jitter and Retry-After."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.backoff import RetrySchedule

DEFAULT = RetrySchedule.parse("5s,5m,30m,2h,5h,10h,14h,20h,24h")

schedules = (
    st.lists(st.timedeltas(timedelta(), timedelta(days=1)), min_size=1, max_size=12)
    .map(tuple)
    .map(RetrySchedule)
)
jitters = st.floats(-1, 1)


def test_the_default_schedule_spans_about_three_days() -> None:
    """The documented age at which a delivery is given up."""
    assert len(DEFAULT.delays) == 9
    assert DEFAULT.total == timedelta(hours=75, minutes=35, seconds=5)


def test_without_jitter_the_delays_are_those_of_the_schedule() -> None:
    """Counting starts at 1 after the first failure."""
    assert DEFAULT.next_delay(1, None, 0) == timedelta(seconds=5)
    assert DEFAULT.next_delay(9, None, 0) == timedelta(hours=24)


@given(schedule=schedules, beyond=st.integers(1, 5), jitter=jitters)
def test_a_schedule_that_is_used_up_has_no_next_attempt(
    schedule: RetrySchedule, beyond: int, jitter: float
) -> None:
    """This holds when the receiver said when to come again, too: there must be an end."""
    assert schedule.next_delay(len(schedule.delays) + beyond, 3600, jitter) is None


@given(schedule=schedules, data=st.data(), jitter=jitters)
def test_a_delay_moves_by_at_most_a_tenth(
    schedule: RetrySchedule, data: st.DataObject, jitter: float
) -> None:
    """What failed together must not come back together, nor far from the schedule."""
    failures = data.draw(st.integers(1, len(schedule.delays)))

    delay = schedule.next_delay(failures, None, jitter)

    planned, rounding = schedule.delays[failures - 1], timedelta(microseconds=1)
    assert delay is not None
    assert planned * 0.9 - rounding <= delay <= planned * 1.1 + rounding


@given(schedule=schedules, retry_after_s=st.floats(0, 86_400), jitter=jitters)
def test_no_attempt_comes_before_the_receiver_wants_it(
    schedule: RetrySchedule, retry_after_s: float, jitter: float
) -> None:
    """Retry-After is a lower bound, never a way to hurry us."""
    delay = schedule.next_delay(1, retry_after_s, jitter)

    assert delay is not None
    assert delay >= timedelta(seconds=retry_after_s)
    assert delay >= (schedule.next_delay(1, None, jitter) or timedelta())


@pytest.mark.parametrize("text", ["", "5s,", "soon", "5s;5m", "-5s"])
def test_a_wrong_schedule_is_refused(text: str) -> None:
    """The start must stop on it, not the first failed delivery."""
    with pytest.raises(ValueError, match="is not a duration"):
        RetrySchedule.parse(text)
