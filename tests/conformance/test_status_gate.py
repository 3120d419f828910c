"""Whatever is about to be sent asks for its place: by hand, as a probe, at the same time; and what
is no status pays nothing.
"""

import asyncio
import itertools
import threading
from collections.abc import Sequence

import msgspec
import pytest
import sqlalchemy as sa

from consumers.pipeline.settler import Settler
from consumers.pipeline.store_availability import StoreStatus
from schemas.deliveries.deliveries import Delivery, DeliveryState, Outcome, Trigger
from schemas.deliveries.settlement import Settlement, given_back
from schemas.events.types import EventType
from schemas.ids import AttemptId, CallbackId
from schemas.observer import NullObserver
from store.deliveries import probes, status_locks
from store.deliveries.requested_attempts import lease_requested
from store.deliveries.status_gate import Admitted
from store.engine.database import Database
from store.tables import deliveries, requested_attempts
from store.tables import status_locks as lock_table
from tests.kit.making import CALLBACK, a_delivery, an_attempt
from tests.kit.statuses import LEASE_MS, START, Line, a_status, delivered, events, failed


@pytest.fixture
def line(database: Database) -> Line:
    return Line(database)


def asked_for(line: Line, delivery: Delivery) -> Delivery:
    row = {
        "id": "att_1",
        "event_id": delivery.event_id,
        "callback_id": delivery.callback_id,
        "trigger": "manual",
        "due_at": 0,
    }
    with line.database.write() as connection:
        connection.execute(sa.insert(requested_attempts).values(row))
    return msgspec.structs.replace(delivery, trigger=Trigger.MANUAL, attempt_id=AttemptId("att_1"))


def test_an_attempt_by_hand_needs_the_lock_too(line: Line) -> None:
    """It would otherwise arrive together with another. It asks again soon, as its row is not the
    delivery's.
    """
    first = a_status("e1", "queued")
    line.claim(first)
    line.settle(failed(first))
    line.claim(a_status("e2", "sent"))
    by_hand = asked_for(line, first)

    assert line.admit(by_hand) == Admitted([])
    with line.database.read() as connection:
        assert connection.scalar(sa.select(requested_attempts.c.due_at)) == START + 1000
    assert line.row("e1").state == "pending"


def test_an_attempt_by_hand_of_what_was_overtaken_meanwhile_is_dropped(line: Line) -> None:
    """A request a moment later would have been refused."""
    first, second = a_status("e1", "queued"), a_status("e2", "sent")
    line.claim(first)
    line.settle(failed(first))
    line.claim(second)
    by_hand = asked_for(line, first)
    line.settle(delivered(second))

    assert line.admit(by_hand) == Admitted([])
    with line.database.read() as connection:
        assert connection.execute(sa.select(requested_attempts)).all() == []
        asked = {(CallbackId(CALLBACK), "msg_1", status) for status in ("queued", "sent", "read")}
        assert status_locks.overtaken_among(connection, asked) == {(CALLBACK, "msg_1", "queued")}


def test_an_attempt_by_hand_does_not_wait_for_days(line: Line) -> None:
    """A higher one was sent and is still to be repeated: a request for a lower one has no effect,
    now or later.
    """
    first, second = a_status("e1", "queued"), a_status("e2", "sent")
    line.claim(first)
    line.settle(failed(first))
    by_hand = asked_for(line, first)
    line.claim(second)
    line.settle(failed(second))

    assert line.admit(by_hand) == Admitted([])
    with line.database.read() as connection:
        assert connection.execute(sa.select(requested_attempts)).all() == []
    assert line.row("e1").state == "pending", "its schedule goes on"


@pytest.mark.parametrize(
    ("trigger", "known"), [("manual", ("msg_1", "sent")), ("test", (None, None))]
)
def test_a_row_that_was_never_open_is_known_as_a_status_all_the_same(
    line: Line, trigger: str, known: tuple[str | None, str | None]
) -> None:
    """Delivered at once, it has only what a list shows: the event itself says the rest. A test's
    sample is of no message that there is.
    """
    first = a_status("e1", "sent")
    line.claim(first)
    line.settle(delivered(first))
    assert line.row("e1").status is None
    asked_for(line, first)

    with line.database.write() as connection:
        connection.execute(sa.update(requested_attempts).values(trigger=trigger))
        (taken,) = lease_requested(connection, 1, line.now, LEASE_MS, lapsed=True)

    assert (taken.message_id, taken.status) == known


def test_a_manual_attempt_that_fails_counts_as_sent(line: Line) -> None:
    """It may have arrived, whatever becomes of the delivery itself."""
    first = a_status("e1", "sent")
    line.claim(first)
    line.settle(given_back(first))
    (by_hand,) = line.admit(asked_for(line, first)).go

    line.settle(Settlement(by_hand, None, attempt=an_attempt(Outcome.TIMEOUT, None)))

    assert line.claim(a_status("e2", "queued")).waiting == 1
    assert events(line.take(first)) == ["e1"]


def test_what_ends_by_the_thousand_wakes_no_status_but_keeps_none_for_ever(line: Line) -> None:
    """Rows cancelled or given up in slices say nothing to their places: who waits finds out by the
    safety net.
    """
    high = a_status("e1", "read")
    line.claim(high)
    line.settle(failed(high))
    line.claim(a_status("e2", "sent"))
    with line.database.write() as connection:
        ended = (
            sa.update(deliveries)
            .where(deliveries.c.event_id == "e1")
            .values(state="exhausted", due_at=None)
        )
        connection.execute(ended)

    line.now_ms += status_locks.SAFETY_NET_MS
    assert line.due("e2")
    assert line.take(a_status("e2", "sent")) == Admitted([], overtaken=1)


def test_at_the_start_of_a_process_that_is_alone_no_lock_is_held(line: Line) -> None:
    """Embedded mode goes on at once, and still never back."""
    line.claim(a_status("e1", "sent"))
    with line.database.write() as connection:
        status_locks.void_leases(connection, line.now)

    assert line.claim(a_status("e2", "queued")).overtaken == 1, (
        "nothing is known of e1 but that it may have arrived"
    )
    assert events(line.claim(a_status("e3", "sent"))) == ["e3"]


def test_a_probe_is_made_with_the_oldest_whose_turn_it_is(line: Line) -> None:
    """A status that has to wait for one that was sent is no reason to leave the
    callback unprobed.
    """
    high, low, late = (
        a_status("e1", "read", at=3_000),
        a_status("e2", "sent", at=1_000),
        a_status("e3", "queued", "m2", at=2_000),
    )
    for one, end in (
        (low, given_back(low)),
        (late, given_back(late)),
        (high, failed(high, due_in_s=900.0)),
    ):
        line.claim(one)
        line.settle(end)
    line.fail()

    probe = line.probe()

    assert (events(probe), probe.waiting) == (["e3"], 1)
    assert line.claim(a_status("e4", "sent", "m2")).waiting == 1, "the probe holds its place"


def test_of_statuses_that_all_have_to_wait_the_next_probe_comes_at_once(line: Line) -> None:
    """They are put aside, and no callback has been called: the next check goes on behind them."""
    for number in range(probes.TRIES + 1):
        high, low = (
            a_status(f"high{number}", "read", f"m{number}", at=900_000),
            a_status(f"low{number:02}", "sent", f"m{number}", at=1_000),
        )
        for one, end in ((low, given_back(low)), (high, failed(high, due_in_s=900.0))):
            line.claim(one)
            line.settle(end)
    late = a_status("late", "queued", "m", at=2_000)
    line.claim(late)
    line.settle(given_back(late))
    line.fail()

    assert line.probe() == Admitted([], waiting=probes.TRIES)
    assert events(line.probe()) == ["late"]
    assert line.probe() == Admitted([]), "one at a time"


def test_a_lock_that_only_seemed_free_is_not_kept(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or not taken: a check locks nothing. The oldest of several that may go probes, the others are
    given back.
    """
    for number, at in enumerate((1_000, 2_000, 3_000)):
        one = a_status(f"e{number}", "sent", f"m{number}", at=at)
        line.claim(one)
        line.settle(given_back(one))
    line.fail()
    monkeypatch.setattr(status_locks, "free_among", lambda *_: set())

    assert events(line.probe()) == ["e0"]
    assert [(line.row(event_id).leased, line.due(event_id)) for event_id in ("e1", "e2")] == [
        (False, True)
    ] * 2
    assert events(line.claim(a_status("new", "delivered", "m1"))) == ["new"], "its place is free"


def test_events_of_other_types_cost_no_statement(line: Line) -> None:
    """Most events are no statuses."""
    statements: list[str] = []
    sa.event.listen(
        line.database.engine, "before_cursor_execute", lambda *args: statements.append(args[2])
    )
    others = [a_delivery(f"e{n}", conversation=f"c{n}") for n in range(3)]

    assert line.admit(*others).go == others
    assert not [text for text in statements if "status_locks" in text or "deliveries" in text]
    line.settle(*map(delivered, others))
    assert not [text for text in statements if "status_locks" in text]


def test_statuses_that_none_waits_for_cost_two_statements_a_batch(line: Line) -> None:
    """However many they are: one to take the places, one to free them."""
    statements: list[str] = []
    sa.event.listen(
        line.database.engine, "before_cursor_execute", lambda *args: statements.append(args[2])
    )
    batch = [a_status(f"e{n}", "queued", f"m{n}") for n in range(20)]

    assert len(line.claim(*batch).go) == 20
    line.settle(*map(delivered, batch))

    assert len([text for text in statements if "status_locks" in text]) == 2


def test_two_who_ask_at_the_same_time_do_not_both_get_it(line: Line) -> None:
    """On PostgreSQL they really are at the same time. Their orders differ, and there is no
    deadlock.
    """
    rounds, found, failures = 20, [], []

    def ask(name: str, order: Sequence[int]) -> None:
        try:
            for number in range(rounds):
                found.extend(
                    line.admit(
                        *(a_status(f"{name}{number}-{m}", "sent", f"m{number}-{m}") for m in order)
                    ).go
                )
        except Exception as error:  # noqa: BLE001 - reported below
            failures.append(error)

    threads = [
        threading.Thread(target=ask, args=("a", range(30))),
        threading.Thread(target=ask, args=("b", range(29, -1, -1))),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert sorted(one.message_id or "" for one in found) == sorted(
        f"m{n}-{m}" for n, m in itertools.product(range(rounds), range(30))
    )


def test_a_lock_remembers_when_it_was_last_used(line: Line) -> None:
    """Locks can then be deleted with their events."""
    first = a_status("e1", "queued")
    line.claim(first)
    line.now_ms += 500
    line.settle(delivered(first))

    with line.database.read() as connection:
        assert connection.scalar(sa.select(lock_table.c.touched_at)) == START + 500


class Counting(NullObserver):
    """Remembers what became of statuses."""

    def __init__(self) -> None:
        self.counted: list[tuple[DeliveryState, int]] = []

    def settled(self, kind: EventType, state: DeliveryState, count: int = 1) -> None:
        assert kind is EventType.MESSAGE_STATUS
        self.counted.append((state, count))


async def test_what_a_settlement_releases_is_notified_at_once(line: Line) -> None:
    """The taker is woken instead of polling, and what was overtaken counts."""
    low, first, high = a_status("e1", "queued"), a_status("e2", "sent"), a_status("e4", "read")
    line.claim(low)
    line.settle(failed(low))
    line.claim(first)
    line.claim(a_status("e3", "queued"), high)
    rung: list[str] = []
    line.database.subscribe("due", lambda: rung.append("due"))
    observer = Counting()
    settler = Settler(line.database, observer, StoreStatus(NullObserver()))
    task = asyncio.create_task(settler.run())

    settler.add(delivered(first), None)
    await settler.flushed()

    task.cancel()
    assert rung == (
        ["due"] if line.database.dialect == "sqlite" else []
    )  # else it takes PostgreSQL's way: see test_notifications
    assert sorted(observer.counted) == [(DeliveryState.DELIVERED, 1), (DeliveryState.SUPERSEDED, 1)]
    assert line.row("e3").state == "superseded"
