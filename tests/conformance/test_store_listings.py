"""Lists of events and deliveries: right by every filter, paged without repeating or leaving out,
and by index.
"""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
import sqlalchemy as sa

from schemas.deliveries.deliveries import DeliveryState, Outcome
from schemas.errors import Invalid
from schemas.events.types import EventType
from schemas.ids import CallbackId, EventId, TokenId, delivery_id
from schemas.listings import DeliveryFilter, ListedDelivery
from schemas.times import UnixMs
from schemas.tokens.fields import CallbackFields
from store.deliveries.listing import every_delivery, get_delivery, list_deliveries
from store.engine import paging
from store.engine.database import Database
from store.events import claims
from store.events.listing import get_event
from store.tables import attempts
from store.tokens.callbacks import Callbacks
from store.tokens.tokens import Tokens
from store.tokens.vault import Vault
from tests.kit.delivery_rows import ABSENT, add_delivery
from tests.kit.making import a_claim
from tests.kit.tokens import TESTER, token_fields

RECEIVED = EventType.MESSAGE_RECEIVED
NOW = UnixMs(1_000_000)
VAULT = Vault(["a-key-for-tests-" * 2])


@pytest.fixture
def tokens(database: Database) -> Tokens:
    return Tokens(database, VAULT)


@pytest.fixture
def callback_id(tokens: Tokens) -> CallbackId:
    """A callback of an active token."""
    return (
        tokens.create(token_fields(), {RECEIVED: CallbackFields("https://x.example/")}, NOW, TESTER)
        .token.callbacks[RECEIVED]
        .id
    )


def listed(database: Database, chosen: DeliveryFilter | None = None) -> list[ListedDelivery]:
    """All there are."""
    return [row for page in pages(database, chosen or DeliveryFilter()) for row in page]


def pages(database: Database, chosen: DeliveryFilter) -> list[list[ListedDelivery]]:
    """Pages of three, to the end."""
    read: list[list[ListedDelivery]] = []
    cursor = None
    while True:
        with database.read() as connection:
            page = list_deliveries(connection, chosen, 3, cursor)
        read.append(page.rows)
        if (cursor := page.next_cursor) is None:
            return read


def ids(rows: Sequence[ListedDelivery]) -> list[str]:
    return [row.event_id for row in rows]


def test_pages_hold_every_delivery_once_newest_first(database: Database) -> None:
    """This holds where many were made in the same millisecond, too."""
    for number in range(10):
        add_delivery(database, f"e{number}", created_at=number // 4)

    rows = listed(database)

    assert ids(rows) == [f"e{number}" for number in reversed(range(10))]


def test_the_last_page_says_that_it_is_the_last(database: Database) -> None:
    """Exactly full is not one more."""
    for number in range(3):
        add_delivery(database, f"e{number}")

    with database.read() as connection:
        assert list_deliveries(connection, DeliveryFilter(), 3).next_cursor is None


@pytest.mark.parametrize(
    "cursor",
    [
        "nonsense",
        "",
        "W10",
        "WzEsMl0",
        "WyJhIiwiYiIsImMiXQ",
        "é",
        "WzFlOTk5LCJhIiwiYiJd",
        "Wzk5OTk5OTk5OTk5OTk5OTk5OTk5OTksImEiLCJiIl0",
        paging.cursor_of((1, "a\0", "b")),
    ],
)
def test_a_cursor_that_is_none_is_refused(database: Database, cursor: str) -> None:
    """A list without numbers, with too few, with none, of text, too great, with a NUL: never an
    error of the database.
    """
    with database.read() as connection, pytest.raises(Invalid) as refused:
        list_deliveries(connection, DeliveryFilter(), 3, cursor)

    assert refused.value.faults[0].pointer == "/cursor"


def test_a_page_that_finds_little_says_where_to_go_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For one token and for all alike: it reads so many rows and no more. A client that goes on to
    the end misses nothing and sees nothing twice.
    """
    monkeypatch.setattr(paging, "SCAN_ROWS", 5)
    for number in range(20):
        add_delivery(
            database,
            f"e{number}",
            created_at=number,
            status_code=500 if number in {0, 1, 12} else 200,
        )
    chosen = DeliveryFilter(token=TokenId("tok_1"), status_code=500)

    assert [ids(page) for page in pages(database, chosen)] == [[], ["e12"], [], ["e1", "e0"], []]
    assert [ids(page) for page in pages(database, replace(chosen, token=None))] == [
        [],
        ["e12"],
        [],
        ["e1", "e0"],
        [],
    ]
    assert ids(list(every_delivery(database, chosen, 2))) == ["e12", "e1", "e0"]


@pytest.mark.parametrize(
    "chosen",
    [
        DeliveryFilter(error=Outcome.TLS),
        DeliveryFilter(type=EventType.MESSAGE_STATUS),
        DeliveryFilter(state=DeliveryState.DELIVERED),
        DeliveryFilter(state=DeliveryState.HELD),
        DeliveryFilter(state=DeliveryState.EXHAUSTED, error=Outcome.TLS),
        DeliveryFilter(token=TokenId("tok_1"), state=DeliveryState.EXHAUSTED),
    ],
)
def test_a_page_says_how_far_back_it_looked(
    database: Database, chosen: DeliveryFilter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that fits may be a reason to go on, or to know enough; the last page has looked at
    everything.
    """
    monkeypatch.setattr(paging, "SCAN_ROWS", 4)
    state = (
        DeliveryState.EXHAUSTED
        if chosen.state is DeliveryState.EXHAUSTED and chosen.token is None
        else DeliveryState.PENDING
    )
    for number in range(10):
        add_delivery(database, f"e{number}", created_at=number, state=state)

    with database.read() as connection:
        first = list_deliveries(connection, chosen, 3)
        second = list_deliveries(connection, chosen, 3, first.next_cursor)
        third = list_deliveries(connection, chosen, 3, second.next_cursor)

    assert [(page.rows, page.looked_until) for page in (first, second, third)] == [
        ([], 6),
        ([], 2),
        ([], None),
    ]
    assert third.next_cursor is None


def test_a_full_page_looked_back_to_its_last_row(database: Database) -> None:
    """Without a filter it reads nothing else."""
    for number in range(5):
        add_delivery(database, f"e{number}", created_at=number)

    with database.read() as connection:
        assert list_deliveries(connection, DeliveryFilter(), 3).looked_until == 2


def test_a_page_of_a_token_that_is_full_goes_on_after_its_last_row(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not go back further; without a filter there is no such place."""
    monkeypatch.setattr(paging, "SCAN_ROWS", 2)
    for number in range(7):
        add_delivery(database, f"e{number}", created_at=number)
    own = DeliveryFilter(token=TokenId("tok_1"))

    assert [len(page) for page in pages(database, own)] == [3, 3, 1]
    monkeypatch.setattr(paging, "SCAN_ROWS", 5)
    assert [len(page) for page in pages(database, replace(own, type=RECEIVED))] == [3, 3, 1]


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        (DeliveryFilter(token=TokenId("tok_2")), ["failed"]),
        (DeliveryFilter(type=EventType.MESSAGE_STATUS), ["status"]),
        (DeliveryFilter(since=UnixMs(30)), ["status", "failed"]),
        (DeliveryFilter(until=UnixMs(30)), ["delivered"]),
        (DeliveryFilter(status_code=500), ["failed"]),
        (DeliveryFilter(error=Outcome.TIMEOUT), ["status"]),
        (DeliveryFilter(state=DeliveryState.DELIVERED), ["delivered"]),
        (DeliveryFilter(state=DeliveryState.EXHAUSTED), ["failed"]),
        (DeliveryFilter(state=DeliveryState.PENDING, type=RECEIVED), []),
    ],
)
def test_every_filter_finds_what_it_says(
    database: Database, chosen: DeliveryFilter, found: list[str]
) -> None:
    """`since` is inclusive, `until` exclusive."""
    add_delivery(
        database,
        "delivered",
        state="delivered",
        created_at=20,
        status_code=200,
        outcome="delivered",
    )
    add_delivery(
        database,
        "failed",
        state="exhausted",
        created_at=30,
        status_code=500,
        outcome="http_5xx",
        token_id="tok_2",
    )
    add_delivery(
        database, "status", created_at=40, due_at=9, type="message.status", outcome="timeout"
    )

    assert ids(listed(database, chosen)) == found


def test_a_pending_delivery_says_when_it_is_tried_next(
    database: Database, callback_id: CallbackId
) -> None:
    """But not while it is leased: then the time is only the end of the lease."""
    add_delivery(database, "waiting", callback_id, due_at=77)
    add_delivery(database, "leased", callback_id, due_at=88, leased=True)

    by_id = {row.event_id: row for row in listed(database)}

    assert (by_id["waiting"].state, by_id["waiting"].next_attempt_at) == (DeliveryState.PENDING, 77)
    assert (by_id["leased"].state, by_id["leased"].next_attempt_at) == (DeliveryState.PENDING, None)


@pytest.mark.parametrize("how", ["callback off", "token suspended"])
def test_open_deliveries_are_held_while_nothing_may_be_sent(
    database: Database, tokens: Tokens, callback_id: CallbackId, how: str
) -> None:
    """Derived, so it holds at once for a million rows, and is over at once."""
    token = tokens_of(database, tokens)
    add_delivery(database, "open", callback_id, due_at=77)
    add_delivery(database, "done", callback_id, state="delivered")

    if how == "callback off":
        Callbacks(database, VAULT).put(
            token, RECEIVED, CallbackFields("https://x.example/", enabled=False), TESTER
        )
    else:
        tokens.change(token, lambda fields: replace(fields, enabled=False), TESTER)

    (held,) = listed(database, DeliveryFilter(state=DeliveryState.HELD))
    assert (held.event_id, held.state, held.reason, held.next_attempt_at) == (
        "open",
        DeliveryState.HELD,
        how,
        None,
    )
    assert listed(database, DeliveryFilter(state=DeliveryState.PENDING)) == []
    assert {row.event_id: row.state for row in listed(database)}["done"] is DeliveryState.DELIVERED


def test_a_delivery_outlives_its_callback(
    database: Database, tokens: Tokens, callback_id: CallbackId
) -> None:
    """Its log stays, only the URL is gone."""
    add_delivery(database, "e1", callback_id, due_at=77)
    Callbacks(database, VAULT).delete(tokens_of(database, tokens), RECEIVED, TESTER)

    (row,) = listed(database)

    assert (row.url, row.state, row.reason) == (
        None,
        DeliveryState.CANCELLED,
        "the callback was deleted",
    )


def test_a_delivery_is_shown_with_its_attempts_oldest_first(
    database: Database, callback_id: CallbackId
) -> None:
    """Why did it fail, and when did it work?"""
    add_delivery(database, "e1", callback_id, state="delivered")
    for number in (2, 1):
        row = {
            "event_id": "e1",
            "callback_id": callback_id,
            "id": f"att_{number}",
            "number": number,
            "trigger": "retry",
        }
        rest = {
            "started_at": number,
            "duration_ms": 3,
            "outcome": "timeout",
            "request_headers": b'{"a":"b"}',
            "response_body": b"\xff",
        }
        with database.write() as connection:
            connection.execute(sa.insert(attempts).values(row | rest))

    with database.read() as connection:
        detail = get_delivery(connection, delivery_id(EventId("e1"), callback_id))

    assert detail
    assert [attempt.number for attempt in detail.attempts] == [1, 2]
    assert (detail.attempts[0].request_headers, detail.attempts[0].response_body) == (
        {"a": "b"},
        b"\xff",
    )


@pytest.mark.parametrize("text", ["dlv_missing", "nonsense", f"dlv_{ABSENT}_evt_absent"])
def test_a_delivery_that_is_not_there_is_not_found(database: Database, text: str) -> None:
    """Whether it was never an id or only is no more."""
    with database.read() as connection:
        assert get_delivery(connection, text) is None  # type: ignore[arg-type]  # that is the point


def test_an_event_shows_what_was_published_and_what_is_under_way(
    database: Database, callback_id: CallbackId
) -> None:
    """A first attempt has no row for up to a second; its delivery is there all the same."""
    with database.write() as connection:
        claims.claim(connection, [a_claim("evt_1", callback_id)], NOW)

    with database.read() as connection:
        event = get_event(connection, EventId("evt_1"))
        detail = get_delivery(connection, delivery_id(EventId("evt_1"), callback_id))

    assert event
    assert json.loads(event.body)["data"]["message"]["id"] == "msg_1"
    assert (event.accepted_at, event.conflicts, event.directly) == (1_000, 0, False)
    assert [(d.state, d.url, d.next_attempt_at) for d in event.deliveries] == [
        (DeliveryState.PENDING, "https://x.example/", None)
    ]
    assert detail
    assert detail.attempts == []


def tokens_of(database: Database, tokens: Tokens) -> TokenId:
    """The only token there is."""
    with database.read() as connection:
        return TokenId(connection.scalar(sa.text("SELECT id FROM tokens")))
