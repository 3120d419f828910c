"""The hand: patience with what is slow, and what is given up when."""

import pytest

from consumers.hand import AGAIN_S, MAX_IN_HAND, Hand
from consumers.parcel import Parcel
from schemas.deliveries import Delivery, DeliveryState, Settlement
from schemas.reports import Silent
from tests.kit.making import a_delivery

LEASE_S = 25.0


class Settling:
    """Remembers what was to be written, and which message each settlement released."""

    def __init__(self) -> None:
        self.added: list[tuple[Settlement, Parcel | None]] = []
        self.backlog = 0
        self.on_settled = lambda: None

    def add(self, settlement: Settlement, parcel: Parcel | None) -> None:
        self.added.append((settlement, parcel))


class Dispatching:
    """A dispatcher whose lanes are as the test says."""

    def __init__(self) -> None:
        self.waiting: list[Delivery] = []
        self.flying: list[Delivery] = []
        self.stuck = False

    @property
    def in_flight(self) -> int:
        return len(self.flying)

    def submit(self, delivery: Delivery) -> None:
        self.waiting.append(delivery)

    def fly(self, delivery: Delivery) -> None:
        self.waiting.remove(delivery)
        self.flying.append(delivery)

    def withdraw(self, delivery: Delivery) -> bool:
        if delivery not in self.waiting:
            return False
        self.waiting.remove(delivery)
        return True

    def has_started(self, delivery: Delivery) -> bool:
        return delivery in self.flying

    def is_stuck(self, delivery: Delivery, patience_s: float) -> bool:
        return self.stuck

    def free_slots(self, callback_id: str, tried: bool) -> int:
        return 1

    def conversations(self, callback_id: str) -> frozenset[str]:
        return frozenset()

    def resume(self) -> None: ...
    def stop_starting(self) -> None: ...


class Scene:
    """A hand between two fakes, at a clock of the test's own."""

    def __init__(self) -> None:
        self.now_s, self.settling, self.dispatching = 100.0, Settling(), Dispatching()
        self.hand = Hand(self.settling, Silent(), LEASE_S, clock=lambda: self.now_s)  # type: ignore[arg-type]  # a fake in its place
        self.hand.connect(self.dispatching)
        self.parcel = Parcel(None, "receipt", 1)  # type: ignore[arg-type]  # no source is needed here

    def after(self, seconds: float) -> list[tuple[Settlement, Parcel | None]]:
        """What is to be written once so much time has passed."""
        self.now_s += seconds
        self.hand.tick()
        written, self.settling.added = self.settling.added, []
        return written


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_delivery_in_flight_after_a_second_becomes_a_leased_row_and_frees_its_message(scene: Scene) -> None:
    """A hanging callback pins no message (invariant 4)."""
    delivery = a_delivery(start_by_s=105.0)
    scene.hand.pick_up([delivery], scene.parcel)
    scene.dispatching.fly(delivery)

    assert scene.after(0.9) == []
    ((row, released),) = scene.after(0.1)

    assert (row.state, row.leased, row.due_in_s, released) == (DeliveryState.PENDING, True, LEASE_S - 1.0, scene.parcel)


def test_its_outcome_comes_later_and_releases_nothing_again(scene: Scene) -> None:
    """A message is given up once."""
    delivery = a_delivery(start_by_s=105.0)
    scene.hand.pick_up([delivery], scene.parcel)
    scene.dispatching.fly(delivery)
    scene.after(1.0)

    scene.hand.put_down(Settlement(delivery, DeliveryState.DELIVERED))

    assert scene.after(0.0) == [(Settlement(delivery, DeliveryState.DELIVERED), None)]


def test_what_could_not_start_because_its_lane_was_full_is_spilled(scene: Scene) -> None:
    """It becomes a due row, for whoever is free."""
    delivery = a_delivery(start_by_s=105.0)
    scene.hand.pick_up([delivery], scene.parcel)
    scene.dispatching.stuck = True

    ((row, released),) = scene.after(1.0)

    assert (row.state, row.leased, row.due_in_s, released) == (DeliveryState.PENDING, False, AGAIN_S, scene.parcel)
    assert scene.dispatching.waiting == []


def test_a_busy_processor_is_no_reason_to_spill(scene: Scene) -> None:
    """Rows would only add work; but what cannot end within its lease any more is given back."""
    delivery = a_delivery(start_by_s=105.0)
    scene.hand.pick_up([delivery], scene.parcel)

    assert scene.after(4.9) == []
    ((row, released),) = scene.after(0.1)

    assert (row.due_in_s, released) == (0.0, scene.parcel)


def test_a_message_with_two_deliveries_is_released_by_each(scene: Scene) -> None:
    """The parcel counts; the hand passes it on once for every delivery."""
    fast, slow = a_delivery("evt_1", "a" * 16), a_delivery("evt_1", "b" * 16)
    scene.hand.pick_up([fast, slow], scene.parcel)
    scene.dispatching.fly(slow)
    scene.hand.put_down(Settlement(fast, DeliveryState.DELIVERED))

    released = [parcel for _, parcel in scene.after(1.0)]

    assert released == [scene.parcel, scene.parcel]


def test_a_full_hand_pauses_intake_until_something_is_recorded(scene: Scene) -> None:
    """Back-pressure reaches the broker, never memory (invariant 6)."""
    deliveries = [a_delivery(f"evt_{n}") for n in range(MAX_IN_HAND)]
    scene.hand.pick_up(deliveries)
    assert not scene.hand.is_roomy

    scene.hand.put_down(Settlement(deliveries[0], DeliveryState.DELIVERED))
    scene.settling.backlog = 1
    assert not scene.hand.is_roomy
    scene.settling.backlog = 0
    assert scene.hand.is_roomy


def test_a_drain_gives_back_what_has_not_started(scene: Scene) -> None:
    """What is in flight ends, what is not is somebody else's (rule 14)."""
    flying, waiting = a_delivery("evt_1"), a_delivery("evt_2")
    scene.hand.pick_up([flying, waiting], scene.parcel)
    scene.dispatching.fly(flying)

    scene.hand.give_back_unstarted()

    assert [(s.delivery, s.due_in_s) for s, _ in scene.settling.added] == [(waiting, 0.0)]


def test_an_attempt_asked_for_never_moves_the_row_of_its_delivery(scene: Scene) -> None:
    """It stands beside the automatic ones."""
    delivery = a_delivery(attempt_id="att_1", start_by_s=105.0)
    scene.hand.pick_up([delivery])

    ((row, _),) = scene.after(5.0)

    assert row.state is None
