"""Claiming, settling and taking due rows: the same promises on SQLite and on PostgreSQL."""

import sqlalchemy as sa

from schemas.deliveries.deliveries import Delivery, DeliveryState, Outcome, Trigger
from schemas.deliveries.settlement import Settlement, leased
from schemas.times import UnixMs
from store.deliveries import due, settlement, withdrawal
from store.deliveries.requested_attempts import lease_requested
from store.engine.database import Database
from store.events import claims
from store.maintenance import startup
from store.tables import attempts, deliveries, events, requested_attempts
from tests.kit.delivery_rows import add_callback
from tests.kit.making import CALLBACK, a_claim, a_delivery, an_attempt

LEASE_MS = 25_000


def claimed(database: Database, *batch: claims.Claim, now: int = 10_000) -> claims.Claimed:
    with database.write() as connection:
        return claims.claim(connection, batch, UnixMs(now))


def settled(database: Database, *settlements: Settlement, now: int = 20_000) -> None:
    with database.write() as connection:
        settlement.settle(connection, settlements, UnixMs(now))


def any_share(limit: int) -> dict[due.Share, due.LeaseRequest]:
    return {due.Share(CALLBACK, is_retry): due.LeaseRequest(limit) for is_retry in (False, True)}


def taken(
    database: Database, limit: int = 10, now: int = 30_000, *, lapsed: bool = True
) -> list[tuple[str, int]]:
    with database.write() as connection:
        found = due.lease(
            connection, any_share(limit), UnixMs(now), LEASE_MS, lapsed=lapsed, most=limit
        ).deliveries
    return [(d.event_id, d.lease) for d in found]


def rows(database: Database, table: sa.Table) -> list[dict[str, object]]:
    with database.read() as connection:
        return [
            dict(row)
            for row in connection.execute(
                sa.select(table).order_by(*table.primary_key.columns)
            ).mappings()
        ]


def test_an_event_is_claimed_once_however_often_it_comes(database: Database) -> None:
    """202 twice for one id is one event (docs/invariants.md#seen-before)."""
    first = claimed(database, a_claim("evt_1"), a_claim("evt_2"))
    second = claimed(database, a_claim("evt_2"), a_claim("evt_3"))

    assert first.new == {"evt_1", "evt_2"}
    assert second.new == {"evt_3"}
    assert [event.id for event in second.duplicates] == ["evt_2"]
    assert [row["id"] for row in rows(database, events)] == ["evt_1", "evt_2", "evt_3"]


def test_two_copies_in_one_batch_are_one_event(database: Database) -> None:
    """PostgreSQL refuses to touch one row twice in a statement; and only one of the two is new."""
    outcome = claimed(database, a_claim("evt_1", CALLBACK), a_claim("evt_1", CALLBACK))

    assert outcome.new == {"evt_1"}
    assert [event.id for event in outcome.duplicates] == ["evt_1"]
    assert rows(database, deliveries) == []


def test_other_content_under_a_known_id_is_counted_and_changes_nothing(database: Database) -> None:
    """The first content wins; the other is shown on the event."""
    claimed(database, a_claim("evt_1", text="first"))

    outcome = claimed(database, a_claim("evt_1", text="second"))

    assert [event.id for event in outcome.conflicting] == ["evt_1"]
    assert outcome.duplicates == []
    (row,) = rows(database, events)
    assert row["conflicts"] == 1
    assert b"first" in bytes(row["body"])  # type: ignore[arg-type]  # a column of bytes


def test_a_copy_secures_the_deliveries_that_its_first_did_not_record(database: Database) -> None:
    """A redelivery after a crash: what the dead process had in memory comes due, three seconds
    later (docs/invariants.md#seen-before).
    """
    add_callback(database)
    claimed(database, a_claim("evt_1", CALLBACK), now=10_000)

    claimed(database, a_claim("evt_1", CALLBACK), now=11_000)

    assert taken(database, now=13_999) == []
    assert taken(database, now=14_000) == [("evt_1", 1)]


def test_a_copy_neither_repeats_nor_loses_what_was_recorded(database: Database) -> None:
    """Rows that are there stay as they are."""
    add_callback(database)
    claimed(database, a_claim("evt_1", CALLBACK))
    settled(
        database, Settlement(a_delivery("evt_1"), DeliveryState.DELIVERED, attempt=an_attempt())
    )

    claimed(database, a_claim("evt_1", CALLBACK))

    (row,) = rows(database, deliveries)
    assert row["state"] == "delivered"
    assert taken(database, now=99_999) == []


def test_a_copy_makes_no_rows_for_callbacks_deleted_since(database: Database) -> None:
    """They would be cancelled one by one for ever."""
    claimed(database, a_claim("evt_1", CALLBACK))

    claimed(database, a_claim("evt_1", CALLBACK))

    assert rows(database, deliveries) == []


def test_a_success_leaves_a_delivered_row_and_its_attempt(database: Database) -> None:
    """Everything that a person needs to see of it."""
    settled(
        database, Settlement(a_delivery("evt_1"), DeliveryState.DELIVERED, attempt=an_attempt())
    )

    (delivery,) = rows(database, deliveries)
    (attempt,) = rows(database, attempts)
    assert (delivery["state"], delivery["due_at"], delivery["status_code"]) == (
        "delivered",
        None,
        200,
    )
    assert (attempt["number"], attempt["outcome"], bytes(attempt["response_body"])) == (
        1,
        "delivered",
        b"ok",
    )  # type: ignore[arg-type]


def test_a_failure_comes_due_after_its_delay_and_is_taken_once(database: Database) -> None:
    """A retry is a row; the dispatcher that takes it holds it under a lease."""
    claimed(database, a_claim("evt_1", CALLBACK))
    settled(database, failed(a_delivery("evt_1"), due_in_s=5), now=20_000)

    assert taken(database, now=24_999) == []
    assert taken(database, now=25_000) == [("evt_1", 1)]
    assert taken(database, now=25_001) == []
    assert taken(database, now=25_000 + LEASE_MS) == [("evt_1", 2)]


def test_an_outcome_under_a_lapsed_lease_does_not_end_anothers(database: Database) -> None:
    """An outcome counts only under its number (docs/invariants.md#leases-carry-a-number)."""
    claimed(database, a_claim("evt_1", CALLBACK))
    settled(database, failed(a_delivery("evt_1"), due_in_s=0), now=20_000)
    taken(database, now=20_000)
    taken(database, now=20_000 + LEASE_MS)

    settled(database, failed(a_delivery("evt_1", lease=1, failures=1), due_in_s=0), now=50_000)

    (row,) = rows(database, deliveries)
    assert (row["lease"], row["leased"], row["failures"]) == (2, True, 1)


def test_an_answer_counts_under_any_lease(database: Database) -> None:
    """The receiver has it: nothing may send it again."""
    claimed(database, a_claim("evt_1", CALLBACK))
    settled(database, failed(a_delivery("evt_1"), due_in_s=0), now=20_000)
    taken(database, now=20_000)

    settled(
        database,
        Settlement(a_delivery("evt_1", lease=0), DeliveryState.DELIVERED, attempt=an_attempt()),
    )
    settled(database, failed(a_delivery("evt_1", lease=1), due_in_s=0))

    (row,) = rows(database, deliveries)
    assert (row["state"], row["due_at"]) == ("delivered", None)


def test_in_one_batch_an_answer_outweighs_a_failure(database: Database) -> None:
    """A manual attempt that was answered, together with an automatic one that was not."""
    answered = Settlement(a_delivery("evt_1"), DeliveryState.DELIVERED, attempt=an_attempt())

    settled(database, answered, failed(a_delivery("evt_1"), due_in_s=5))

    (row,) = rows(database, deliveries)
    assert row["state"] == "delivered"
    assert len(rows(database, attempts)) == 2


def test_what_ends_is_written_the_same_beside_what_goes_on(database: Database) -> None:
    """One statement for both: what the next lease needs is not lost, and is not invented where
    there is none.
    """
    ended = ("evt_1", "evt_2"), ("evt_3", "evt_4")
    for first, _ in ended:
        settled(database, failed(a_delivery(first), due_in_s=0))
    taken(database, now=50_000)
    alone, mixed = (
        [Settlement(a_delivery(event_id, lease=1), DeliveryState.DELIVERED) for event_id in some]
        for some in ended
    )

    settled(database, *alone)
    settled(database, *mixed, leased(a_delivery("evt_5"), 24))

    found = {row.pop("event_id"): row for row in map(dict, rows(database, deliveries))}
    assert found["evt_1"] == found["evt_3"]
    assert (found["evt_1"]["is_retry"], found["evt_1"]["lease_count"]) == (True, 1)
    assert found["evt_2"] == found["evt_4"]


def test_a_lease_row_is_not_due_before_its_end(database: Database) -> None:
    """In flight after a second: a row that no other dispatcher takes meanwhile."""
    claimed(database, a_claim("evt_1", CALLBACK))
    settled(database, leased(a_delivery("evt_1"), 24), now=20_000)

    assert taken(database, now=43_999) == []
    assert taken(database, now=44_000, lapsed=False) == []
    assert taken(database, now=44_000) == [("evt_1", 1)]


def test_the_number_of_an_attempt_counts_all_before_it(database: Database) -> None:
    """Those that were requested by hand too."""
    claimed(database, a_claim("evt_1", CALLBACK))
    settled(database, failed(a_delivery("evt_1"), due_in_s=0), now=20_000)
    settled(
        database,
        Settlement(
            a_delivery("evt_1", attempt_id="att_x", trigger=Trigger.MANUAL),
            None,
            attempt=an_attempt(number=2),
        ),
    )

    with database.write() as connection:
        (delivery,) = due.lease(
            connection, any_share(1), UnixMs(20_000), LEASE_MS, lapsed=True, most=1
        ).deliveries

    assert (delivery.number, delivery.failures, delivery.trigger) == (3, 1, Trigger.RETRY)
    assert b"hello" in delivery.body


def test_due_rows_are_found_by_callback_whatever_their_number(database: Database) -> None:
    """One with many rows and one with a single row are each named once;
    those not yet due are not.
    """
    for number in range(5):
        settled(database, failed(a_delivery(f"evt_{number}", "a" * 16), due_in_s=0), now=20_000)
    settled(
        database,
        failed(a_delivery("evt_1", "b" * 16), due_in_s=0),
        failed(a_delivery("evt_1", "c" * 16), due_in_s=9),
        now=20_000,
    )

    with database.read() as connection:
        assert due.shares_with_due(connection, UnixMs(20_000)) == [
            ("a" * 16, True),
            ("b" * 16, True),
        ]


def test_no_more_are_taken_than_asked_for_and_oldest_first(database: Database) -> None:
    """A lane's free slots are the limit."""
    claimed(database, *(a_claim(f"evt_{n}", CALLBACK, accepted_at=n) for n in range(5)))
    for number in (3, 1, 0, 2, 4):
        settled(database, failed(a_delivery(f"evt_{number}"), due_in_s=number), now=20_000)

    assert [event for event, _ in taken(database, limit=2)] == ["evt_0", "evt_1"]
    assert [event for event, _ in taken(database, limit=2)] == ["evt_2", "evt_3"]


def test_an_attempt_asked_for_is_taken_once_and_forgotten_when_recorded(database: Database) -> None:
    """In addition to the automatic ones, under a lease of its own."""
    claimed(database, a_claim("evt_1", CALLBACK))
    settled(
        database,
        Settlement(
            a_delivery("evt_1"), DeliveryState.EXHAUSTED, attempt=an_attempt(Outcome.HTTP_5XX, 500)
        ),
    )
    with database.write() as connection:
        asked = {
            "id": "att_asked",
            "event_id": "evt_1",
            "callback_id": CALLBACK,
            "trigger": "manual",
            "due_at": 0,
        }
        connection.execute(sa.insert(requested_attempts).values(asked))

    with database.write() as connection:
        (delivery,) = lease_requested(connection, 10, UnixMs(30_000), LEASE_MS, lapsed=True)
        again = lease_requested(connection, 10, UnixMs(30_001), LEASE_MS, lapsed=True)
    settled(
        database,
        Settlement(delivery, DeliveryState.DELIVERED, attempt=an_attempt(number=delivery.number)),
    )

    assert again == []
    assert (delivery.attempt_id, delivery.trigger, delivery.number) == (
        "att_asked",
        Trigger.MANUAL,
        2,
    )
    assert rows(database, requested_attempts) == []
    assert rows(database, deliveries)[0]["state"] == "delivered"


def test_the_rows_of_a_dead_callback_are_cancelled_with_the_reason(database: Database) -> None:
    """What was for a deleted callback does not stay pending for ever."""
    settled(
        database,
        failed(a_delivery("evt_1"), due_in_s=0),
        failed(a_delivery("evt_2"), due_in_s=99),
        now=20_000,
    )

    with database.write() as connection:
        count = withdrawal.cancel(connection, CALLBACK, UnixMs(20_000))

    assert count == 1
    assert [(r["state"], r["reason"]) for r in rows(database, deliveries)] == [
        ("cancelled", "the callback was deleted"),
        ("pending", None),
    ]


def test_voided_leases_are_due_at_once(database: Database) -> None:
    """An embedded process that starts is alone: the holder of any lease is gone."""
    claimed(database, a_claim("evt_1", CALLBACK))
    settled(database, leased(a_delivery("evt_1"), 1_000_000), now=20_000)

    startup.void_leases(database)

    with database.read() as connection:
        assert due.shares_with_due(connection, database.now(connection)) == [(CALLBACK, False)]


def failed(delivery: Delivery, due_in_s: float) -> Settlement:
    return Settlement(
        delivery,
        DeliveryState.PENDING,
        due_in_s=due_in_s,
        failures=delivery.failures + 1,
        attempt=an_attempt(Outcome.HTTP_5XX, 500, error="HTTP 500"),
    )
