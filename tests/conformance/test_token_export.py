"""Every token and callback, read in pages, on SQLite and on PostgreSQL."""

import pytest

from schemas.events.types import EventType
from schemas.times import UnixMs
from schemas.tokens.fields import CallbackFields
from store.engine.database import Database
from store.tokens import export as token_export
from store.tokens.export import Everything
from store.tokens.tokens import Tokens
from store.tokens.vault import Vault
from tests.kit.tokens import TESTER, token_fields

NOW = UnixMs(1_000)
VAULT = Vault(["a-key-for-tests-" * 2])
CALLBACKS = {
    kind: CallbackFields(f"https://{kind}.example/", headers={"X-B": "b", "X-A": "a"})
    for kind in EventType
}


@pytest.fixture
def tokens(database: Database) -> Tokens:
    return Tokens(database, VAULT)


@pytest.mark.parametrize("page", [1, 3, 6, 7, 100])
def test_all_are_read_once_in_order(
    database: Database, tokens: Tokens, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    """Wherever a page ends, between two tokens or among the callbacks of one."""
    monkeypatch.setattr(token_export, "_PAGE", page)
    made = [
        tokens.create(token_fields(f"token {number}"), CALLBACKS, NOW, TESTER).token
        for number in range(3)
    ]
    tokens.revoke(made[1].id, NOW, TESTER)

    everything = Everything(database, VAULT)

    assert [(token.id, token.name, token.revoked_at) for token in everything.tokens()] == [
        (token.id, token.name, NOW if token is made[1] else None) for token in made
    ]
    assert [
        (one.token_id, one.token_name, one.callback.type) for one in everything.callbacks()
    ] == [(token.id, token.name, kind) for token in made for kind in sorted(EventType)]
    assert {tuple(one.header_names or ()) for one in everything.callbacks()} == {("X-A", "X-B")}
    assert (everything.tokens_total, everything.callbacks_total) == (3, 9)


def test_what_is_made_meanwhile_is_in_none_of_the_lists(database: Database, tokens: Tokens) -> None:
    """A token with a row on one sheet and none on another looks like a mistake."""
    first = tokens.create(token_fields("first"), CALLBACKS, NOW, TESTER).token
    everything = Everything(database, VAULT)

    tokens.create(token_fields("second"), CALLBACKS, NOW, TESTER)

    assert [token.id for token in everything.tokens()] == [first.id]
    assert {one.token_id for one in everything.callbacks()} == {first.id}


def test_without_tokens_there_is_nothing_to_read(database: Database) -> None:
    """The first day."""
    everything = Everything(database, VAULT)

    assert (list(everything.tokens()), list(everything.callbacks()), everything.tokens_total) == (
        [],
        [],
        0,
    )
