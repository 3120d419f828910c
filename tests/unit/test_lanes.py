"""Lanes: who starts next, and who waits for whom."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.lanes import LEASE_AHEAD_S, Lane
from schemas.deliveries.deliveries import Delivery, Trigger
from schemas.rate_meter import WINDOW_S
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
    return [
        a_delivery(f"rep_{n}", conversation=f"rep_{n}", trigger=Trigger.RETRY) for n in range(count)
    ]


def test_no_more_attempts_are_in_flight_than_the_lane_has_slots() -> None:
    """A slow receiver is not flooded."""
    lane = Lane(3)
    waiting = firsts(5)
    for delivery in waiting:
        lane.add(delivery)

    assert started(lane) == waiting[:3]
    lane.done(waiting[1], 0.0)
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
        lane.done(batch[0], 0.0)

    assert order.index(retry) <= 3


def test_one_delivery_of_a_conversation_at_a_time() -> None:
    """Its events arrive in order while none fails."""
    lane = Lane(10)
    one, two, other = (
        a_delivery("evt_1"),
        a_delivery("evt_2"),
        a_delivery("evt_3", conversation="cnv_other"),
    )
    for delivery in (one, two, other):
        lane.add(delivery)

    assert started(lane) == [one, other]
    assert lane.waits_behind(two)
    lane.done(one, 0.0)
    assert started(lane) == [two]


def test_a_withdrawn_delivery_never_starts_and_lets_its_conversation_go_on() -> None:
    """Spilled to a row: another dispatcher may send it."""
    lane = Lane(1)
    one, two, three = a_delivery("evt_1"), a_delivery("evt_2"), a_delivery("evt_3")
    for delivery in (one, two, three):
        lane.add(delivery)

    assert lane.withdraw(two)
    assert lane.withdraw(one)
    assert started(lane) == [three]
    assert not lane.withdraw(three)


def test_a_lane_is_stuck_while_all_slots_stay_taken_and_others_wait() -> None:
    """What waits for a second then becomes a row."""
    lane = Lane(1)
    one, two = firsts(2)
    lane.add(one)
    assert started(lane, 10.0) == [one]
    lane.add(two)
    started(lane, 11.0)

    assert not lane.is_stuck(11.9)
    assert lane.is_stuck(12.0)
    lane.done(one, 0.0)
    assert started(lane, 13.0) == [two]
    lane.done(two, 0.0)
    assert not lane.is_stuck(99.0)
    assert lane.is_empty


def test_a_lane_that_moves_is_not_stuck_however_long_its_slots_are_taken() -> None:
    """A process that has more to do than it can keeps every lane full. Rows instead of attempts
    would only be more to do.
    """
    lane = Lane(2)
    add(lane, rows(500))
    now_s, flying = 10.0, started(lane, 10.0)
    while now_s < 12.0:
        now_s += 0.01  # a hundred a second: those that still wait are served soon
        lane.done(flying.pop(0), now_s)
        flying += started(lane, now_s)
    waiting = 500 - 200 - 2

    assert lane.is_stuck(now_s), f"{waiting} wait for longer than a second at that pace"
    for _ in range(2 * waiting // 3):
        now_s += 0.01
        lane.done(flying.pop(0), now_s)
        flying += started(lane, now_s)
    assert not lane.is_stuck(now_s)


def rows(
    count: int, trigger: Trigger = Trigger.FIRST, conversation: str = "row_{}", start: int = 0
) -> list[Delivery]:
    """Rows as they come from the store, under a lease: first attempts had been spilled."""
    numbers = range(start, start + count)
    return [
        a_delivery(f"row_{n}", conversation=conversation.format(n), trigger=trigger, lease=1)
        for n in numbers
    ]


def add(lane: Lane, deliveries: list[Delivery]) -> None:
    for delivery in deliveries:
        lane.add(delivery)


@pytest.mark.parametrize("trigger", [Trigger.FIRST, Trigger.RETRY])
def test_rows_are_only_taken_when_they_can_start_at_once(trigger: Trigger) -> None:
    """A callback that hangs, with a thousand rows due: they stay in the store, in reach of
    everybody.
    """
    lane = Lane(16)
    taken: list[Delivery] = []
    while (free := lane.free_slots(49.5, trigger is Trigger.RETRY)) > 0:
        batch = rows(free, trigger, start=len(taken))
        taken += batch
        add(lane, batch)
        started(lane, 48.0)

    assert len(taken) == (16 if trigger is Trigger.FIRST else 4)
    assert lane.next(49.5) is None
    lane.done(taken[0], 49.6)
    assert lane.free_slots(50.5, trigger is Trigger.RETRY) == 1


def test_what_waits_behind_its_conversation_is_not_added_to() -> None:
    """All due rows of one conversation would otherwise be taken, one after the other, only to wait
    here.
    """
    lane = Lane(16)
    add(lane, rows(4, Trigger.RETRY, conversation="cnv_1"))
    started(lane)

    assert lane.conversations == {"cnv_1"}
    assert lane.free_slots(0.0, True) == 0
    assert lane.free_slots(50.0, False) == 15, "repeats that wait take nothing from first attempts"


def test_a_withdrawn_row_makes_room_for_another() -> None:
    """Given back by a timeout; the lane must not count it for ever."""
    lane = Lane(4)
    one, two = rows(2, Trigger.RETRY, conversation="cnv_1")
    add(lane, [one, two])
    assert lane.free_slots(0.0, True) == 0

    lane.withdraw(two)
    lane.withdraw(one)
    assert lane.free_slots(0.0, True) == 1


def test_a_busy_callback_has_its_next_row_at_hand() -> None:
    """Its lane is always full of new events: rows that waited for a free slot would
    wait for ever.
    """
    lane = Lane(4)
    new = firsts(20)
    add(lane, new)
    started(lane, 10.0)
    assert lane.free_slots(10.5, True) == 1

    add(lane, rows(1, Trigger.RETRY))
    assert lane.free_slots(10.5, True) == 0


def test_nothing_is_taken_for_a_full_lane_that_stands_still() -> None:
    """It would be given back in a second, and taken again."""
    lane = Lane(4)
    add(lane, firsts(4))
    started(lane, 10.0)

    assert (lane.free_slots(11.0, False), lane.free_slots(11.0, True)) == (0, 0)


def test_a_lane_that_stands_still_is_overfull_beyond_one_round_of_its_slots() -> None:
    """What waits longer than the limit had better be a row; but a lane that has just filled is
    not judged.
    """
    lane = Lane(4)
    waiting = firsts(20)
    add(lane, waiting[:7])
    started(lane, 10.0)
    started(lane, 10.1)
    assert not lane.is_overfull(20.0), "three wait, and four may"

    add(lane, waiting[7:])
    assert not lane.is_overfull(10.2)
    assert lane.is_overfull(10.5)


def test_a_quick_lane_is_overfull_only_beyond_what_it_does_in_a_second() -> None:
    """A burst for a callback that keeps up is no reason for rows."""
    lane = Lane(4)
    waiting = firsts(100)
    add(lane, waiting)
    for number in range(45):
        started(lane, 10.0 + number / 100)
        lane.done(waiting[number], 10.0 + number / 100)
    assert not lane.is_overfull(10.45), "51 wait and 90 a second go"

    add(lane, firsts(50, "more"))
    assert lane.is_overfull(10.45)


def test_all_first_attempts_that_wait_can_be_taken_back_in_their_order() -> None:
    """Those behind their conversation too; what flies and what is a repeat stays."""
    lane = Lane(1)
    flying, behind, other, retry, last = (
        a_delivery("evt_1"),
        a_delivery("evt_2"),
        a_delivery("evt_3", conversation="cnv_2"),
        a_delivery("evt_4", conversation="cnv_3", trigger=Trigger.RETRY),
        a_delivery("evt_5"),
    )
    add(lane, [flying, behind, other, retry, last])
    started(lane, 10.0)

    assert lane.withdraw_firsts() == [other, behind, last]
    lane.done(flying, 11.0)
    assert started(lane, 11.0) == [retry]


def test_of_a_quick_callback_more_is_taken_than_its_slots() -> None:
    """Its backlog would drain at the pace of the store's takes; and no more than it will start
    before the next.
    """
    lane = Lane(4)
    for number, delivery in enumerate(rows(50)):
        add(lane, [delivery])
        started(lane, 10.0 + number / 500)
        lane.done(delivery, 10.0 + number / 500)

    assert lane.free_slots(10.1, False) == 4 + 50 / WINDOW_S * LEASE_AHEAD_S
    assert lane.free_slots(10.1, True) == 1
    assert lane.free_slots(12.0, False) == 4, "it stands still"


@given(st.integers(1, 5), st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=40))
def test_every_delivery_starts_exactly_once(concurrency: int, plan: list[tuple[int, bool]]) -> None:
    """Whatever comes in whatever order: none lost, none twice, never two of one conversation, never
    more than the slots.
    """
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
        lane.done(seen[-1], 0.0)
        flying += started(lane)

    assert sorted(seen, key=id) == sorted(added, key=id)
    assert lane.is_empty
