"""Which due rows of a callback are taken: those of the share asked for, oldest first, none that
would only wait or come back.
"""

import pytest
import sqlalchemy as sa

from schemas.deliveries.deliveries import Delivery, DeliveryState, Trigger
from schemas.deliveries.settlement import Settlement, given_back, leased
from schemas.times import UnixMs
from store.deliveries import due, settlement
from store.deliveries.due import (
    A_CONVERSATION,
    LOOK_AHEAD,
    MAX_LEASES,
    POISON,
    LeasedRows,
    LeaseRequest,
    Share,
)
from store.engine.database import Database
from store.events import claims
from store.tables import deliveries
from tests.kit.making import CALLBACK, a_claim, a_delivery

NOW = UnixMs(30_000)
LEASE_MS = 25_000
FIRSTS = Share(CALLBACK, is_retry=False)
REPEATS = Share(CALLBACK, is_retry=True)


def lay(database: Database, *settlements: Settlement) -> None:
    with database.write() as connection:
        batch = [a_claim(one.delivery.event_id, one.delivery.callback_id) for one in settlements]
        claims.claim(connection, batch, UnixMs(2_000))
        settlement.settle(connection, settlements, NOW)


def spilled(
    event_id: str,
    conversation: str = "",
    callback_id: str = CALLBACK,
    *,
    sequence: int = 0,
    queued_at: int = 2_000,
) -> Settlement:
    """A first attempt that was put off. Unless it says otherwise, of a conversation of its own."""
    return given_back(
        a_delivery(
            event_id,
            callback_id,
            conversation=conversation or event_id,
            sequence=sequence,
            queued_at=queued_at,
        )
    )


def failed(event_id: str, due_in_s: float = 0.0) -> Settlement:
    return Settlement(
        a_delivery(event_id, conversation=event_id),
        DeliveryState.PENDING,
        due_in_s=due_in_s,
        failures=1,
    )


def take(
    database: Database, wishes: dict[Share, LeaseRequest], now: int = NOW, most: int = 99
) -> LeasedRows:
    with database.write() as connection:
        return due.lease(connection, wishes, UnixMs(now), LEASE_MS, lapsed=True, most=most)


def ids(taken: LeasedRows) -> list[str]:
    return [delivery.event_id for delivery in taken.deliveries]


def test_first_attempts_and_repeats_are_found_and_taken_apart(database: Database) -> None:
    """What was put off must not stand in line behind retries, which have a few slots only."""
    lay(database, spilled("evt_1"), failed("evt_2"), failed("evt_3", due_in_s=99))

    with database.read() as connection:
        assert due.shares_with_due(connection, NOW) == [FIRSTS, REPEATS]
    (first,) = take(database, {FIRSTS: LeaseRequest(9)}).deliveries
    (repeat,) = take(database, {REPEATS: LeaseRequest(9)}).deliveries

    assert (first.event_id, first.trigger) == ("evt_1", Trigger.FIRST)
    assert (repeat.event_id, repeat.trigger) == ("evt_2", Trigger.RETRY)


def test_a_callback_is_found_whatever_stands_before_it_in_the_index(database: Database) -> None:
    """Rows that are parked or not due of others, and of its own other share."""
    lay(
        database,
        *(failed(f"evt_{n}", due_in_s=99) for n in range(3)),
        spilled("evt_9", callback_id="b" * 16),
    )

    with database.read() as connection:
        assert due.shares_with_due(connection, NOW) == [("b" * 16, False)]


def test_what_was_put_off_together_comes_in_the_order_of_its_claim(database: Database) -> None:
    """Whatever the ids are that a backend gave: events of one conversation were claimed in this
    order.
    """
    lay(
        database,
        spilled("evt_c", "cnv_1", sequence=1),
        spilled("evt_a", "cnv_1", sequence=2),
        spilled("evt_b", "cnv_1", sequence=3),
    )

    assert ids(take(database, {FIRSTS: LeaseRequest(2)})) == ["evt_c", "evt_a"]
    assert ids(take(database, {FIRSTS: LeaseRequest(2)})) == ["evt_b"]


def test_what_is_put_off_later_but_is_older_comes_first(database: Database) -> None:
    """One timed out after a second, and the next was put off at once because of it: the row written
    last is the oldest.
    """
    lay(database, spilled("evt_young", queued_at=3_000, sequence=1))
    lay(database, spilled("evt_old", queued_at=2_000, sequence=7))

    assert ids(take(database, {FIRSTS: LeaseRequest(1)})) == ["evt_old"]


def test_rows_of_conversations_in_flight_are_left(database: Database) -> None:
    """They would wait behind the one that hangs, be given back after a second,
    and be taken again.
    """
    lay(
        database,
        *(spilled(f"evt_{n}", "cnv_hangs", sequence=n) for n in range(20)),
        spilled("evt_free", sequence=99),
    )

    assert ids(take(database, {FIRSTS: LeaseRequest(2, busy_conversations={"cnv_hangs"})})) == [
        "evt_free"
    ]


def test_of_one_conversation_a_few_are_taken_at_a_time(database: Database) -> None:
    """They go one after the other; a full lane of them would leave its slots unused."""
    lay(
        database,
        *(spilled(f"evt_{n:02}", "cnv_long", sequence=n) for n in range(20)),
        spilled("evt_other", sequence=99),
    )

    assert ids(take(database, {FIRSTS: LeaseRequest(8)})) == [
        *(f"evt_{n:02}" for n in range(A_CONVERSATION)),
        "evt_other",
    ]


def test_a_take_looks_no_further_than_it_says(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a million rows that may not go each take would read them all."""
    monkeypatch.setattr("store.deliveries.due.LOOK_AHEAD", 10)
    lay(
        database,
        *(spilled(f"evt_{n}", "cnv_hangs", sequence=n) for n in range(10)),
        spilled("evt_behind", sequence=99),
    )

    assert ids(take(database, {FIRSTS: LeaseRequest(1, busy_conversations={"cnv_hangs"})})) == []
    assert LOOK_AHEAD > 10


def test_held_rows_are_left_and_what_came_after_is_taken(database: Database) -> None:
    """They wait until an administrator decides (docs/invariants.md#held-is-derived)."""
    held = given_back(a_delivery("evt_held", conversation="cnv_1", queued_at=4_999))
    lay(database, held, given_back(a_delivery("evt_new", conversation="cnv_2", queued_at=5_000)))

    assert ids(take(database, {FIRSTS: LeaseRequest(9, held_before=UnixMs(5_000))})) == ["evt_new"]
    assert ids(take(database, {FIRSTS: LeaseRequest(9)})) == ["evt_held"]


def test_a_row_that_was_taken_twenty_times_without_an_outcome_is_given_up(
    database: Database,
) -> None:
    """It brings down each process that takes it, and would do so for ever
    (docs/invariants.md#poison-is-contained).
    """
    lay(database, spilled("evt_1"), spilled("evt_2", sequence=1))
    for number in range(MAX_LEASES):
        assert ids(take(database, {FIRSTS: LeaseRequest(1)}, now=NOW + number * LEASE_MS)) == [
            "evt_1"
        ]
        hold_back(database, "evt_2", NOW + (number + 1) * LEASE_MS)

    last = take(database, {FIRSTS: LeaseRequest(1)}, now=NOW + MAX_LEASES * LEASE_MS)

    assert (last.poisoned, ids(last)) == ({FIRSTS.callback_id: ["evt_1"]}, ["evt_2"])
    with database.write() as connection:
        given_up = due.give_up(
            connection,
            FIRSTS.callback_id,
            ["evt_1", "evt_2"],
            UnixMs(NOW + (MAX_LEASES + 9) * LEASE_MS),
        )
        assert given_up.total() == 1, "what was not taken so often is none, whatever it is called"
    with database.read() as connection:
        stored = connection.execute(
            sa.select(deliveries.c.state, deliveries.c.reason).where(deliveries.c.due_at.is_(None))
        ).all()
        assert stored == [("exhausted", POISON)]


def hold_back(database: Database, event_id: str, due_at: int) -> None:
    with database.write() as connection:
        connection.execute(
            sa.update(deliveries).where(deliveries.c.event_id == event_id).values(due_at=due_at)
        )


@pytest.mark.parametrize("settle", [given_back, lambda delivery: leased(delivery, 1.0)])
def test_any_settlement_shows_that_a_row_is_no_poison(database: Database, settle: object) -> None:
    """The process that had it lived to say so."""
    assert callable(settle)
    lay(database, spilled("evt_1"))
    for number in range(MAX_LEASES + 5):
        now = NOW + 3 * number * LEASE_MS
        (delivery,) = take(database, {FIRSTS: LeaseRequest(1)}, now=now).deliveries
        settled(database, settle(delivery), now)


def settled(database: Database, outcome: Settlement, now: int) -> None:
    with database.write() as connection:
        settlement.settle(connection, [outcome], UnixMs(now))


def test_a_recovery_given_back_unsent_is_a_recovery_still(database: Database) -> None:
    """Its receiver should learn of it when the attempt is made; after that it is a retry."""
    recovered: Delivery = a_delivery("evt_1", trigger=Trigger.RECOVER)
    lay(database, given_back(recovered))

    (again,) = take(database, {REPEATS: LeaseRequest(1)}).deliveries

    assert again.trigger is Trigger.RECOVER
