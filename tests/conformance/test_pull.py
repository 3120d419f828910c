"""Pulling: pages of what may be seen, in one order, with a cursor that is never null. Races:
`test_pull_races`.
"""

import pytest
import sqlalchemy as sa

from schemas.errors import Invalid
from schemas.events.types import EventType
from schemas.listings import PullFilter
from schemas.times import UnixMs, now_ms
from store.engine import paging
from store.engine.database import Database
from store.events import claims
from store.events.claims import Claim
from store.events.pull import page_query, pull
from store.tables import events
from tests.kit.making import a_claim
from tests.kit.plans import explain
from tests.kit.pull import EVERYTHING, Puller, claim, ids, lay
from tests.kit.waiting import wait_for

STATUS = EventType.MESSAGE_STATUS


def test_events_come_in_the_order_in_which_they_were_taken(database: Database) -> None:
    """By whatever ids, over pages, each once; and a cursor is there before anything is."""
    puller = Puller(database)
    assert puller.catch_up() == []
    lay(database, (20, "b"), (10, "z"), (20, "a"), (30, "y"), (31, "x"), (32, "w"), (33, "v"))

    assert puller.catch_up() == ["z", "a", "b", "y", "x", "w", "v"]
    assert puller.catch_up() == ["z", "a", "b", "y", "x", "w", "v"]
    lay(database, (40, "c"))
    assert puller.catch_up()[-1] == "c"


def test_events_of_one_claim_come_as_they_were_accepted(
    database: Database, no_margin: None
) -> None:
    """A backend's own ids say nothing about that."""
    with database.write() as connection:
        claims.claim(
            connection,
            [a_claim("a", accepted_at=3), a_claim("b", accepted_at=1), a_claim("c", accepted_at=2)],
            now_ms(),
        )

    assert Puller(database).wait_for(3) == ["b", "c", "a"]


def test_what_was_accepted_long_ago_and_claimed_just_now_is_pulled(
    database: Database, no_margin: None
) -> None:
    """A backlog is claimed late: a client that uses the time of acceptance would miss it."""
    puller = Puller(database)
    for count, (event_id, accepted_at) in enumerate((("new", 2_000), ("backlog", 1_000)), 1):
        with database.write() as connection:
            claim(connection, event_id, accepted_at=accepted_at)
        puller.wait_for(count)

    assert puller.seen == ["new", "backlog"]


def test_an_event_is_pulled_as_it_is_sent(database: Database, no_margin: None) -> None:
    """Byte for byte: numbers survive."""
    body = (
        b'{"id":"evt_1","type":"message.received","schema_version":"1",'
        b'"timestamp":"1970-01-01T00:00:01.000Z","data":{"n":1.10}}'
    )
    one = a_claim("evt_1")
    with database.write() as connection:
        claims.claim(
            connection,
            [Claim(one.event, one.accepted_at, via_amqp=False, callback_ids=(), body=body)],
            now_ms(),
        )

    assert wait_for("it to be pulled", lambda: pull(database, EVERYTHING, 10).bodies) == [body]


def test_a_test_of_a_callback_is_not_pulled(database: Database) -> None:
    """It was for that callback alone."""
    lay(database, (1, "evt_1"))
    with database.write() as connection:
        connection.execute(sa.update(events).values(claimed_at=None))

    assert Puller(database).catch_up() == []


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        (PullFilter(channels=frozenset({"mine"})), ["b", "d"]),
        (PullFilter(channels=frozenset({"mine", 'a "q\\uoted" {one}'})), ["b", "d", "e"]),
        (PullFilter(channels=frozenset({"unknown"})), []),
        (PullFilter(channels=frozenset()), []),
        (PullFilter(type=STATUS), ["d"]),
        (PullFilter(since=UnixMs(3)), ["c", "d", "e"]),
        (PullFilter(until=UnixMs(3)), ["a", "b"]),
        (PullFilter(channels=frozenset({"mine"}), since=UnixMs(3), until=UnixMs(5)), ["d"]),
    ],
)
def test_a_token_pulls_what_it_may_see_and_asks_for(
    database: Database, chosen: PullFilter, found: list[str]
) -> None:
    """Empty is none and None is all; `since` is inclusive, `until` exclusive."""
    lay(database, (1, "a"), (3, "c"), channel="theirs")
    lay(database, (2, "b"), channel="mine")
    lay(database, (4, "d"), channel="mine", kind=STATUS.value)
    lay(database, (5, "e"), channel='a "q\\uoted" {one}')

    assert Puller(database, chosen).catch_up() == found


def test_ten_thousand_channels_are_no_trouble(database: Database) -> None:
    """The most channels that a token may have."""
    lay(database, (1, "a"), channel="chn_9999")

    assert Puller(
        database, PullFilter(channels=frozenset(f"chn_{n}" for n in range(10_000)))
    ).catch_up() == ["a"]


def test_a_page_looks_at_so_many_and_says_where_it_stopped(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token that sees one event in a million must not make a request search for it."""
    monkeypatch.setattr("store.events.pull.READ_MOST", 4)
    lay(database, *((n, f"e{n}") for n in range(1, 11)))
    lay(database, (11, "mine"), channel="mine")
    puller = Puller(database, PullFilter(channels=frozenset({"mine"})), limit=10)

    assert [puller.look() for _ in range(3)] == [True, True, False]
    assert puller.seen == ["mine"]


def test_a_page_that_is_just_full_does_not_hide_what_comes_behind_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever its end and the end of looking fall."""
    monkeypatch.setattr("store.events.pull.READ_MOST", 4)
    for count in range(1, 10):
        lay(database, (count, f"e{count}"))
        for limit in (1, 2, 3, 4, 5):
            assert Puller(database, limit=limit).catch_up() == [
                f"e{n}" for n in range(1, count + 1)
            ]


def test_a_cursor_outlives_its_event(database: Database) -> None:
    """`RETENTION` takes what was pulled last; who comes back then goes on behind it."""
    lay(database, (1, "a"), (2, "b"))
    puller = Puller(database)
    puller.catch_up()
    with database.write() as connection:
        connection.execute(sa.delete(events))
    assert puller.catch_up() == ["a", "b"]

    lay(database, (3, "c"))

    assert puller.catch_up() == ["a", "b", "c"]


@pytest.mark.parametrize("until", [None, UnixMs(5)])
def test_there_is_a_cursor_also_where_nothing_is(database: Database, until: UnixMs | None) -> None:
    """From `since` on: what came before does not come after all."""
    first = pull(database, PullFilter(since=UnixMs(10), until=until), 10)
    lay(database, (9, "before"), (10, "after"))

    assert (first.bodies, first.has_more) == ([], False)
    assert ids(pull(database, EVERYTHING, 10, first.next_cursor)) == ["after"]


@pytest.mark.parametrize("cursor", ["nonsense", "W10", "WzEsMl0"])
def test_a_cursor_that_is_none_is_refused(database: Database, cursor: str) -> None:
    """The cursor of another list too."""
    with pytest.raises(Invalid, match="cursor"):
        pull(database, EVERYTHING, 10, cursor)


def test_a_page_is_read_in_the_order_of_the_index(database: Database) -> None:
    """At ten million rows it costs what it looks at."""
    lay(database, *((n, f"e{n:05}") for n in range(6_000)))
    with database.write() as connection:
        connection.execute(sa.text("ANALYZE"))
    chosen = PullFilter(channels=frozenset({"chn_1"}), type=EventType.MESSAGE_RECEIVED)

    plan = explain(
        database,
        page_query(
            chosen, 50, paging.cursor_of((5_000, 5_000, "e")), UnixMs(6_000), database.dialect
        ),
    )

    assert "IX_EVENTS_CLAIMED_AT" in plan, plan
    assert "SEQ SCAN ON EVENTS" not in plan, plan
    assert "SCAN EVENTS" not in plan.replace("SCAN EVENTS USING INDEX", ""), plan
