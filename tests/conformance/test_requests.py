"""Attempts that somebody asks for, the same on SQLite and PostgreSQL."""

import pytest
import sqlalchemy as sa

from schemas.deliveries import DeliveryState, Trigger
from schemas.event_types import EventType
from schemas.ids import CallbackId, EventId, TokenId
from schemas.listings import DeliveryFilter, ListedDelivery
from schemas.times import UnixMs
from schemas.token_fields import CallbackFields
from store.database import Database
from store.delivery_listings import list_deliveries
from store.requests import request_attempt, request_test, result_of_test, withdraw_test
from store.tables import requested_attempts
from store.tokens import Tokens
from store.vault import Vault
from tests.kit.making import an_event
from tests.kit.tokens import token_fields

RECEIVED = EventType.MESSAGE_RECEIVED
NOW = UnixMs(1_000_000)
VAULT = Vault(["a-key-for-tests-" * 2])
ABSENT = CallbackId("f" * 16)


@pytest.fixture
def tokens(database: Database) -> Tokens:
    return Tokens(database, VAULT)


@pytest.fixture
def callback_id(tokens: Tokens) -> CallbackId:
    """Of a token that is active."""
    return tokens.create(token_fields(), {RECEIVED: CallbackFields("https://x.example/")}, NOW).token.callbacks[RECEIVED].id


def listed(database: Database, chosen: DeliveryFilter | None = None) -> list[ListedDelivery]:
    """All pages of three."""
    rows: list[ListedDelivery] = []
    cursor = None
    while True:
        with database.read() as connection:
            page = list_deliveries(connection, chosen or DeliveryFilter(), 3, cursor)
        rows += page.rows
        if (cursor := page.next_cursor) is None:
            return rows


def test_an_attempt_that_is_asked_for_wakes_whoever_makes_it(database: Database) -> None:
    """One row, due now, and the bell."""
    rung: list[str] = []
    if database.dialect == "sqlite":
        database.on_ring("due", lambda: rung.append("due"))

    with database.write() as connection:
        attempt_id = request_attempt(database, connection, EventId("e1"), ABSENT, Trigger.MANUAL)
        now = database.now(connection)

    with database.read() as connection:
        (row,) = connection.execute(sa.select(requested_attempts)).all()
    assert (row.id, row.event_id, row.callback_id, row.trigger) == (attempt_id, "e1", ABSENT, "manual")
    assert row.due_at <= now
    assert rung == (["due"] if database.dialect == "sqlite" else [])


def test_a_test_that_nobody_took_is_taken_back(database: Database, tokens: Tokens, callback_id: CallbackId) -> None:
    """A dispatcher that starts tomorrow must not send it."""
    callback = tokens.get(tokens_of(database, tokens)).callbacks[RECEIVED]
    event = an_event("evt_test_1")
    attempt_id = request_test(database, event, callback, NOW)
    assert result_of_test(database, event.id, callback_id, attempt_id) is None

    withdraw_test(database, event.id, callback_id, attempt_id)

    (row,) = listed(database)
    assert (row.state, row.reason) == (DeliveryState.CANCELLED, "no dispatcher took the test")
    with database.read() as connection:
        assert connection.execute(sa.select(requested_attempts)).all() == []


def tokens_of(database: Database, tokens: Tokens) -> TokenId:
    """The only token there is."""
    with database.read() as connection:
        return TokenId(connection.scalar(sa.text("SELECT id FROM tokens")))
