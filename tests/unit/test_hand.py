"""The hand: patience with what is slow, and what is given up when."""

import pytest

from consumers.pipeline.unsettled import AGAIN_S, MAX_UNSETTLED, MIN_UNSETTLED, Unsettled
from schemas.deliveries.deliveries import DeliveryState, Settlement, Trigger
from schemas.ids import CallbackId
from schemas.observer import NullObserver
from tests.kit.hand_scene import LEASE_S, Scene, Settling
from tests.kit.making import CALLBACK, a_delivery


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_delivery_in_flight_after_a_second_becomes_a_leased_row_and_frees_its_message(
    scene: Scene,
) -> None:
    """A hanging callback pins no message (docs/invariants.md#a-hanging-callback-costs-only-itself).
    """
    delivery = a_delivery(start_by_s=105.0)
    scene.unsettled.pick_up([delivery], scene.pending_ack)
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
    scene.unsettled.pick_up([delivery], scene.pending_ack)
    scene.dispatching.fly(delivery)
    scene.after(1.0)

    scene.unsettled.put_down(Settlement(delivery, DeliveryState.DELIVERED))

    assert scene.after(0.0) == [(Settlement(delivery, DeliveryState.DELIVERED), None)]


def test_what_could_not_start_because_its_lane_was_full_is_spilled(scene: Scene) -> None:
    """It becomes a due row, for whoever is free."""
    delivery = a_delivery(start_by_s=105.0)
    scene.unsettled.pick_up([delivery], scene.pending_ack)
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
    scene.unsettled.pick_up([delivery])
    scene.dispatching.stuck = True

    ((row, _),) = scene.after(1.0)

    assert (row.due_in_s, scene.dispatching.waiting) == (AGAIN_S, [])


def test_nothing_is_taken_in_before_the_first_look(scene: Scene) -> None:
    """After a start any callback may have rows that what is new would overtake."""
    unsettled = Unsettled(Settling(), NullObserver(), LEASE_S)  # type: ignore[arg-type]  # a fake in its place
    assert not unsettled.is_roomy

    unsettled.saw(unsettled.look(), ())
    assert unsettled.is_roomy


def test_attempts_that_outlast_the_patience_do_not_count_as_in_hand(scene: Scene) -> None:
    """Fifty callbacks that hang would stop everybody's intake."""
    places = scene.unsettled.places
    lay_slow(scene, 3)

    assert scene.unsettled.places == places
    scene.unsettled.put_down(Settlement(scene.dispatching.flying[0], DeliveryState.DELIVERED))
    assert scene.unsettled.places == places


def test_callbacks_that_hang_get_no_more_when_too_many_attempts_do(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory for connections is bounded; callbacks that answer go on."""
    monkeypatch.setattr("consumers.pipeline.unsettled.MAX_SLOW", 3)
    lay_slow(scene, 3)
    scene.settling.added.clear()

    new, other = a_delivery("evt_9"), a_delivery("evt_9", "b" * 16)
    scene.unsettled.pick_up([new, other], scene.pending_ack)

    assert [row.delivery for row, _ in scene.settling.added] == [new]
    assert (
        scene.unsettled.free_slots(CALLBACK, False),
        scene.unsettled.free_slots(CallbackId("b" * 16), False),
    ) == (0, 1)


def lay_slow(scene: Scene, count: int) -> None:
    """So many attempts that have been in flight for more than a second."""
    for number in range(count):
        delivery = a_delivery(f"slow_{number}", start_by_s=200.0)
        scene.unsettled.pick_up([delivery], scene.pending_ack)
        scene.dispatching.fly(delivery)
    scene.after(1.0)


def test_a_busy_processor_is_no_reason_to_spill(scene: Scene) -> None:
    """Rows would only add work; but what cannot end within its lease any more is given back."""
    delivery = a_delivery(start_by_s=105.0)
    scene.unsettled.pick_up([delivery], scene.pending_ack)

    assert scene.after(4.9) == []
    ((row, released),) = scene.after(0.1)

    assert (row.due_in_s, released) == (0.0, scene.pending_ack)


def test_a_message_with_two_deliveries_is_released_by_each(scene: Scene) -> None:
    """The parcel counts; the hand passes it on once for every delivery."""
    fast, slow = a_delivery("evt_1", "a" * 16), a_delivery("evt_1", "b" * 16)
    scene.unsettled.pick_up([fast, slow], scene.pending_ack)
    scene.dispatching.fly(slow)
    scene.unsettled.put_down(Settlement(fast, DeliveryState.DELIVERED))

    released = [pending_ack for _, pending_ack in scene.after(1.0)]

    assert released == [scene.pending_ack, scene.pending_ack]


def test_a_full_hand_pauses_intake_until_something_is_recorded(scene: Scene) -> None:
    """Back-pressure reaches the broker, never memory (docs/invariants.md#everything-is-bounded)."""
    deliveries = [a_delivery(f"evt_{n}") for n in range(MIN_UNSETTLED)]
    scene.unsettled.pick_up(deliveries)
    assert not scene.unsettled.is_roomy

    scene.unsettled.put_down(Settlement(deliveries[0], DeliveryState.DELIVERED))
    scene.settling.places = 1
    assert not scene.unsettled.is_roomy
    scene.settling.places = 0
    assert scene.unsettled.is_roomy


def test_large_bodies_take_more_of_its_room(scene: Scene) -> None:
    """Back-pressure counts bytes too: as many of the largest would be four hundred megabytes."""
    large = [a_delivery(f"evt_{n}", body=b"x" * 256 * 1024) for n in range(MIN_UNSETTLED // 9 + 1)]
    scene.unsettled.pick_up(large, scene.pending_ack)
    assert not scene.unsettled.is_roomy

    scene.unsettled.put_down(Settlement(large[0], DeliveryState.DELIVERED))
    assert scene.unsettled.places == MIN_UNSETTLED - 9 * (len(large) - 1)


def test_large_bodies_of_attempts_that_hang_are_bounded_too(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are in memory until their timeout."""
    monkeypatch.setattr("consumers.pipeline.unsettled.MAX_SLOW", 18)
    for number in range(2):
        delivery = a_delivery(f"slow_{number}", body=b"x" * 256 * 1024, start_by_s=200.0)
        scene.unsettled.pick_up([delivery], scene.pending_ack)
        scene.dispatching.fly(delivery)
    scene.after(1.0)

    assert scene.unsettled.free_slots(CALLBACK, False) == 0
    scene.unsettled.put_down(Settlement(scene.dispatching.flying[0], DeliveryState.DELIVERED))
    assert scene.unsettled.free_slots(CALLBACK, False) == 1


@pytest.mark.parametrize(
    ("settled", "room"), [(10, MIN_UNSETTLED), (500, 600), (5_000, MAX_UNSETTLED)]
)
def test_the_hand_holds_what_is_settled_within_the_patience(
    scene: Scene, settled: int, room: int
) -> None:
    """On a busy processor a fuller hand would only make them lose patience, and rows; `settled` in
    half a second.
    """
    for number in range(settled):
        delivery = a_delivery(f"evt_{number}")
        scene.unsettled.pick_up([delivery])
        scene.unsettled.put_down(Settlement(delivery, DeliveryState.DELIVERED))

    scene.after(0.0)
    assert scene.unsettled.places == room


def test_a_drain_gives_back_what_has_not_started(scene: Scene) -> None:
    """What is in flight ends, what is not is somebody else's (docs/invariants.md#a-stop-drains)."""
    flying, waiting = a_delivery("evt_1"), a_delivery("evt_2")
    scene.unsettled.pick_up([flying, waiting], scene.pending_ack)
    scene.dispatching.fly(flying)

    scene.unsettled.give_back_unstarted()

    assert [(s.delivery, s.due_in_s) for s, _ in scene.settling.added] == [(waiting, 0.0)]


def test_an_attempt_asked_for_never_moves_the_row_of_its_delivery(scene: Scene) -> None:
    """It stands beside the automatic ones."""
    delivery = a_delivery(attempt_id="att_1", start_by_s=105.0)
    scene.unsettled.pick_up([delivery])

    ((row, _),) = scene.after(5.0)

    assert row.state is None
