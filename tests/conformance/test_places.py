"""The place of a message's statuses (rule 13): one is sent at a time, none below one that may have arrived."""

import itertools
import threading
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from schemas.deliveries import Delivery, DeliveryState, Outcome, Settlement, Trigger, given_back, leased
from schemas.ids import AttemptId, CallbackId
from schemas.statuses import OVERTAKEN
from schemas.times import UnixMs
from store import claims, places, probing
from store.admitting import Admitted, admit
from store.database import Database
from store.settling import settle
from store.tables import callbacks, deliveries, requested_attempts, status_places
from tests.kit.making import CALLBACK, TOKEN, a_delivery, an_attempt
from tests.kit.statuses import a_status, a_status_claim

LEASE_MS = 25_000
START = 100_000


class Line:
    """One dispatcher's way through the store, at a time that the test sets."""

    def __init__(self, database: Database) -> None:
        self.database, self.now_ms = database, START

    @property
    def now(self) -> UnixMs:
        return UnixMs(self.now_ms)

    def claim(self, *wanted: Delivery) -> Admitted:
        """First attempts, whose events are claimed in the same transaction."""
        with self.database.write() as connection:
            batch = [a_status_claim(d.event_id, d.status, d.message_id or "", d.callback_id) for d in wanted if d.status]
            claims.claim(connection, batch, self.now)
            return admit(connection, wanted, self.now, LEASE_MS)

    def take(self, *wanted: Delivery) -> Admitted:
        """Rows that are there: each is leased, as a take would have done it, and asks."""
        with self.database.write() as connection:
            taken = [self._leased(connection, one) for one in wanted]
            return admit(connection, taken, self.now, LEASE_MS)

    def settle(self, *settlements: Settlement) -> places.Freed:
        with self.database.write() as connection:
            return settle(connection, settlements, self.now)

    def row(self, event_id: str) -> Any:
        with self.database.read() as connection:
            return connection.execute(sa.select(deliveries).where(deliveries.c.event_id == event_id)).one()

    def due(self, event_id: str) -> bool:
        return bool(self.row(event_id).due_at <= self.now_ms)

    def _leased(self, connection: Any, delivery: Delivery) -> Delivery:
        this = sa.and_(deliveries.c.event_id == delivery.event_id, deliveries.c.callback_id == delivery.callback_id)
        values = {"lease": deliveries.c.lease + 1, "leased": True, "due_at": self.now_ms + LEASE_MS}
        row = connection.execute(sa.update(deliveries).where(this).values(values).returning(deliveries)).one()
        return msgspec.structs.replace(delivery, lease=row.lease, failures=row.failures, number=1 + row.failures)


@pytest.fixture
def line(database: Database) -> Line:
    return Line(database)


def delivered(delivery: Delivery) -> Settlement:
    return Settlement(delivery, DeliveryState.DELIVERED, attempt=an_attempt())


def failed(delivery: Delivery, due_in_s: float = 5.0) -> Settlement:
    attempt = an_attempt(Outcome.HTTP_5XX, 500, delivery.number)
    return Settlement(delivery, DeliveryState.PENDING, due_in_s=due_in_s, failures=delivery.failures + 1, attempt=attempt)


def exhausted(delivery: Delivery) -> Settlement:
    attempt = an_attempt(Outcome.HTTP_5XX, 500, delivery.number)
    return Settlement(delivery, DeliveryState.EXHAUSTED, reason="1 attempts failed", failures=delivery.failures + 1, attempt=attempt)


def events(admitted: Admitted) -> list[str]:
    return [one.event_id for one in admitted.go]


def test_one_status_of_a_message_goes_at_a_time(line: Line) -> None:
    """The next is a row that waits for the end of the first's lease, and is due as soon as the first ended."""
    first, second = a_status("e1", "queued"), a_status("e2", "sent")

    assert events(line.claim(first)) == ["e1"]
    assert line.claim(second) == Admitted([], waiting=1)
    assert (line.row("e2").waits, line.row("e2").due_at, line.row("e2").lease) == (True, START + LEASE_MS, 0)

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
        admitted = line.take(*(one for name, one in batch.items() if line.row(name).due_at and line.due(name)))

    assert seen == ["queued", "sent", "delivered", "read"]


def test_messages_and_callbacks_do_not_wait_for_each_other(line: Line) -> None:
    """A place is of one callback and one message."""
    line.claim(a_status("e1", "queued", "m1"))

    assert events(line.claim(a_status("e2", "sent", "m2"), a_status("e3", "sent", "m1", "b" * 16))) == ["e2", "e3"]


@pytest.mark.parametrize("status", ["sent", "read"])
def test_equal_or_higher_may_follow_what_was_delivered(line: Line, status: str) -> None:
    """Two providers may both say `sent`: that is no step back."""
    first = a_status("e1", "sent")
    line.claim(first)
    line.settle(delivered(first))

    assert events(line.claim(a_status("e2", status))) == ["e2"]


def test_lower_than_what_was_delivered_is_superseded(line: Line) -> None:
    """And its row says why; nobody looks at it again."""
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
    """The receiver may have seen it. When it ends for good, without an answer, the lower one never goes."""
    high = a_status("e1", "read")
    line.claim(high)
    line.settle(failed(high, due_in_s=60.0))

    assert line.claim(a_status("e2", "sent")) == Admitted([], waiting=1)
    assert line.row("e2").due_at == START + places.SAFETY_NET_MS
    line.now_ms += 60_000
    (again,) = line.take(high).go
    line.settle(exhausted(again))

    assert line.row("e2").state == "superseded"
    assert line.claim(a_status("e3", "delivered")).overtaken == 1
    assert events(line.claim(a_status("e4", "read"))) == ["e4"]


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
    """A full lane or an open breaker gave it back: nobody saw it, so lower ones may still go."""
    high, low = a_status("e1", "read"), a_status("e2", "queued")
    line.claim(high)
    assert line.claim(low).waiting == 1

    line.settle(given_back(high))

    assert line.due("e2")
    assert events(line.take(low)) == ["e2"]


def test_a_leased_row_keeps_its_place(line: Line) -> None:
    """Patience only lets go of the message; the attempt is still under way."""
    first = a_status("e1", "queued")
    line.claim(first)

    line.settle(leased(first, 20.0))

    assert line.claim(a_status("e2", "sent")).waiting == 1
    line.settle(delivered(first))
    assert line.due("e2")


def test_a_lapsed_place_is_free_and_what_held_it_may_have_arrived(line: Line) -> None:
    """A dispatcher died with it. Equal or higher may go, lower waits for it, and it may itself be tried again."""
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
    assert line.take(a_status("e2", "queued")).waiting == 1, "given back now, but it may have been sent before"


def test_an_outcome_under_an_old_lease_frees_nobody_elses_place(line: Line) -> None:
    """Two of one event: the frozen dispatcher's late answer must not let a third go beside the second."""
    first = a_status("e1", "queued")
    line.claim(first)
    line.settle(leased(first, 20.0))
    line.now_ms += LEASE_MS
    (second,) = line.take(first).go

    line.settle(delivered(first))

    assert line.claim(a_status("e2", "sent")).waiting == 1
    line.settle(delivered(first), delivered(second))
    assert line.due("e2")


def test_an_attempt_by_hand_needs_the_place_too(line: Line) -> None:
    """It would otherwise arrive beside another. It asks again soon, as its row is not the delivery's."""
    first = a_status("e1", "queued")
    line.claim(first)
    line.settle(failed(first))
    line.claim(a_status("e2", "sent"))
    by_hand = asked_for(line, first)

    assert admitted(line, by_hand) == Admitted([])
    with line.database.read() as connection:
        assert connection.scalar(sa.select(requested_attempts.c.due_at)) == START + 1000
    assert line.row("e1").state == "pending"


def test_an_attempt_by_hand_of_what_was_overtaken_meanwhile_is_dropped(line: Line) -> None:
    """Whoever asked a moment later was told so."""
    first, second = a_status("e1", "queued"), a_status("e2", "sent")
    line.claim(first)
    line.settle(failed(first))
    line.claim(second)
    by_hand = asked_for(line, first)
    line.settle(delivered(second))

    assert admitted(line, by_hand) == Admitted([])
    with line.database.read() as connection:
        assert connection.execute(sa.select(requested_attempts)).all() == []
        asked = {(CallbackId(CALLBACK), "msg_1", status) for status in ("queued", "sent", "read")}
        assert places.overtaken_among(connection, asked) == {(CALLBACK, "msg_1", "queued")}


def asked_for(line: Line, delivery: Delivery) -> Delivery:
    row = {"id": "att_1", "event_id": delivery.event_id, "callback_id": delivery.callback_id, "trigger": "manual", "due_at": 0}
    with line.database.write() as connection:
        connection.execute(sa.insert(requested_attempts).values(row))
    return msgspec.structs.replace(delivery, trigger=Trigger.MANUAL, attempt_id=AttemptId("att_1"))


def admitted(line: Line, *wanted: Delivery) -> Admitted:
    with line.database.write() as connection:
        return admit(connection, wanted, line.now, LEASE_MS)


def test_a_manual_attempt_that_fails_counts_as_sent(line: Line) -> None:
    """It may have arrived, whatever becomes of the delivery itself."""
    first = a_status("e1", "sent")
    line.claim(first)
    line.settle(given_back(first))
    (by_hand,) = admitted(line, asked_for(line, first)).go

    line.settle(Settlement(by_hand, None, attempt=an_attempt(Outcome.TIMEOUT, None)))

    assert line.claim(a_status("e2", "queued")).waiting == 1
    assert events(line.take(first)) == ["e1"]


def test_what_ends_by_the_thousand_wakes_nobody_but_keeps_nobody_for_ever(line: Line) -> None:
    """Rows cancelled or given up in slices say nothing to their places: who waits finds out by the safety net."""
    high = a_status("e1", "read")
    line.claim(high)
    line.settle(failed(high))
    line.claim(a_status("e2", "sent"))
    with line.database.write() as connection:
        ended = sa.update(deliveries).where(deliveries.c.event_id == "e1").values(state="exhausted", due_at=None)
        connection.execute(ended)

    line.now_ms += places.SAFETY_NET_MS
    assert line.due("e2")
    assert line.take(a_status("e2", "sent")) == Admitted([], overtaken=1)


def test_at_the_start_of_a_process_that_is_alone_no_place_is_held(line: Line) -> None:
    """Embedded mode goes on at once, and still never back."""
    line.claim(a_status("e1", "sent"))
    with line.database.write() as connection:
        places.void_leases(connection, line.now)

    assert line.claim(a_status("e2", "queued")).overtaken == 1, "nothing is known of e1 but that it may have arrived"
    assert events(line.claim(a_status("e3", "sent"))) == ["e3"]


def test_a_probe_is_made_with_the_oldest_whose_turn_it_is(line: Line) -> None:
    """A status that has to wait for one that was sent is no reason to leave the callback unprobed."""
    high, low, late = a_status("e1", "read", at=3_000), a_status("e2", "sent", at=1_000), a_status("e3", "queued", "m2", at=2_000)
    for one, end in ((low, given_back(low)), (late, given_back(late)), (high, failed(high, due_in_s=900.0))):
        line.claim(one)
        line.settle(end)
    owner = dict(id=CALLBACK, token_id=TOKEN, type="message.status", url="", enabled=True, headers=b"", created_at=0)  # noqa: C408
    with line.database.write() as connection:
        connection.execute(sa.insert(callbacks).values(**owner, failing_since=1, probe_at=1))

        probe = probing.take_probe(connection, CALLBACK, line.now, LEASE_MS)

    assert (events(probe), probe.waiting) == (["e3"], 1)
    assert line.claim(a_status("e4", "sent", "m2")).waiting == 1, "the probe holds its place"


def test_events_of_other_types_cost_no_statement(line: Line) -> None:
    """Most events are no statuses."""
    statements: list[str] = []
    sa.event.listen(line.database.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    others = [a_delivery(f"e{n}", conversation=f"c{n}") for n in range(3)]

    assert admitted(line, *others).go == others
    assert not [text for text in statements if "status_places" in text or "deliveries" in text]
    line.settle(*map(delivered, others))
    assert not [text for text in statements if "status_places" in text]


def test_statuses_that_nobody_waits_for_cost_two_statements_a_batch(line: Line) -> None:
    """However many they are: one to take the places, one to free them."""
    statements: list[str] = []
    sa.event.listen(line.database.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    batch = [a_status(f"e{n}", "queued", f"m{n}") for n in range(20)]

    assert len(line.claim(*batch).go) == 20
    line.settle(*map(delivered, batch))

    assert len([text for text in statements if "status_places" in text]) == 2


def test_two_who_ask_at_the_same_time_do_not_both_get_it(line: Line) -> None:
    """On PostgreSQL they really are at the same time. Their orders differ, and nobody locks anybody out."""
    rounds, found, failures = 20, [], []

    def ask(name: str, order: Sequence[int]) -> None:
        try:
            for number in range(rounds):
                found.extend(admitted(line, *(a_status(f"{name}{number}-{m}", "sent", f"m{number}-{m}") for m in order)).go)
        except Exception as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=ask, args=("a", range(30))), threading.Thread(target=ask, args=("b", range(29, -1, -1)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert sorted(one.message_id or "" for one in found) == sorted(f"m{n}-{m}" for n, m in itertools.product(range(rounds), range(30)))


def test_a_place_remembers_when_it_was_last_used(line: Line) -> None:
    """So that places can be forgotten with their events."""
    first = a_status("e1", "queued")
    line.claim(first)
    line.now_ms += 500
    line.settle(delivered(first))

    with line.database.read() as connection:
        assert connection.scalar(sa.select(status_places.c.touched_at)) == START + 500
