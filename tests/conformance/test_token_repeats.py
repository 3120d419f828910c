"""Forms of tokens that are sent twice, and what a deletion would stop; the same on SQLite and
PostgreSQL.
"""

import datetime as dt
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from schemas.deliveries.deliveries import DeliveryState
from schemas.errors import Conflict
from schemas.events.types import EventType
from schemas.ids import CallbackId, TokenId, new_token_id
from schemas.times import UnixMs
from schemas.tokens.editions import edition
from store.engine.database import Database
from store.tables import deliveries
from store.tables import tokens as token_table
from store.tokens.cancellation import count_open
from store.tokens.rows import ChangedMeanwhile
from store.tokens.tokens import Tokens
from store.tokens.vault import Vault
from tests.kit.tokens import TESTER, token_fields

NOW = UnixMs(1_000_000)
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def tokens(database: Database) -> Tokens:
    return Tokens(database, Vault(["a-key-for-tests-" * 2]))


def test_a_token_is_created_once_for_an_id(tokens: Tokens, database: Database) -> None:
    """However often, and however close together, its form is sent."""
    token_id = new_token_id()

    def create(_: int) -> TokenId | None:
        try:
            return tokens.create(token_fields(), {}, NOW, TESTER, token_id).token.id
        except Conflict:
            return None

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(create, range(4)))

    assert sorted(filter(None, made)) == [token_id]
    with database.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(token_table)) == 1


def test_a_secret_is_replaced_once_for_an_edition(tokens: Tokens) -> None:
    """A second time would end the secret that was to live on."""
    token = tokens.create(token_fields(), {}, NOW, TESTER).token
    made = tokens.regenerate(token.id, HOUR, NOW, TESTER, {edition(token)}).token

    with pytest.raises(ChangedMeanwhile) as caught:
        tokens.regenerate(token.id, HOUR, NOW, TESTER, {edition(token)})

    assert caught.value.current.hashes == made.hashes
    assert tokens.get(token.id).hashes == made.hashes


def test_open_deliveries_are_counted_up_to_a_limit(database: Database) -> None:
    """Those of these callbacks, and not those that have ended."""
    with database.write() as connection:
        for number in range(6):
            row = {
                "event_id": f"e{number}",
                "callback_id": "c" * 16 if number < 5 else "other",
                "token_id": "t",
                "type": EventType.MESSAGE_RECEIVED.value,
                "state": DeliveryState.PENDING.value,
                "created_at": 1,
                "due_at": 5 if number else None,
                "leased": False,
                "lease": 0,
                "failures": 0,
            }
            connection.execute(sa.insert(deliveries).values(row))

    with database.read() as connection:
        ours = [CallbackId("c" * 16)]
        assert count_open(connection, ours, 100) == 4
        assert count_open(connection, ours, 3) == 3
        assert count_open(connection, [], 100) == 0
