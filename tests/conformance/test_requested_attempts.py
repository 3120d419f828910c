"""Attempts on request, the same on SQLite and PostgreSQL."""

from dataclasses import replace

import msgspec
import pytest
import sqlalchemy as sa

from schemas.deliveries.deliveries import DeliveryState, Trigger
from schemas.deliveries.settlement import Settlement
from schemas.errors import Conflict
from schemas.events.types import EventType
from schemas.ids import CallbackId, EventId, TokenId, delivery_id
from schemas.listings import DeliveryFilter, ListedDelivery
from schemas.times import UnixMs
from schemas.tokens.fields import CallbackFields
from store.deliveries.listing import list_deliveries
from store.deliveries.requested_attempts import (
    request_attempt,
    request_retry,
    request_test,
    result_of_test,
    withdraw_test,
)
from store.deliveries.settlement import settle
from store.engine.database import Database
from store.events import claims
from store.tables import requested_attempts
from store.tokens.tokens import Tokens
from store.tokens.vault import Vault
from tests.kit.making import a_claim, a_delivery, an_event
from tests.kit.statuses import a_status, a_status_claim
from tests.kit.tokens import TESTER, token_fields

RECEIVED, STATUS = EventType.MESSAGE_RECEIVED, EventType.MESSAGE_STATUS
NOW = UnixMs(1_000_000)
VAULT = Vault(["a-key-for-tests-" * 2])
ABSENT = CallbackId("f" * 16)


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
    """All pages of three."""
    rows: list[ListedDelivery] = []
    cursor = None
    while True:
        with database.read() as connection:
            page = list_deliveries(connection, chosen or DeliveryFilter(), 3, cursor)
        rows += page.rows
        if (cursor := page.next_cursor) is None:
            return rows


def test_a_requested_attempt_wakes_the_dispatcher_that_makes_it(database: Database) -> None:
    """One row, due now, and the bell."""
    rung: list[str] = []
    if database.dialect == "sqlite":
        database.subscribe("due", lambda: rung.append("due"))

    with database.write() as connection:
        attempt_id = request_attempt(database, connection, EventId("e1"), ABSENT, Trigger.MANUAL)
        now = database.now(connection)

    with database.read() as connection:
        (row,) = connection.execute(sa.select(requested_attempts)).all()
    assert (row.id, row.event_id, row.callback_id, row.trigger) == (
        attempt_id,
        "e1",
        ABSENT,
        "manual",
    )
    assert row.due_at <= now
    assert rung == (["due"] if database.dialect == "sqlite" else [])


def test_a_test_that_no_dispatcher_took_is_taken_back(
    database: Database, tokens: Tokens, callback_id: CallbackId
) -> None:
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


@pytest.mark.parametrize(("status", "refused"), [("sent", True), ("delivered", False)])
def test_a_status_that_was_overtaken_is_not_retried(
    database: Database, tokens: Tokens, status: str, refused: bool
) -> None:
    """The request is refused: it would never be sent. The one that was sent last may be."""
    created = tokens.create(
        token_fields(), {STATUS: CallbackFields("https://x.example/")}, NOW, TESTER
    ).token
    callback_id = created.callbacks[STATUS].id
    older = msgspec.structs.replace(
        a_status("e1", status, callback_id=callback_id), token_id=created.id
    )
    newer = a_status("e2", "delivered", callback_id=callback_id)
    with database.write() as connection:
        claims.claim(connection, [a_status_claim("e1", status, callback_id=callback_id)], NOW)
        settle(
            connection,
            [
                Settlement(older, DeliveryState.EXHAUSTED, reason="x"),
                Settlement(newer, DeliveryState.DELIVERED),
            ],
            NOW,
        )

    if refused:
        with pytest.raises(Conflict, match="a newer status"):
            request_retry(database, tokens, delivery_id(*older.key))
    else:
        assert request_retry(database, tokens, delivery_id(*older.key))


def test_what_the_token_may_no_longer_see_is_not_retried(
    database: Database, tokens: Tokens, callback_id: CallbackId
) -> None:
    """The refusal says why, and how it could be possible."""
    token_id = tokens_of(database, tokens)
    delivery = msgspec.structs.replace(a_delivery("evt_1", callback_id), token_id=token_id)
    with database.write() as connection:
        claims.claim(connection, [a_claim("evt_1", callback_id)], NOW)
        settle(connection, [Settlement(delivery, DeliveryState.EXHAUSTED, reason="x")], NOW)
    tokens.change(token_id, lambda fields: replace(fields, channels=frozenset()), TESTER)

    with pytest.raises(
        Conflict, match="the token may no longer see this channel: let it see chn_1 again"
    ):
        request_retry(database, tokens, delivery_id(*delivery.key))

    tokens.change(token_id, lambda fields: replace(fields, channels=frozenset({"chn_1"})), TESTER)
    assert request_retry(database, tokens, delivery_id(*delivery.key))


def tokens_of(database: Database, tokens: Tokens) -> TokenId:
    """The only token there is."""
    with database.read() as connection:
        return TokenId(connection.scalar(sa.text("SELECT id FROM tokens")))
