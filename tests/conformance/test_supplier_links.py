"""Links to suppliers' pages in the store: made, listed and ended; and how callbacks did lately. The
same on SQLite and PostgreSQL.
"""

import datetime as dt

import pytest
import sqlalchemy as sa

from schemas.errors import Conflict, NotFound
from schemas.events.types import EventType
from schemas.figures import HOUR_MS
from schemas.ids import CallbackId, TokenId
from schemas.times import UnixMs
from schemas.tokens.fields import CallbackFields
from schemas.tokens.supplier_links import WhyNot, why_not
from store.engine.database import Database
from store.stats import own_callbacks
from store.stats.own_callbacks import Lately, lately
from store.tables import figure_callback_hours
from store.tokens.supplier_links import SupplierLinks, made_links
from store.tokens.tokens import Tokens
from store.tokens.vault import Vault
from tests.kit.delivery_rows import add_delivery
from tests.kit.tokens import TESTER, token_fields

DAY = dt.timedelta(days=1)


@pytest.fixture
def vault() -> Vault:
    return Vault(["a-key-for-tests-" * 2])


@pytest.fixture
def tokens(database: Database, vault: Vault) -> Tokens:
    return Tokens(database, vault)


@pytest.fixture
def links(database: Database, vault: Vault) -> SupplierLinks:
    return SupplierLinks(database, vault)


@pytest.fixture
def token_id(tokens: Tokens, database: Database) -> TokenId:
    callbacks = {kind: CallbackFields("https://x.example/") for kind in EventType}
    return tokens.create(token_fields(), callbacks, database.time(), TESTER).token.id


def good(database: Database, token_id: TokenId) -> list[bool]:
    """Which links are listed as good, newest first."""
    with database.read() as connection:
        return [one.is_good for one in made_links(connection, token_id, database.time())]


def test_ending_all_links_ends_those_before_and_none_after(
    database: Database, tokens: Tokens, links: SupplierLinks, token_id: TokenId
) -> None:
    """As often as it is done."""
    first = links.make(token_id, DAY, TESTER)
    links.end_all(token_id, TESTER)
    second = links.make(token_id, DAY, TESTER)

    token, now = tokens.get(token_id), database.time()
    assert why_not(first, token, now) is WhyNot.ENDED
    assert why_not(second, token, now) is None
    assert good(database, token_id) == [True, False]

    links.end_all(token_id, TESTER)
    assert why_not(second, tokens.get(token_id), now) is WhyNot.ENDED
    assert good(database, token_id) == [False, False]


def test_a_new_secret_ends_links(
    database: Database, tokens: Tokens, links: SupplierLinks, token_id: TokenId
) -> None:
    """Also when a process of the version before replaces it, which knows nothing of links."""
    link = links.make(token_id, DAY, TESTER)
    tokens.regenerate(token_id, DAY, database.time(), TESTER)

    assert why_not(link, tokens.get(token_id), database.time()) is WhyNot.ENDED
    assert good(database, token_id) == [False]


def test_links_are_made_and_ended_where_that_means_something(
    database: Database, tokens: Tokens, links: SupplierLinks, token_id: TokenId
) -> None:
    """Not for tokens that are over, or that there are not."""
    with pytest.raises(NotFound):
        links.make(TokenId("tok_none"), DAY, TESTER)
    with pytest.raises(NotFound):
        links.end_all(TokenId("tok_none"), TESTER)

    tokens.revoke(token_id, database.time(), TESTER)
    with pytest.raises(Conflict):
        links.make(token_id, DAY, TESTER)
    with pytest.raises(Conflict):
        links.end_all(token_id, TESTER)
    assert good(database, token_id) == []


def test_callbacks_are_counted_each_for_itself(
    database: Database, tokens: Tokens, token_id: TokenId
) -> None:
    """Of all writers, of the last day, and of no other token."""
    now = database.time()
    called = {kind: one.id for kind, one in tokens.get(token_id).callbacks.items()}
    first, second, third = called.values()
    this_hour = now - now % HOUR_MS
    rows = [
        (first, this_hour, "a", 3, 1),
        (first, this_hour, "b", 4, 0),
        (first, this_hour - 23 * HOUR_MS, "", 10, 10),
        (first, this_hour - 30 * HOUR_MS, "", 100, 100),
        (second, this_hour, "a", 0, 5),
        (CallbackId("another"), this_hour, "a", 50, 50),
    ]
    with database.write() as connection:
        names = ("callback_id", "hour_at", "writer", "delivered", "failed")
        values = [dict(zip(names, row, strict=True)) for row in rows]
        connection.execute(sa.insert(figure_callback_hours), values)
    add_delivery(database, "evt_1", first, token_id=token_id, created_at=5, state="delivered")
    add_delivery(database, "evt_2", first, token_id=token_id, created_at=7, state="delivered")
    gone = {"token_id": token_id, "state": "exhausted", "outcome": "timeout"}
    add_delivery(database, "evt_3", first, created_at=9, **gone)
    add_delivery(database, "evt_5", first, token_id=token_id, created_at=11)  # not tried yet
    add_delivery(database, "evt_4", "another", token_id="tok_2", created_at=9, state="delivered")

    with database.read() as connection:
        found = lately(connection, token_id, list(called.values()), now)
        none = lately(connection, TokenId("tok_none"), [], now)

    assert found == {
        first: Lately(17, 11, UnixMs(7), UnixMs(9)),
        second: Lately(0, 5, None),
        third: Lately(),
    }
    assert none == {}


def test_the_latest_success_is_looked_for_in_a_bounded_number(
    database: Database, tokens: Tokens, token_id: TokenId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a token that gets ten million deliveries the page costs no more."""
    monkeypatch.setattr(own_callbacks, "MOST_LOOKED", 2)
    called = tokens.get(token_id).callbacks[EventType.MESSAGE_RECEIVED].id
    for number, state in enumerate(("delivered", "exhausted", "exhausted")):
        add_delivery(
            database, f"evt_{number}", called, token_id=token_id, created_at=number, state=state
        )

    with database.read() as connection:
        found = lately(connection, token_id, [called], database.time())

    assert found[called].succeeded_at is None
