"""Lanes: who starts next, and who waits for whom."""

from hypothesis import given
from hypothesis import strategies as st

from dispatcher.lanes import Lane
from schemas.deliveries import Delivery, Trigger
from tests.kit.making import a_delivery


def started(lane: Lane, now_s: float = 0.0) -> list[Delivery]:
    """Everything that starts now."""
    found = []
    while delivery := lane.next(now_s):
        found.append(delivery)
    return found


def firsts(count: int, prefix: str = "evt") -> list[Delivery]:
    return [a_delivery(f"{prefix}_{n}", conversation=f"{prefix}_{n}") for n in range(count)]


def repeats(count: int) -> list[Delivery]:
    return [a_delivery(f"rep_{n}", conversation=f"rep_{n}", trigger=Trigger.RETRY) for n in range(count)]


def test_no_more_attempts_are_in_flight_than_the_lane_has_slots() -> None:
    """A slow receiver is not flooded."""
    lane = Lane(3)
    waiting = firsts(5)
    for delivery in waiting:
        lane.add(delivery)

    assert started(lane) == waiting[:3]
    lane.done(waiting[1])
    assert started(lane) == [waiting[3]]


def test_first_attempts_do_not_wait_behind_retries() -> None:
    """Retries of a callback that hangs leave most of its slots to what is new."""
    lane = Lane(8)
    for delivery in repeats(20):
        lane.add(delivery)
    assert len(started(lane)) == 2

    new = firsts(6)
    for delivery in new:
        lane.add(delivery)
    assert started(lane) == new


def test_retries_get_their_turn_while_new_events_keep_coming() -> None:
    """A busy callback's retries would otherwise never be sent."""
    lane = Lane(1)
    (retry,) = repeats(1)
    lane.add(retry)
    order = []
    for delivery in firsts(8):
        lane.add(delivery)
    while batch := started(lane):
        order += batch
        lane.done(batch[0])

    assert order.index(retry) <= 3


def test_one_delivery_of_a_conversation_at_a_time() -> None:
    """Its events arrive in order while none fails."""
    lane = Lane(10)
    one, two, other = a_delivery("evt_1"), a_delivery("evt_2"), a_delivery("evt_3", conversation="cnv_other")
    for delivery in (one, two, other):
        lane.add(delivery)

    assert started(lane) == [one, other]
    assert lane.waits_behind(two)
    lane.done(one)
    assert started(lane) == [two]


def test_a_withdrawn_delivery_never_starts_and_lets_its_conversation_go_on() -> None:
    """Spilled to a row: somebody else may send it."""
    lane = Lane(1)
    one, two, three = a_delivery("evt_1"), a_delivery("evt_2"), a_delivery("evt_3")
    for delivery in (one, two, three):
        lane.add(delivery)

    assert lane.withdraw(two)
    assert lane.withdraw(one)
    assert started(lane) == [three]
    assert not lane.withdraw(three)


def test_a_lane_is_stuck_while_all_slots_stay_taken_and_others_wait() -> None:
    """What waits for a second then becomes a row; a lane that merely is busy is not stuck."""
    lane = Lane(1)
    one, two = firsts(2)
    lane.add(one)
    assert started(lane, 10.0) == [one]
    lane.add(two)
    started(lane, 11.0)

    assert lane.stuck_for_s(12.5) == 1.5
    lane.done(one)
    assert started(lane, 13.0) == [two]
    lane.done(two)
    assert lane.stuck_for_s(99.0) == 0.0
    assert lane.is_empty


@given(st.integers(1, 5), st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=40))
def test_every_delivery_starts_exactly_once(concurrency: int, plan: list[tuple[int, bool]]) -> None:
    """Whatever comes in whatever order: none lost, none twice, never two of one conversation, never more than the slots."""
    lane = Lane(concurrency)
    added, seen, flying = [], [], []
    for number, (conversation, again) in enumerate(plan):
        trigger = Trigger.RETRY if again else Trigger.FIRST
        added.append(a_delivery(f"evt_{number}", conversation=str(conversation), trigger=trigger))
        lane.add(added[-1])
        flying += started(lane)
    while flying:
        assert len(flying) <= concurrency
        assert len({d.conversation_id for d in flying}) == len(flying)
        seen.append(flying.pop(0))
        lane.done(seen[-1])
        flying += started(lane)

    assert sorted(seen, key=id) == sorted(added, key=id)
    assert lane.is_empty
