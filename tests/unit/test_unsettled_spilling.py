"""The unsettled deliveries: what spills, and how long new deliveries of the same callback have to
spill too.
"""

from typing import Any

import msgspec
import pytest

from consumers.pipeline.unsettled import Unsettled
from schemas.deliveries.settlement import given_back
from tests.kit.dispatch_scene import Notes
from tests.kit.making import CALLBACK, a_delivery
from tests.kit.unsettled_scene import Scene


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_with_one_that_spills_go_all_that_wait_for_the_same_callback(scene: Scene) -> None:
    """The younger would start while the older is a row: events of one conversation would change
    places.
    """
    older, younger, other = a_delivery("evt_1"), a_delivery("evt_2"), a_delivery("evt_3", "b" * 16)
    scene.unsettled.add([older], scene.pending_ack)
    scene.after(0.9)
    scene.unsettled.add([younger, other], scene.pending_ack)
    scene.dispatching.stuck = True

    assert [row.delivery for row, _ in scene.after(0.1)] == [older, younger]
    assert scene.dispatching.waiting == [other]


def test_while_a_callback_has_spilled_rows_what_is_new_for_it_spills_too(scene: Scene) -> None:
    """It would overtake them. It keeps its message no longer than it takes to write a row
    (docs/invariants.md#lanes-are-fair).
    """
    scene.unsettled.add([a_delivery("evt_1", start_by_s=105.0)], scene.pending_ack)
    scene.dispatching.stuck = True
    scene.after(1.0)

    new, other = a_delivery("evt_2"), a_delivery("evt_2", "b" * 16)
    scene.unsettled.add([new, other], scene.pending_ack)

    assert [(row.delivery, row.due_in_s, released) for row, released in scene.after(0.0)] == [
        (new, 0.0, scene.pending_ack)
    ]
    assert scene.dispatching.waiting == [other]


def test_its_rows_come_back_and_do_not_spill_again(scene: Scene) -> None:
    """What was taken from the store is what the others wait for."""
    scene.unsettled.end_scan(scene.unsettled.begin_scan(), {CALLBACK})
    row = a_delivery(lease=1)
    scene.unsettled.add([row])

    assert scene.dispatching.waiting == [row]


def test_it_ends_with_a_scan_that_finds_none_and_began_after_all_were_written(scene: Scene) -> None:
    """A look that began before the last was written, or before it was even spilled, has not seen
    it.
    """
    scene.dispatching.overfull = True
    scene.unsettled.add([a_delivery("evt_1")], scene.pending_ack)
    scene.dispatching.overfull = False
    scene.settling.backlog = 1
    before_it_was_written = scene.unsettled.begin_scan()
    scene.settling.backlog = 0

    scene.unsettled.end_scan(before_it_was_written, ())
    assert new_spills(scene, 1)
    before_the_last = scene.unsettled.begin_scan()
    assert new_spills(scene, 2)
    scene.unsettled.end_scan(before_the_last, ())
    assert new_spills(scene, 3)
    scene.unsettled.end_scan(scene.unsettled.begin_scan(), {CALLBACK})
    assert new_spills(scene, 4)
    scene.unsettled.end_scan(scene.unsettled.begin_scan(), ())
    assert not new_spills(scene, 5)


def test_what_was_claimed_as_rows_during_a_scan_is_not_taken_for_gone(scene: Scene) -> None:
    """The look began before those rows were there."""
    began_before = scene.unsettled.begin_scan()
    scene.unsettled.add_spilled([CALLBACK])
    scene.unsettled.end_scan(began_before, ())
    assert new_spills(scene, 1)

    scene.unsettled.end_scan(scene.unsettled.begin_scan(), ())
    assert not new_spills(scene, 2)


def new_spills(scene: Scene, number: int) -> bool:
    delivery = a_delivery(f"new_{number}")
    scene.unsettled.add([delivery], scene.pending_ack)
    return delivery not in scene.dispatching.waiting


def test_what_could_not_start_spills_at_once(scene: Scene) -> None:
    """A lane that cannot keep up would use all the capacity, which all callbacks share."""
    scene.dispatching.overfull = True
    scene.unsettled.add([a_delivery()], scene.pending_ack)

    ((row, released),) = scene.settling.added
    assert (row.due_in_s, released) == (0.0, scene.pending_ack)


def test_what_is_behind_a_throttled_delivery_waits_as_rows_with_it(scene: Scene) -> None:
    """Once its callback may be called, the younger would overtake the older, which is a row; and
    nothing pins a message meanwhile.
    """
    throttled, behind, new = a_delivery("evt_1"), a_delivery("evt_2"), a_delivery("evt_3")
    scene.unsettled.add([throttled, behind], scene.pending_ack)
    scene.dispatching.fly(throttled)
    scene.unsettled.settle(msgspec.structs.replace(given_back(throttled), throttled=True))

    scene.unsettled.add([new], scene.pending_ack)

    assert [(row.delivery, row.due_in_s, released) for row, released in scene.after(0.0)] == [
        (throttled, 0.0, scene.pending_ack), (behind, 0.0, scene.pending_ack),
        (new, 0.0, scene.pending_ack),
    ]  # fmt: skip


def test_what_is_put_off_for_a_throttled_callback_is_counted_so(scene: Scene) -> None:
    """An operator who looks for why first attempts are late should not look for a slow receiver."""
    notes = Notes()
    settling: Any = scene.settling  # a fake in its place
    unsettled = Unsettled(settling, notes, 25.0)
    unsettled.connect(scene.dispatching, lambda: None)
    scene.dispatching.overfull = scene.dispatching.throttled = True

    unsettled.add([a_delivery("evt_1")], scene.pending_ack)

    assert notes.put_off == ["throttled"]
