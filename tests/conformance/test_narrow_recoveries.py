"""Recoveries of what a person has filtered or ticked in a list, on both databases; and how much
that is, before.
"""

from typing import Any

import pytest
import sqlalchemy as sa

from schemas.deliveries.deliveries import DeliveryState, Outcome
from schemas.deliveries.recoveries import Counted, Recoverable, RecoveryQuery
from schemas.errors import Invalid
from schemas.ids import CallbackId, EventId, TokenId, delivery_id
from schemas.listings import DeliveryFilter
from schemas.times import UnixMs
from schemas.tokens.matching import owners
from store.deliveries.listing import list_deliveries
from store.recoveries import candidates, counting, jobs
from store.tables import deliveries
from tests.kit.making import a_claim
from tests.kit.plans import plans
from tests.kit.recovering import FOR_EVER, NOW, House, callback_of

EXHAUSTED, HELD, MISSING = Recoverable.EXHAUSTED, Recoverable.HELD, Recoverable.MISSING


def counted(house: House, *states: Recoverable, **query: Any) -> Counted:
    """What a dry run says."""
    wanted = {"since": UnixMs(0), "until": FOR_EVER} | query
    house.directory.refresh()
    return jobs.count(
        house.database,
        RecoveryQuery(states=states, **wanted),
        lambda kind, channel: owners(kind, channel, house.directory, NOW),
    )


async def test_what_a_filter_of_the_list_shows_is_recovered_and_no_more(house: House) -> None:
    """By status code, by error, and by both: the list and the recovery mean the same."""
    callback_id = callback_of(house.token())
    failed = {
        "evt_500": {"status_code": 500, "outcome": "http_5xx"},
        "evt_503": {"status_code": 503, "outcome": "http_5xx"},
        "evt_paused": {"status_code": 503, "outcome": "throttled"},
        "evt_tls": {"outcome": "tls"},
    }
    for event_id, columns in failed.items():
        house.lay(event_id, callback_id, **columns)
    narrow = {"status_code": 503, "error": Outcome.HTTP_5XX}

    with house.database.read() as connection:
        shown = list_deliveries(connection, DeliveryFilter(**narrow), 50)  # type: ignore[arg-type]
    before = counted(house, EXHAUSTED, **narrow)
    done = house.recover(EXHAUSTED, **narrow)

    assert [row.event_id for row in shown.rows] == ["evt_503"]
    assert (before, done) == (Counted(1, is_complete=True), (1, 1, 0))
    assert house.recovering() == {("evt_503", callback_id)}
    assert house.recover(EXHAUSTED, error=Outcome.TLS) == (1, 1, 0)
    assert counted(house, EXHAUSTED) == Counted(2, is_complete=True)


async def test_what_was_ticked_is_recovered_and_no_more(house: House) -> None:
    """In any of the states, each as far as it fits the rest; ids of what is not there count for
    nothing. The slices are of three.
    """
    crm, other = house.token("crm"), house.token("other")
    one, two = callback_of(crm), callback_of(other)
    for number in range(9):
        house.lay(f"evt_{number}", one, 1_000 + number, token_id=crm.id)
        house.lay(f"evt_{number}", two, 1_000 + number, token_id=other.id)
    house.change_delivery("evt_8", one, state="delivered")
    house.change_delivery("evt_7", one, state="pending", due_at=5_000, queued_at=1_000)
    house.change_callback(one, held_before=2_000)
    ticked = tuple(
        delivery_id(EventId(f"evt_{number}"), CallbackId(callback_id))
        for number, callback_id in [(n, one) for n in range(2, 9)] + [(1, two), (99, two)]
    )

    before = counted(house, EXHAUSTED, HELD, deliveries=ticked)
    narrower = counted(house, EXHAUSTED, HELD, deliveries=ticked, token=crm.id)
    done = house.recover(EXHAUSTED, HELD, deliveries=ticked)

    assert (before, narrower) == (Counted(7, is_complete=True), Counted(6, is_complete=True))
    assert done == (7, 7, 0)
    assert house.recovering() == {(f"evt_{n}", one) for n in range(2, 8)} | {("evt_1", two)}


async def test_a_ticked_delivery_that_was_never_made_is_made(house: House) -> None:
    """Who did not get an event is found in the list of its recipients, and can have it from
    there. No other callback and no other event.
    """
    hears = callback_of(house.token("hears"))
    house.token("hears too")
    house.claim(a_claim("evt_1"), a_claim("evt_2"))
    ticked = (delivery_id(EventId("evt_1"), CallbackId(hears)),)

    before = counted(house, MISSING, deliveries=ticked)
    done = house.recover(MISSING, deliveries=ticked)

    assert (before, done) == (Counted(1, is_complete=True), (1, 1, 0))
    assert house.recovering() == {("evt_1", hears)}


async def test_a_dry_run_counts_what_is_missing_and_changes_nothing(house: House) -> None:
    """The count that a person sees is what is then done."""
    had, hears = house.token("had"), house.token("hears")
    house.token("elsewhere", channels=["chn_9"])
    house.lay("evt_1", callback_of(had), state="delivered", token_id=had.id)
    house.claim(a_claim("evt_2", callback_of(had)), a_claim("evt_3"))

    counts = [counted(house, EXHAUSTED, MISSING), counted(house, MISSING, token=hears.id)]

    assert [count.total for count in counts] == [4, 3]
    assert house.recovering() == set()
    assert house.recover(EXHAUSTED, MISSING) == (4, 4, 0)


async def test_a_dry_run_says_when_it_has_not_counted_all(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer within a second is worth more than an exact one."""
    monkeypatch.setattr(counting, "COUNTED", 5)
    monkeypatch.setattr(counting, "COUNTED_EVENTS", 4)
    monkeypatch.setattr(counting, "_PAGE", 2)
    callback_id = callback_of(house.token())
    for number in range(6):
        house.lay(f"evt_{number}", callback_id)
    house.claim(*(a_claim(f"evt_missing_{number}", accepted_at=2_000) for number in range(6)))

    assert counted(house, EXHAUSTED) == Counted(5, is_complete=False)
    assert counted(house, MISSING, since=UnixMs(2_000)) == Counted(4, is_complete=False)
    assert counted(house, MISSING, since=UnixMs(3_000)) == Counted(0, is_complete=True)


async def test_a_dry_run_for_an_unknown_token_is_refused(house: House) -> None:
    """As the recovery itself is."""
    with pytest.raises(Invalid, match="no such token"):
        counted(house, EXHAUSTED, token=TokenId("tok_nobody"))


def test_ticked_deliveries_are_read_by_their_key(house: House) -> None:
    """A thousand of ten million cost a thousand, whatever else was given up."""
    database = house.database
    fields = ("created_at", "event_id", "callback_id", "token_id", "type", "state", "due_at")
    with database.write() as connection:
        rows = [
            dict(
                zip(
                    fields,
                    (n, f"evt_{n}", "c" * 16, "tok_1", "message.received", "exhausted", None),
                    strict=True,
                )
            )
            | {"leased": False, "lease": 0, "failures": 0}
            for n in range(6_000)
        ]
        connection.execute(sa.insert(deliveries), rows)
    with database.write() as connection:
        connection.exec_driver_sql("ANALYZE deliveries")
    ticked = tuple(
        delivery_id(EventId(f"evt_{n}"), CallbackId("c" * 16)) for n in range(0, 6000, 6)
    )
    query = RecoveryQuery(UnixMs(0), FOR_EVER, (EXHAUSTED,), deliveries=ticked)

    found = plans(
        database,
        lambda connection: (
            counting.count(connection, query, None),
            candidates.undelivered(
                connection, query, DeliveryState.EXHAUSTED, (9, "evt_9", "c"), 3, NOW
            ),
        ),
    )

    key = {"sqlite": "sqlite_autoindex_deliveries_1", "postgresql": "pk_deliveries"}
    for plan in found[:2]:
        assert key[database.dialect] in plan, plan
