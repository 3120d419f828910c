"""The short set, on receivers that misbehave, and loads that are odd. What they cost the others is
measured at full size.
"""

import pytest

from tests.chaos.conftest import KeptBriefly

pytestmark = pytest.mark.timeout(300)


def test_callbacks_that_hang_cost_the_others_nothing(kept_briefly: KeptBriefly) -> None:
    """No message waits for them: all callbacks share the broker's queue."""
    kept_briefly("hanging")


def test_a_dead_callback_is_left_alone(kept_briefly: KeptBriefly) -> None:
    """Thousands of events for it are a handful of probes."""
    kept_briefly("dead")


def test_a_callback_that_comes_back_gets_all_of_it_in_order(kept_briefly: KeptBriefly) -> None:
    """Soon, and without anybody's help."""
    kept_briefly("comeback")


def test_receivers_that_take_only_so_many_a_second_get_all_of_it(kept_briefly: KeptBriefly) -> None:
    """Nothing is given up for what they do not take at once, nor counted as a failure."""
    kept_briefly("throttling")


def test_answers_that_are_not_worth_reading_are_not_read(kept_briefly: KeptBriefly) -> None:
    """One receiver must not be able to fill the memory of all."""
    kept_briefly("misbehaving")


def test_the_largest_events_take_no_more_memory_than_others(kept_briefly: KeptBriefly) -> None:
    """A few thousand of them are more than a dispatcher may have."""
    kept_briefly("large-backlog")


def test_the_largest_batches_are_taken_alongside_other_requests(kept_briefly: KeptBriefly) -> None:
    """Megabytes at once, four times."""
    kept_briefly("largest-batches")


def test_one_id_posted_by_many_at_once_is_one_event(kept_briefly: KeptBriefly) -> None:
    """Retries of a backend meet each other in different processes."""
    kept_briefly("one-id")


def test_a_wall_clock_that_jumps_neither_stalls_nor_storms_retries(
    kept_briefly: KeptBriefly,
) -> None:
    """A machine that had the wrong time, or a careless administrator."""
    kept_briefly("clock-embedded")
