"""The hand: patience with what is slow, and what is given up when."""

import pytest

from consumers.hand import AGAIN_S, MAX_IN_HAND, MIN_IN_HAND, Hand
from consumers.parcel import Parcel
from schemas.deliveries import Delivery, DeliveryState, Settlement, Trigger
from schemas.ids import CallbackId
from schemas.reports import Silent
from tests.kit.making import CALLBACK, a_delivery

LEASE_S = 25.0


class Settling:
    """Remembers what was to be written, and which message each settlement released."""

    def __init__(self) -> None:
        self.added: list[tuple[Settlement, Parcel | None]] = []
        self.backlog, self.handed_in = 0, 0
        self.on_settled = lambda: None

    def add(self, settlement: Settlement, parcel: Parcel | None) -> None:
        self.added.append((settlement, parcel))
        self.handed_in += 1


class Dispatching:
    """A dispatcher whose lanes are as the test says."""

    def __init__(self) -> None:
        self.waiting: list[Delivery] = []
        self.flying: list[Delivery] = []
        self.stuck, self.overfull = False, False

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

    def withdraw_firsts(self, callback_id: str) -> list[Delivery]:
        withdrawn = [one for one in self.waiting if one.callback_id == callback_id]
        self.waiting = [one for one in self.waiting if one not in withdrawn]
        return withdrawn

    def is_overfull(self, callback_id: str) -> bool:
        return self.overfull

    def has_started(self, delivery: Delivery) -> bool:
        return delivery in self.flying

    def is_stuck(self, delivery: Delivery) -> bool:
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
        self.hand.saw(self.hand.look(), ())
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

    assert (row.state, row.leased, row.due_in_s, released) == (DeliveryState.PENDING, False, 0.0, scene.parcel)
    assert scene.dispatching.waiting == []


def test_a_repeat_that_could_not_start_is_looked_at_again_later(scene: Scene) -> None:
    """Its row would go round in circles otherwise."""
    delivery = a_delivery(trigger=Trigger.RETRY, lease=1, start_by_s=105.0)
    scene.hand.pick_up([delivery])
    scene.dispatching.stuck = True

    ((row, _),) = scene.after(1.0)

    assert (row.due_in_s, scene.dispatching.waiting) == (AGAIN_S, [])


def test_with_one_that_spills_go_all_that_wait_for_the_same_callback(scene: Scene) -> None:
    """The younger would start while the older is a row: events of one conversation would change places."""
    older, younger, other = a_delivery("evt_1"), a_delivery("evt_2"), a_delivery("evt_3", "b" * 16)
    scene.hand.pick_up([older], scene.parcel)
    scene.after(0.9)
    scene.hand.pick_up([younger, other], scene.parcel)
    scene.dispatching.stuck = True

    assert [row.delivery for row, _ in scene.after(0.1)] == [older, younger]
    assert scene.dispatching.waiting == [other]


def test_while_a_callback_has_spilled_rows_what_is_new_for_it_spills_too(scene: Scene) -> None:
    """It would overtake them; it keeps its message no longer than it takes to write a row (rule 12)."""
    scene.hand.pick_up([a_delivery("evt_1", start_by_s=105.0)], scene.parcel)
    scene.dispatching.stuck = True
    scene.after(1.0)

    new, other = a_delivery("evt_2"), a_delivery("evt_2", "b" * 16)
    scene.hand.pick_up([new, other], scene.parcel)

    assert [(row.delivery, row.due_in_s, released) for row, released in scene.after(0.0)] == [(new, 0.0, scene.parcel)]
    assert scene.dispatching.waiting == [other]


def test_its_rows_come_back_through_the_hand_and_do_not_spill_again(scene: Scene) -> None:
    """What was taken from the store is what the others wait for."""
    scene.hand.saw(scene.hand.look(), {CALLBACK})
    row = a_delivery(lease=1)
    scene.hand.pick_up([row])

    assert scene.dispatching.waiting == [row]


def test_it_ends_with_a_look_that_finds_none_and_began_after_all_were_written(scene: Scene) -> None:
    """A look that began before the last was written, or before it was even spilled, has not seen it."""
    scene.dispatching.overfull = True
    scene.hand.pick_up([a_delivery("evt_1")], scene.parcel)
    scene.dispatching.overfull = False
    scene.settling.backlog = 1
    before_it_was_written = scene.hand.look()
    scene.settling.backlog = 0

    scene.hand.saw(before_it_was_written, ())
    assert new_spills(scene, 1)
    before_the_last = scene.hand.look()
    assert new_spills(scene, 2)
    scene.hand.saw(before_the_last, ())
    assert new_spills(scene, 3)
    scene.hand.saw(scene.hand.look(), {CALLBACK})
    assert new_spills(scene, 4)
    scene.hand.saw(scene.hand.look(), ())
    assert not new_spills(scene, 5)


def test_what_was_claimed_as_rows_during_a_look_is_not_taken_for_gone(scene: Scene) -> None:
    """The look began before those rows were there."""
    began_before = scene.hand.look()
    scene.hand.put_off([CALLBACK])
    scene.hand.saw(began_before, ())
    assert new_spills(scene, 1)

    scene.hand.saw(scene.hand.look(), ())
    assert not new_spills(scene, 2)


def new_spills(scene: Scene, number: int) -> bool:
    delivery = a_delivery(f"new_{number}")
    scene.hand.pick_up([delivery], scene.parcel)
    return delivery not in scene.dispatching.waiting


def test_what_would_wait_in_vain_spills_at_once(scene: Scene) -> None:
    """A lane that cannot keep up would fill the hand, which belongs to everybody."""
    scene.dispatching.overfull = True
    scene.hand.pick_up([a_delivery()], scene.parcel)

    ((row, released),) = scene.settling.added
    assert (row.due_in_s, released) == (0.0, scene.parcel)


def test_nothing_is_taken_in_before_the_first_look(scene: Scene) -> None:
    """After a start any callback may have rows that what is new would overtake."""
    hand = Hand(Settling(), Silent(), LEASE_S)  # type: ignore[arg-type]  # a fake in its place
    assert not hand.is_roomy

    hand.saw(hand.look(), ())
    assert hand.is_roomy


def test_attempts_that_outlast_the_patience_do_not_count_as_in_hand(scene: Scene) -> None:
    """Fifty callbacks that hang would stop everybody's intake."""
    places = scene.hand.places
    lay_slow(scene, 3)

    assert scene.hand.places == places
    scene.hand.put_down(Settlement(scene.dispatching.flying[0], DeliveryState.DELIVERED))
    assert scene.hand.places == places


def test_callbacks_that_hang_get_no_more_when_too_many_attempts_do(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory for connections is bounded; callbacks that answer go on."""
    monkeypatch.setattr("consumers.hand.MAX_SLOW", 3)
    lay_slow(scene, 3)
    scene.settling.added.clear()

    new, other = a_delivery("evt_9"), a_delivery("evt_9", "b" * 16)
    scene.hand.pick_up([new, other], scene.parcel)

    assert [row.delivery for row, _ in scene.settling.added] == [new]
    assert (scene.hand.free_slots(CALLBACK, False), scene.hand.free_slots(CallbackId("b" * 16), False)) == (0, 1)


def lay_slow(scene: Scene, count: int) -> None:
    """So many attempts that have been in flight for more than a second."""
    for number in range(count):
        delivery = a_delivery(f"slow_{number}", start_by_s=200.0)
        scene.hand.pick_up([delivery], scene.parcel)
        scene.dispatching.fly(delivery)
    scene.after(1.0)


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
    deliveries = [a_delivery(f"evt_{n}") for n in range(MIN_IN_HAND)]
    scene.hand.pick_up(deliveries)
    assert not scene.hand.is_roomy

    scene.hand.put_down(Settlement(deliveries[0], DeliveryState.DELIVERED))
    scene.settling.backlog = 1
    assert not scene.hand.is_roomy
    scene.settling.backlog = 0
    assert scene.hand.is_roomy


@pytest.mark.parametrize(("settled", "room"), [(10, MIN_IN_HAND), (500, 600), (5_000, MAX_IN_HAND)])
def test_the_hand_holds_what_is_settled_within_the_patience(scene: Scene, settled: int, room: int) -> None:
    """On a busy processor a fuller hand would only make them lose patience, and rows; `settled` in half a second."""
    for number in range(settled):
        delivery = a_delivery(f"evt_{number}")
        scene.hand.pick_up([delivery])
        scene.hand.put_down(Settlement(delivery, DeliveryState.DELIVERED))

    scene.after(0.0)
    assert scene.hand.places == room


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
