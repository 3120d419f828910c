"""Lanes of receivers that asked for a pause: who waits for its end, and who does not."""

from dispatcher.lanes import Lane
from dispatcher.throttle import Throttle
from schemas.deliveries.deliveries import Trigger
from tests.kit.making import a_delivery
from tests.unit.test_lanes import firsts, repeats, started


def throttled(lane: Lane, pause_s: float) -> Lane:
    """Refused at 0, before anything is known of its pace."""
    lane.throttle = Throttle(0, 0.0)
    lane.throttle.refused(0.0, 0.0, pause_s)
    return lane


def test_a_throttled_lane_waits_and_then_starts_one() -> None:
    """The receiver asked for it; what is more than it takes within a second spills at once."""
    lane = throttled(Lane(8), 2.0)
    assert lane.is_overfull(0.5)
    for delivery in (waiting := firsts(3)):
        lane.add(delivery)

    assert started(lane, 1.9) == []
    assert lane.is_stuck(1.9)
    assert started(lane, 2.0) == [waiting[0]]


def test_rows_of_a_throttled_lane_are_taken_as_they_can_start() -> None:
    """More would time out here, and go back; both shares wait for the same starts."""
    lane = throttled(Lane(8), 2.0)
    assert (lane.free_slots(1.4, False), lane.free_slots(1.4, True)) == (0, 0)

    assert (lane.free_slots(1.6, False), lane.free_slots(1.6, True)) == (1, 1)
    lane.add(firsts(1)[0])
    assert (lane.free_slots(1.6, False), lane.free_slots(1.6, True)) == (0, 0)


def test_a_requested_attempt_does_not_wait_for_a_throttle() -> None:
    """It is nothing automatic. Repeats that are wait with the others."""
    lane = throttled(Lane(8), 2.0)
    by_hand = a_delivery(
        "evt_hand", conversation="cnv_hand", trigger=Trigger.MANUAL, attempt_id="att_1"
    )
    for delivery in [*firsts(1), *repeats(1), by_hand]:
        lane.add(delivery)

    assert started(lane, 1.0) == [by_hand]
