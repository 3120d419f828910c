"""The states of tokens and callbacks in SQL agree with their properties in Python,
on both databases.
"""

import itertools
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from schemas.deliveries.callback_health import CallbackState
from schemas.ids import CallbackId, TokenId
from schemas.times import UnixMs
from schemas.tokens.tokens import TokenState
from store.engine.database import Connection, Database
from store.tables import callbacks, tokens
from store.tokens.rows import read_callback, read_token_alone
from store.tokens.states import callback_state, state_is, token_state

NOW = UnixMs(1_000_000)
MOMENTS = (UnixMs(NOW - 1), NOW, UnixMs(NOW + 1))


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    with database.write() as connection:
        _insert_tokens(connection)
        _insert_callbacks(connection)
        yield connection


def test_every_token_has_the_state_in_sql_that_it_has_in_python(connection: Connection) -> None:
    """All combinations of its dates and switches, also at the very moment of a change."""
    rows = connection.execute(sa.select(tokens, token_state(NOW).label("state"))).all()

    expected = {TokenId(row.id): read_token_alone(row).state(NOW) for row in rows}
    assert {row.id: row.state for row in rows} == expected
    assert set(expected.values()) == set(TokenState)
    for state in TokenState:
        ids = connection.execute(sa.select(tokens.c.id).where(state_is(state, NOW))).scalars()
        assert set(ids) == {token_id for token_id in expected if expected[token_id] is state}


def test_every_callback_has_the_state_in_sql_that_it_has_in_python(connection: Connection) -> None:
    """All combinations of its switch and its health."""
    rows = connection.execute(sa.select(callbacks, callback_state().label("state"))).all()

    expected = {CallbackId(row.id): read_callback(row, None).state for row in rows}
    assert {row.id: row.state for row in rows} == expected
    assert set(expected.values()) == set(CallbackState)
    for state in CallbackState:
        ids = connection.execute(sa.select(callbacks.c.id).where(state_is(state, NOW))).scalars()
        assert set(ids) == {one for one in expected if expected[one] is state}


def _insert_tokens(connection: Connection) -> None:
    combinations = itertools.product((None, NOW), (None, *MOMENTS), (False, True), MOMENTS)
    for number, (revoked_at, expires_at, enabled, activates_at) in enumerate(combinations):
        row = {
            "id": f"tok_{number}",
            "version": number,
            "name": "name",
            "hint": "hint",
            "secret_hash": str(number).encode(),
            "signing_secrets": b"",
            "permissions": "[]",
            "enabled": enabled,
            "created_at": 0,
            "activates_at": activates_at,
            "expires_at": expires_at,
            "revoked_at": revoked_at,
        }
        connection.execute(sa.insert(tokens).values(row))


def _insert_callbacks(connection: Connection) -> None:
    combinations = itertools.product((False, True), (None, NOW), (None, NOW))
    for number, (enabled, disabled_at, failing_since) in enumerate(combinations):
        row = {
            "id": f"cb_{number}",
            "token_id": f"tok_{number}",
            "type": "message.received",
            "url": "https://x.example/",
            "enabled": enabled,
            "headers": b"",
            "created_at": 0,
            "disabled_at": disabled_at,
            "failing_since": failing_since,
        }
        connection.execute(sa.insert(callbacks).values(row))
