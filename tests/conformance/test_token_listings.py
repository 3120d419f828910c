"""Lists of tokens: paged, by state, searched, the same on SQLite and PostgreSQL."""

import datetime as dt
from dataclasses import replace

import pytest

from schemas.event_types import EventType
from schemas.times import UnixMs
from schemas.tokens import TokenState
from store.database import Database
from store.token_listings import TokenFilter, TokenSort, list_tokens
from store.tokens import Tokens
from store.vault import Vault
from tests.kit.tokens import TESTER, token_fields

RECEIVED = EventType.MESSAGE_RECEIVED
NOW = UnixMs(1_000_000)
HOUR = dt.timedelta(hours=1)
VAULT = Vault(["a-key-for-tests-" * 2])


@pytest.fixture
def tokens(database: Database) -> Tokens:
    return Tokens(database, VAULT)


@pytest.mark.parametrize("sort", TokenSort)
def test_pages_of_tokens_hold_each_token_once_in_order(tokens: Tokens, database: Database, sort: TokenSort) -> None:
    """Also where names and times are the same."""
    for number in range(7):
        tokens.create(token_fields(f"name {number % 3}"), {}, UnixMs(NOW + number % 2), TESTER)
    listed, cursor = [], None

    while True:
        with database.read() as connection:
            page = list_tokens(connection, VAULT, TokenFilter(sort=sort), NOW, 3, cursor)
        listed += page.rows
        if (cursor := page.next_cursor) is None:
            break

    key = sort.removeprefix("-")
    expected = sorted(listed, key=lambda token: (getattr(token, key), token.id), reverse=sort.startswith("-"))
    assert listed == expected
    assert len({token.id for token in listed}) == 7


def test_tokens_are_found_by_state_as_the_token_itself_says_it(tokens: Tokens, database: Database) -> None:
    """The condition in SQL and the rule in Python are one rule. Revoked ones are shown only when asked for."""
    fields = token_fields()
    kinds = [fields, replace(fields, enabled=False), replace(fields, activates_at=UnixMs(NOW + 1)), replace(fields, expires_at=NOW)]
    made = [tokens.create(one, {}, NOW, TESTER).token.id for one in [*kinds, replace(fields, enabled=False, expires_at=NOW), fields]]
    tokens.revoke(made[-1], NOW, TESTER)

    for state in TokenState:
        with database.read() as connection:
            listed = list_tokens(connection, VAULT, TokenFilter(state=state), NOW, 10).rows
        assert {token.id for token in listed} == {token_id for token_id in made if tokens.get(token_id).state(NOW) is state}

    with database.read() as connection:
        assert made[-1] not in {token.id for token in list_tokens(connection, VAULT, TokenFilter(), NOW, 10).rows}


@pytest.mark.parametrize(("text", "names"), [("CRM", {"Acme crm"}), ("100%", {"100%"}), ("_", set())])
def test_tokens_are_searched_by_part_of_their_name(tokens: Tokens, database: Database, text: str, names: set[str]) -> None:
    """Whatever its case; signs that SQL gives a meaning have none."""
    for name in ("Acme crm", "100%", "other"):
        tokens.create(token_fields(name), {}, NOW, TESTER)

    with database.read() as connection:
        found = list_tokens(connection, VAULT, TokenFilter(search=text), NOW, 10).rows

    assert {token.name for token in found} == names
