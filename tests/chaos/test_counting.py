"""The counting by itself: a sum that is wrong in our favour would make every scenario a lie."""

from tests.chaos import counting
from tests.chaos.counting import Posted
from tests.chaos.receiver import Arrival


def posted(number: int, status: int = 202, at_s: float = 0.0) -> Posted:
    return Posted(f"evt_{number}", "/ok/a", at_s, at_s, status)


def arrived(number: int, status: int = 200, at_s: float = 0.0, path: str = "/ok/a") -> Arrival:
    return Arrival(path, f"evt_{number}", at_s, status)


def test_only_what_was_accepted_can_be_missing() -> None:
    """A 503 promised nothing, and after a broken connection the outcome is unknown."""
    counted = counting.tally(
        [posted(1), posted(2), posted(3, 503), posted(4, 0)], [arrived(1), arrived(4)]
    )

    assert (counted.sent, counted.accepted, counted.refused, counted.unanswered) == (4, 2, 1, 1)
    assert (counted.received, counted.missing, counted.duplicates) == (2, 1, 0)
    assert counting.missing([posted(1), posted(2)], [arrived(1)]) == {"evt_2"}


def test_an_event_at_the_wrong_callback_is_missing_at_its_own() -> None:
    """Delivered to another callback is not delivered."""
    assert counting.tally([posted(1)], [arrived(1, path="/ok/b")]).missing == 1


def test_an_event_whose_every_attempt_failed_is_missing() -> None:
    """A request that was refused is not a delivery."""
    assert counting.tally([posted(1)], [arrived(1, 500), arrived(1, 0)]).missing == 1


def test_a_retry_is_no_duplicate_and_a_request_after_success_is_one() -> None:
    """A receiver that answers 500 asks for another attempt; one that answered 200 does not."""
    assert counting.duplicates([arrived(1, 500), arrived(1, 500), arrived(1)]) == 0
    assert counting.duplicates([arrived(1), arrived(1), arrived(1, 500)]) == 2
    assert counting.duplicates([arrived(1), arrived(1, path="/ok/b")]) == 0


def test_recovery_ends_with_the_last_event_that_waited() -> None:
    """What was accepted after the fault had ended has no part in it, and what never came makes it
    endless.
    """
    before, after = [posted(1, at_s=1.0), posted(2, at_s=2.0)], posted(3, at_s=11.0)

    assert (
        counting.recovered_s(
            [*before, after],
            [arrived(1, at_s=1.0), arrived(2, at_s=14.0), arrived(3, at_s=90.0)],
            10.0,
        )
        == 4.0
    )
    assert counting.recovered_s(before, [arrived(1, at_s=1.0), arrived(2, at_s=2.0)], 10.0) == 0.0
    assert counting.recovered_s(before, [arrived(1, at_s=1.0)], 10.0) == float("inf")


def test_delays_run_to_the_first_success() -> None:
    """Failures before it are part of the delay, repeats after it are not."""
    arrivals = [
        arrived(1, 500, 1.0),
        arrived(1, 200, 3.0),
        arrived(1, 200, 9.0),
        arrived(2, 200, 0.5),
    ]

    assert counting.delays_s([posted(1), posted(2), posted(3)], arrivals) == [0.5, 3.0]
    assert counting.percentile([0.5, 3.0], 0.99) == 3.0
    assert counting.percentile([], 0.99) == 0.0


def test_order_is_measured_by_the_widest_overtaking() -> None:
    """Neighbours that swap are one place out of turn, a newest that comes first is all of them."""
    events = [posted(number, at_s=float(number)) for number in range(4)]

    def came(*numbers: int) -> int:
        return counting.out_of_turn(
            events,
            [arrived(number, at_s=float(place)) for place, number in enumerate(numbers)],
            "/ok/a",
        )

    assert came(0, 1, 2, 3) == 0
    assert came(1, 0, 2, 3) == 1
    assert came(3, 0, 1, 2) == 3


def test_a_stall_moves_one_window_and_not_the_usual_delay() -> None:
    """Otherwise one second in which the disk stood still would decide a comparison of minutes."""
    load = [posted(number, at_s=float(number)) for number in range(50)]
    arrivals = [
        arrived(number, at_s=number + (3.0 if 20 <= number < 30 else 0.1)) for number in range(50)
    ]

    assert round(counting.usual_s(load, arrivals, ["/ok/a"], 0.99), 3) == 0.1
    assert counting.percentile(counting.delays_s(load, arrivals), 0.99) == 3.0
    assert counting.usual_s(load, [], ["/ok/a"], 0.99) == 0.0
