"""Lists of the tokens that may need attention, the same on SQLite and PostgreSQL."""

from dataclasses import replace

import pytest
import sqlalchemy as sa

from schemas.events.types import EventType
from schemas.ids import TokenId
from schemas.times import UnixMs
from schemas.tokens.fields import CallbackFields
from schemas.tokens.tokens import TokenState
from store.engine.database import Database
from store.tables import callbacks
from store.tables import tokens as token_table
from store.tokens.listing import (
    EXPIRING_MS,
    UNUSED_MS,
    TokenFilter,
    TokenSelection,
    TokenSort,
    list_tokens,
)
from store.tokens.tokens import Tokens
from store.tokens.vault import Vault
from tests.kit.tokens import TESTER, token_fields

RECEIVED, STATUS = EventType.MESSAGE_RECEIVED, EventType.MESSAGE_STATUS
NOW = UnixMs(1_000_000_000_000)
LONG_AGO = UnixMs(NOW - UNUSED_MS)
URL = "https://x.example/"
VAULT = Vault(["a-key-for-tests-" * 2])


@pytest.fixture
def tokens(database: Database) -> Tokens:
    return Tokens(database, VAULT)


def names(
    database: Database, selection: TokenSelection, wanted: TokenFilter | None = None
) -> list[str]:
    """To the end, in pages of one."""
    wanted, found, cursor = wanted or TokenFilter(), [], None
    while True:
        with database.read() as connection:
            page = list_tokens(
                connection, VAULT, replace(wanted, selection=selection), NOW, 1, cursor
            )
        found += [token.name for token in page.rows]
        if (cursor := page.next_cursor) is None:
            return found


def add(tokens: Tokens, name: str, created_at: int = NOW, **fields: object) -> TokenId:
    made = replace(token_fields(name), **fields)  # type: ignore[arg-type]
    return tokens.create(made, {}, UnixMs(created_at), TESTER).token.id


def test_tokens_that_expire_soon_are_found(tokens: Tokens, database: Database) -> None:
    """Within 30 days; neither those that have expired, nor those that never do."""
    add(tokens, "never")
    for after in (0, 1, EXPIRING_MS, EXPIRING_MS + 1):
        add(tokens, f"after {after}", expires_at=UnixMs(NOW + after))

    assert names(database, TokenSelection.EXPIRING) == ["after 1", f"after {EXPIRING_MS}"]
    assert names(database, TokenSelection.NEVER_EXPIRES) == ["never"]


def test_tokens_that_no_one_uses_are_found(tokens: Tokens, database: Database) -> None:
    """Not used for 90 days, or never although they could be for as long."""
    add(tokens, "new")
    add(tokens, "old", LONG_AGO)
    add(tokens, "old, for later", LONG_AGO, activates_at=UnixMs(LONG_AGO + 1))
    for name, used_at in (("forgotten", LONG_AGO), ("busy", LONG_AGO + 1)):
        token_id = add(tokens, name, 0)
        with database.write() as connection:
            connection.execute(
                sa.update(token_table)
                .where(token_table.c.id == token_id)
                .values(last_used_at=used_at)
            )

    assert names(database, TokenSelection.UNUSED) == ["forgotten", "old"]


def test_tokens_without_callbacks_and_with_failing_ones_are_found(
    tokens: Tokens, database: Database
) -> None:
    """One that a person switched off does not fail. A token with two is found once."""
    columns = {
        "healthy": {},
        "off": {"enabled": False, "failing_since": 1},
        "failing": {"failing_since": 1},
        "disabled": {"disabled_at": 1},
    }
    add(tokens, "bare")
    for name, health in columns.items():
        both = {RECEIVED: CallbackFields(URL), STATUS: CallbackFields(URL)}
        token_id = tokens.create(token_fields(name), both, NOW, TESTER).token.id
        if health:
            with database.write() as connection:
                connection.execute(
                    sa.update(callbacks).where(callbacks.c.token_id == token_id).values(health)
                )

    assert names(database, TokenSelection.WITHOUT_CALLBACKS) == ["bare"]
    assert names(database, TokenSelection.FAILING) == ["disabled", "failing"]


def test_a_selection_joins_the_other_filters(tokens: Tokens, database: Database) -> None:
    """State, part of a name, order; revoked ones only when asked for."""
    for name in ("acme 1", "acme 2", "globex"):
        add(tokens, name)
    add(tokens, "acme off", enabled=False)
    tokens.revoke(add(tokens, "acme gone"), NOW, TESTER)
    newest_first = TokenFilter("ACME", TokenState.ACTIVE, TokenSort.NAME_DESCENDING)

    without = TokenSelection.WITHOUT_CALLBACKS
    assert names(database, without, newest_first) == ["acme 2", "acme 1"]
    assert names(database, without, TokenFilter("acme")) == ["acme 1", "acme 2", "acme off"]
    assert names(database, without, TokenFilter(state=TokenState.REVOKED)) == ["acme gone"]
