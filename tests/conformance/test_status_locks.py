"""The lock of a message's statuses: one is sent at a time, and none below one that may have arrived
(docs/invariants.md#statuses-never-go-backwards).
"""

import pytest

from schemas.deliveries.settlement import given_back, leased
from schemas.events.status_order import OVERTAKEN
from store.deliveries import status_locks
from store.deliveries.status_gate import Admitted
from store.engine.database import Database
from tests.kit.statuses import LEASE_MS, START, Line, a_status, delivered, events, exhausted, failed


@pytest.fixture
def line(database: Database) -> Line:
    return Line(database)


def test_one_status_of_a_message_goes_at_a_time(line: Line) -> None:
    """The next is a row that waits for the end of the first's lease, and is due as soon as the
    first ended.
    """
    first, second = a_status("e1", "queued"), a_status("e2", "sent")

    assert events(line.claim(first)) == ["e1"]
    assert line.claim(second) == Admitted([], waiting=1)
    assert (line.row("e2").awaits_status, line.row("e2").due_at, line.row("e2").lease) == (
        True,
        START + LEASE_MS,
        0,
    )

    assert line.settle(delivered(first)).woken
    assert line.due("e2")
    assert events(line.take(second)) == ["e2"]


def test_of_a_batch_the_lowest_goes_first_and_all_arrive(line: Line) -> None:
    """However they were shuffled on their way: nothing has to be left out."""
    batch = {name: a_status(name, name) for name in ("read", "queued", "delivered", "sent")}

    admitted = line.claim(*batch.values())
    assert (events(admitted), admitted.waiting) == (["queued"], 3)
    seen = []
    while admitted.go:
        (holder,) = admitted.go
        seen.append(holder.status)
        line.settle(delivered(holder))
        admitted = line.take(
            *(one for name, one in batch.items() if line.row(name).due_at and line.due(name))
        )

    assert seen == ["queued", "sent", "delivered", "read"]


def test_messages_and_callbacks_do_not_wait_for_each_other(line: Line) -> None:
    """A place is of one callback and one message."""
    line.claim(a_status("e1", "queued", "m1"))

    assert events(
        line.claim(a_status("e2", "sent", "m2"), a_status("e3", "sent", "m1", "b" * 16))
    ) == ["e2", "e3"]


@pytest.mark.parametrize("status", ["sent", "read"])
def test_equal_or_higher_may_follow_what_was_delivered(line: Line, status: str) -> None:
    """Two providers may both say `sent`: that is no step back."""
    first = a_status("e1", "sent")
    line.claim(first)
    line.settle(delivered(first))

    assert events(line.claim(a_status("e2", status))) == ["e2"]


def test_lower_than_what_was_delivered_is_superseded(line: Line) -> None:
    """Its row says why. It is not looked at again."""
    first = a_status("e1", "delivered")
    line.claim(first)
    line.settle(delivered(first))

    assert line.claim(a_status("e2", "sent")) == Admitted([], overtaken=1)

    row = line.row("e2")
    assert (row.state, row.reason, row.due_at) == ("superseded", OVERTAKEN, None)


def test_those_that_wait_are_superseded_with_the_delivery_of_a_higher_one(line: Line) -> None:
    """A lower one that had failed, and one that waited: neither is sent any more."""
    low, high = a_status("e1", "queued"), a_status("e3", "read")
    line.claim(low)
    line.settle(failed(low))
    line.claim(high)
    assert line.claim(a_status("e2", "sent")).waiting == 1

    assert line.settle(delivered(high)).overtaken == 1

    assert line.row("e2").state == "superseded"
    line.now_ms += 5_000
    assert line.take(low) == Admitted([], overtaken=1)
    assert line.row("e1").state == "superseded"


def test_lower_than_an_open_one_that_was_sent_waits(line: Line) -> None:
    """The receiver may have seen it. When it ends for good, without an answer, the lower one never
    goes.
    """
    high = a_status("e1", "read")
    line.claim(high)
    line.settle(failed(high, due_in_s=60.0))

    assert line.claim(a_status("e2", "sent")) == Admitted([], waiting=1)
    assert line.row("e2").due_at == START + status_locks.SAFETY_NET_MS
    line.now_ms += 60_000
    (again,) = line.take(high).go
    line.settle(exhausted(again))

    assert line.row("e2").state == "superseded"
    assert line.claim(a_status("e3", "delivered")).overtaken == 1
    assert events(line.claim(a_status("e4", "read"))) == ["e4"]


def test_what_was_delivered_supersedes_whatever_else_is_open(line: Line) -> None:
    """`read` is still to be repeated, but `sent` cannot go any more: why let it wait?"""
    middle, high = a_status("e1", "delivered"), a_status("e2", "read")
    line.claim(middle)
    line.settle(delivered(middle))
    line.claim(high)
    line.settle(failed(high))

    assert line.claim(a_status("e3", "sent")) == Admitted([], overtaken=1)


def test_a_status_that_failed_lets_a_higher_one_go(line: Line) -> None:
    """It is its own retry that has to wait then, not the news."""
    low, high = a_status("e1", "sent"), a_status("e2", "delivered")
    line.claim(low, high)

    assert line.settle(failed(low)).woken
    assert line.due("e2")
    (going,) = line.take(high).go
    line.settle(failed(going))
    line.now_ms += 5_000

    assert line.take(low) == Admitted([], waiting=1)


def test_what_was_given_back_unsent_leaves_no_trace(line: Line) -> None:
    """A full lane or an open breaker gave it back: no receiver saw it,
    so lower ones may still go.
    """
    high, low = a_status("e1", "read"), a_status("e2", "queued")
    line.claim(high)
    assert line.claim(low).waiting == 1

    line.settle(given_back(high))

    assert line.due("e2")
    assert events(line.take(low)) == ["e2"]


def test_a_leased_row_keeps_its_lock(line: Line) -> None:
    """Patience only lets go of the message; the attempt is still under way."""
    first = a_status("e1", "queued")
    line.claim(first)

    line.settle(leased(first, 20.0))

    assert line.claim(a_status("e2", "sent")).waiting == 1
    line.settle(delivered(first))
    assert line.due("e2")


def test_a_lapsed_lock_is_free_and_what_held_it_may_have_arrived(line: Line) -> None:
    """A dispatcher died with it. Equal or higher may go, lower waits for it, and it may itself be
    tried again.
    """
    dead = a_status("e1", "sent")
    line.claim(dead)
    line.settle(leased(dead, 20.0))
    assert line.claim(a_status("e2", "queued"), a_status("e3", "read")).waiting == 2
    line.now_ms += LEASE_MS

    low, high = line.take(a_status("e2", "queued")), line.take(a_status("e3", "read"))
    assert (low, events(high)) == (Admitted([], waiting=1), ["e3"])

    line.settle(given_back(high.go[0]))
    (again,) = line.take(dead).go
    line.settle(given_back(again))
    line.now_ms += 300_000
    assert line.take(a_status("e2", "queued")).waiting == 1, (
        "given back now, but it may have been sent before"
    )


def test_an_outcome_under_an_old_lease_frees_no_other_lock(line: Line) -> None:
    """Two of one event: the frozen dispatcher's late answer must not let a third go while the
    second is in flight.
    """
    first = a_status("e1", "queued")
    line.claim(first)
    line.settle(leased(first, 20.0))
    line.now_ms += LEASE_MS
    (second,) = line.take(first).go

    line.settle(delivered(first))

    assert line.claim(a_status("e2", "sent")).waiting == 1
    line.settle(delivered(first), delivered(second))
    assert line.due("e2")
