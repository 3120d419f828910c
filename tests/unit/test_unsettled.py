"""The unsettled deliveries: how long a slow one may take, and when each is released."""

from typing import Any

import pytest

from consumers.pipeline.unsettled import AGAIN_S, MAX_UNSETTLED, MIN_UNSETTLED, Unsettled
from schemas.deliveries.deliveries import DeliveryState, Trigger
from schemas.deliveries.settlement import Settlement
from schemas.ids import CallbackId
from schemas.observer import NullObserver
from tests.kit.making import CALLBACK, a_delivery
from tests.kit.unsettled_scene import LEASE_S, Scene, Settling


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_delivery_in_flight_after_a_second_becomes_a_leased_row_and_frees_its_message(
    scene: Scene,
) -> None:
    """A hanging callback holds no message
    (docs/invariants.md#a-hanging-callback-costs-only-itself).
    """
    delivery = a_delivery(start_by_s=105.0)
    scene.unsettled.add([delivery], scene.pending_ack)
    scene.dispatching.fly(delivery)

    assert scene.after(0.9) == []
    ((row, released),) = scene.after(0.1)

    assert (row.state, row.leased, row.due_in_s, released) == (
        DeliveryState.PENDING,
        True,
        LEASE_S - 1.0,
        scene.pending_ack,
    )


def test_its_outcome_comes_later_and_releases_nothing_again(scene: Scene) -> None:
    """A message is given up once."""
    delivery = a_delivery(start_by_s=105.0)
    scene.unsettled.add([delivery], scene.pending_ack)
    scene.dispatching.fly(delivery)
    scene.after(1.0)

    scene.unsettled.settle(Settlement(delivery, DeliveryState.DELIVERED))

    assert scene.after(0.0) == [(Settlement(delivery, DeliveryState.DELIVERED), None)]


def test_what_could_not_start_because_its_lane_was_full_is_spilled(scene: Scene) -> None:
    """It becomes a due row, for any dispatcher that is free."""
    delivery = a_delivery(start_by_s=105.0)
    scene.unsettled.add([delivery], scene.pending_ack)
    scene.dispatching.stuck = True

    ((row, released),) = scene.after(1.0)

    assert (row.state, row.leased, row.due_in_s, released) == (
        DeliveryState.PENDING,
        False,
        0.0,
        scene.pending_ack,
    )
    assert scene.dispatching.waiting == []


def test_a_repeat_that_could_not_start_is_looked_at_again_later(scene: Scene) -> None:
    """Its row would go round in circles otherwise."""
    delivery = a_delivery(trigger=Trigger.RETRY, lease=1, start_by_s=105.0)
    scene.unsettled.add([delivery])
    scene.dispatching.stuck = True

    ((row, _),) = scene.after(1.0)

    assert (row.due_in_s, scene.dispatching.waiting) == (AGAIN_S, [])


def test_nothing_is_taken_in_before_the_first_look(scene: Scene) -> None:
    """After a start any callback may have rows that what is new would overtake."""
    settling: Any = Settling()  # a fake in its place
    unsettled = Unsettled(settling, NullObserver(), LEASE_S)
    assert not unsettled.is_roomy

    unsettled.end_scan(unsettled.begin_scan(), ())
    assert unsettled.is_roomy


def test_attempts_that_outlast_the_limit_do_not_count_as_unsettled(scene: Scene) -> None:
    """Fifty callbacks that hang would stop the intake for all."""
    places = scene.unsettled.capacity_left
    lay_slow(scene, 3)

    assert scene.unsettled.capacity_left == places
    scene.unsettled.settle(Settlement(scene.dispatching.flying[0], DeliveryState.DELIVERED))
    assert scene.unsettled.capacity_left == places


def test_callbacks_that_hang_get_no_more_when_too_many_attempts_do(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory for connections is bounded; callbacks that answer go on."""
    monkeypatch.setattr("consumers.pipeline.unsettled.MAX_SLOW", 3)
    lay_slow(scene, 3)
    scene.settling.added.clear()

    new, other = a_delivery("evt_9"), a_delivery("evt_9", "b" * 16)
    scene.unsettled.add([new, other], scene.pending_ack)

    assert [row.delivery for row, _ in scene.settling.added] == [new]
    assert (
        scene.unsettled.free_slots(CALLBACK, False),
        scene.unsettled.free_slots(CallbackId("b" * 16), False),
    ) == (0, 1)


def lay_slow(scene: Scene, count: int) -> None:
    """So many attempts that have been in flight for more than a second."""
    for number in range(count):
        delivery = a_delivery(f"slow_{number}", start_by_s=200.0)
        scene.unsettled.add([delivery], scene.pending_ack)
        scene.dispatching.fly(delivery)
    scene.after(1.0)


def test_a_busy_processor_is_no_reason_to_spill(scene: Scene) -> None:
    """Rows would only add work; but what cannot end within its lease any more is given back."""
    delivery = a_delivery(start_by_s=105.0)
    scene.unsettled.add([delivery], scene.pending_ack)

    assert scene.after(4.9) == []
    ((row, released),) = scene.after(0.1)

    assert (row.due_in_s, released) == (0.0, scene.pending_ack)


def test_a_message_with_two_deliveries_is_released_by_each(scene: Scene) -> None:
    """The pending acknowledgement counts, and is passed on once for every delivery."""
    fast, slow = a_delivery("evt_1", "a" * 16), a_delivery("evt_1", "b" * 16)
    scene.unsettled.add([fast, slow], scene.pending_ack)
    scene.dispatching.fly(slow)
    scene.unsettled.settle(Settlement(fast, DeliveryState.DELIVERED))

    released = [pending_ack for _, pending_ack in scene.after(1.0)]

    assert released == [scene.pending_ack, scene.pending_ack]


def test_full_capacity_pauses_intake_until_something_is_recorded(scene: Scene) -> None:
    """Back-pressure reaches the broker, never memory (docs/invariants.md#everything-is-bounded)."""
    deliveries = [a_delivery(f"evt_{n}") for n in range(MIN_UNSETTLED)]
    scene.unsettled.add(deliveries)
    assert not scene.unsettled.is_roomy

    scene.unsettled.settle(Settlement(deliveries[0], DeliveryState.DELIVERED))
    scene.settling.weight = 1
    assert not scene.unsettled.is_roomy
    scene.settling.weight = 0
    assert scene.unsettled.is_roomy


def test_large_bodies_take_more_of_its_room(scene: Scene) -> None:
    """Back-pressure counts bytes too: as many of the largest would be four hundred megabytes."""
    large = [a_delivery(f"evt_{n}", body=b"x" * 256 * 1024) for n in range(MIN_UNSETTLED // 9 + 1)]
    scene.unsettled.add(large, scene.pending_ack)
    assert not scene.unsettled.is_roomy

    scene.unsettled.settle(Settlement(large[0], DeliveryState.DELIVERED))
    assert scene.unsettled.capacity_left == MIN_UNSETTLED - 9 * (len(large) - 1)


def test_large_bodies_of_attempts_that_hang_are_bounded_too(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are in memory until their timeout."""
    monkeypatch.setattr("consumers.pipeline.unsettled.MAX_SLOW", 18)
    for number in range(2):
        delivery = a_delivery(f"slow_{number}", body=b"x" * 256 * 1024, start_by_s=200.0)
        scene.unsettled.add([delivery], scene.pending_ack)
        scene.dispatching.fly(delivery)
    scene.after(1.0)

    assert scene.unsettled.free_slots(CALLBACK, False) == 0
    scene.unsettled.settle(Settlement(scene.dispatching.flying[0], DeliveryState.DELIVERED))
    assert scene.unsettled.free_slots(CALLBACK, False) == 1


@pytest.mark.parametrize(
    ("settled", "room"), [(10, MIN_UNSETTLED), (500, 600), (5_000, MAX_UNSETTLED)]
)
def test_the_capacity_is_what_is_settled_within_the_window(
    scene: Scene, settled: int, room: int
) -> None:
    """On a busy processor more of them would only time out and become rows. `settled` are settled
    in half a second.
    """
    for number in range(settled):
        delivery = a_delivery(f"evt_{number}")
        scene.unsettled.add([delivery])
        scene.unsettled.settle(Settlement(delivery, DeliveryState.DELIVERED))

    scene.after(0.0)
    assert scene.unsettled.capacity_left == room


def test_a_drain_gives_back_what_has_not_started(scene: Scene) -> None:
    """What is in flight ends; what is not is left to other dispatchers
    (docs/invariants.md#a-stop-drains).
    """
    flying, waiting = a_delivery("evt_1"), a_delivery("evt_2")
    scene.unsettled.add([flying, waiting], scene.pending_ack)
    scene.dispatching.fly(flying)

    scene.unsettled.give_back_unstarted()

    assert [(s.delivery, s.due_in_s) for s, _ in scene.settling.added] == [(waiting, 0.0)]


def test_an_attempt_asked_for_never_moves_the_row_of_its_delivery(scene: Scene) -> None:
    """It is made in addition to the automatic ones."""
    delivery = a_delivery(attempt_id="att_1", start_by_s=105.0)
    scene.unsettled.add([delivery])

    ((row, _),) = scene.after(5.0)

    assert row.state is None
