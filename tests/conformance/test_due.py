"""Taking due rows is fair: bounded in sum, and no callback takes the share of the others."""

import math
from collections import Counter

import pytest
import sqlalchemy as sa

from schemas.deliveries.deliveries import Delivery, DeliveryState, Outcome
from schemas.deliveries.settlement import Settlement
from schemas.ids import CallbackId
from schemas.times import UnixMs
from store.deliveries import due, settlement
from store.deliveries.due import LeaseRequest, Share
from store.deliveries.requested_attempts import lease_requested
from store.engine.database import Database
from store.events import claims
from store.tables import deliveries, requested_attempts
from tests.kit.making import a_claim, a_delivery, an_attempt

NOW = UnixMs(30_000)
LEASE_MS = 25_000


def lay_due(database: Database, callback_id: str, count: int, text: str = "hello") -> None:
    """So many deliveries of this callback, failed once and due."""
    failed = [
        Settlement(
            a_delivery(f"evt_{n}", callback_id, conversation=f"cnv_{n}"),
            DeliveryState.PENDING,
            due_in_s=0,
            failures=1,
            attempt=an_attempt(Outcome.HTTP_5XX, 500),
        )
        for n in range(count)
    ]
    with database.write() as connection:
        claims.claim(
            connection,
            [a_claim(f"evt_{n}", callback_id, text=text) for n in range(count)],
            UnixMs(10_000),
        )
        settlement.settle(connection, failed, UnixMs(20_000))


def ask(database: Database, callback_id: str, count: int, since: int) -> None:
    """Ask for so many attempts."""
    rows = [
        {
            "id": f"att_{callback_id}_{n}",
            "event_id": f"evt_{n}",
            "callback_id": callback_id,
            "trigger": "manual",
            "due_at": since + n,
        }
        for n in range(count)
    ]
    with database.write() as connection:
        connection.execute(sa.insert(requested_attempts), rows)


def take(
    database: Database, limits: dict[str, int], most: int, last: str = "", until_s: float = math.inf
) -> Counter[str]:
    """How many were taken of each. Chance is a fixed order: `last` comes last."""
    with database.write() as connection:
        wishes = {
            Share(CallbackId(c), is_retry=True): LeaseRequest(limit) for c, limit in limits.items()
        }

        def in_order(order: list[Share]) -> None:
            order.sort(key=lambda share: (share.callback_id == last, share))

        found = due.lease(
            connection,
            wishes,
            NOW,
            LEASE_MS,
            lapsed=True,
            most=most,
            until_s=until_s,
            shuffle=in_order,
        )
    return Counter(delivery.callback_id for delivery in found.deliveries)


def take_requested(
    database: Database, limit: int = 20, now: int = NOW, share: int = 4, *, lapsed: bool = True
) -> list[Delivery]:
    with database.write() as connection:
        return lease_requested(connection, limit, UnixMs(now), LEASE_MS, lapsed=lapsed, share=share)


def test_a_take_whose_time_is_over_looks_at_no_further_callback(database: Database) -> None:
    """What it took first could not start in time otherwise, and a process that is to stop would
    wait for it. It always takes something.
    """
    lay_due(database, "a", 3)
    lay_due(database, "b", 3)

    assert take(database, {"a": 5, "b": 5}, 100, until_s=0.0) == {"a": 3}


def test_what_is_taken_is_bounded_in_sum(database: Database) -> None:
    """With a thousand callbacks a few slots each are a thousand rows that cannot be started in
    time.
    """
    for callback_id in ("a", "b", "c"):
        lay_due(database, callback_id, 4)

    assert take(database, dict.fromkeys("abc", 3), most=5) == {"a": 3, "b": 2}
    assert take(database, dict.fromkeys("abc", 3), most=99) == {"a": 1, "b": 2, "c": 3}
    with database.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).where(deliveries.c.leased)) == 11


def test_large_bodies_fill_more_of_that_bound(database: Database) -> None:
    """Each comes into memory with its row."""
    lay_due(database, "a", 3, text="x" * 100_000)
    lay_due(database, "b", 3, text="x" * 100_000)

    assert take(database, dict.fromkeys("ab", 1), most=4) == {"a": 1}
    assert take(database, dict.fromkeys("ab", 1), most=5) == {"a": 1, "b": 1}


@pytest.mark.parametrize("last", ["a", "b"])
def test_chance_says_whose_turn_it_is(database: Database, last: str) -> None:
    """A fixed order would let the first by name starve the others for ever."""
    lay_due(database, "a", 2)
    lay_due(database, "b", 2)

    assert take(database, {"a": 2, "b": 2}, most=2, last=last) == {"b" if last == "a" else "a": 2}


def test_by_default_no_callback_is_always_the_last(database: Database) -> None:
    """Ten callbacks, one slot: that the same one wins forty times has a chance of 10 to the power
    of -39.
    """
    wishes = {Share(CallbackId(f"c{n}"), is_retry=True): LeaseRequest(1) for n in range(10)}
    winners = set()
    for callback_id, _ in wishes:
        lay_due(database, callback_id, 1)

    for round_number in range(40):
        with database.write() as connection:
            now = UnixMs(NOW + round_number * LEASE_MS)
            (won,) = due.lease(connection, wishes, now, LEASE_MS, lapsed=True, most=1).deliveries
        winners.add(won.callback_id)

    assert len(winners) > 1


def test_many_requests_of_one_callback_leave_room_for_the_others(database: Database) -> None:
    """Thousands of retries by hand, all older, for one that hangs: they must not use up the
    capacity.
    """
    lay_due(database, "hangs", 30)
    lay_due(database, "other", 3)
    ask(database, "hangs", 30, since=1_000)
    ask(database, "other", 3, since=2_000)

    assert Counter(d.callback_id for d in take_requested(database)) == {"hangs": 4, "other": 3}
    assert take_requested(database) == [], "those under way count, round after round"


def test_requests_go_on_as_others_end_or_lapse(database: Database) -> None:
    """Oldest first, and none is forgotten."""
    lay_due(database, "a", 6)
    ask(database, "a", 6, since=1_000)

    first = take_requested(database)
    with database.write() as connection:
        settlement.settle(
            connection,
            [Settlement(first[0], DeliveryState.DELIVERED, attempt=an_attempt(number=2))],
            NOW,
        )
    second = take_requested(database)
    lapsed = take_requested(database, now=NOW + LEASE_MS, share=9)

    assert [d.attempt_id for d in first] == [f"att_a_{n}" for n in range(4)]
    assert [d.attempt_id for d in second] == ["att_a_4"]
    assert {d.attempt_id for d in lapsed} == {f"att_a_{n}" for n in range(1, 6)}


def test_after_the_store_was_unavailable_no_request_is_leased_yet(database: Database) -> None:
    """Its holder may be about to write the outcome: the attempt would be made twice."""
    lay_due(database, "a", 1)
    ask(database, "a", 1, since=1_000)
    (held,) = take_requested(database)

    assert take_requested(database, now=NOW + LEASE_MS, lapsed=False) == []

    with database.write() as connection:
        ended = Settlement(held, DeliveryState.DELIVERED, attempt=an_attempt(number=2))
        settlement.settle(connection, [ended], UnixMs(NOW + LEASE_MS))
    assert take_requested(database, now=NOW + LEASE_MS) == [], "it was written in time"


def test_requests_are_bounded_in_sum_too(database: Database) -> None:
    """What a dispatcher asks for is what it has room for."""
    for callback_id in ("a", "b", "c"):
        lay_due(database, callback_id, 3)
        ask(database, callback_id, 3, since=1_000)

    assert len(take_requested(database, limit=5)) == 5
