"""Tokens whose secrets cannot be read, by a process without their key: on SQLite and PostgreSQL."""

import datetime as dt
from dataclasses import replace

import msgspec
import pytest

from schemas.deliveries.deliveries import DeliveryState
from schemas.deliveries.settlement import Settlement
from schemas.errors import Conflict
from schemas.events.types import EventType
from schemas.ids import EventId, delivery_id
from schemas.times import UnixMs
from schemas.tokens.fields import CallbackFields
from schemas.tokens.tokens import TokenState
from store.deliveries import settlement
from store.deliveries.requested_attempts import request_retry
from store.engine.database import Database
from store.events import claims
from store.tokens.callbacks import Callbacks
from store.tokens.listing import TokenFilter, list_tokens
from store.tokens.tokens import Tokens
from store.tokens.vault import Vault
from tests.kit.making import a_claim, a_delivery
from tests.kit.tokens import TESTER, token_fields

RECEIVED = EventType.MESSAGE_RECEIVED
NOW = UnixMs(1_000_000)
URL = "https://x.example/1"
OTHER = Vault(["another-key-for-tests"])


@pytest.fixture
def tokens(database: Database) -> Tokens:
    return Tokens(database, Vault(["a-key-for-tests-" * 2]))


def test_a_token_whose_secrets_do_not_open_can_be_looked_at_and_ended(
    database: Database, tokens: Tokens
) -> None:
    """By a process without their key: otherwise it would break the list,
    and could not be removed.
    """
    token_id = tokens.create(
        token_fields("ACME CRM"),
        {RECEIVED: CallbackFields(URL, headers={"X-Key": "v"})},
        NOW,
        TESTER,
    ).token.id
    keyless = Tokens(database, OTHER)

    shown = keyless.get(token_id)
    with database.read() as connection:
        listed = list_tokens(connection, OTHER, TokenFilter(), NOW, 10).rows

    assert [(token.name, token.is_readable) for token in (shown, *listed)] == [
        ("ACME CRM", False)
    ] * 2
    assert (shown.callbacks[RECEIVED].url, shown.callbacks[RECEIVED].enabled) == (URL, True)
    assert (
        keyless.change(token_id, lambda fields: replace(fields, enabled=False), TESTER).state(NOW)
        is TokenState.SUSPENDED
    )
    keyless.revoke(token_id, NOW, TESTER)
    assert tokens.get(token_id).state(NOW) is TokenState.REVOKED


def test_secrets_that_do_not_open_are_neither_shown_nor_replaced(
    database: Database, tokens: Tokens
) -> None:
    """A process with the wrong key must not take from the others what they can read; and why is
    said.
    """
    token_id = tokens.create(token_fields(), {RECEIVED: CallbackFields(URL)}, NOW, TESTER).token.id
    keyless = Tokens(database, OTHER)

    for call in (
        lambda: keyless.signing_secret(token_id, TESTER),
        lambda: keyless.rotate_signing_secret(token_id, dt.timedelta(0), NOW, TESTER),
        lambda: Callbacks(database, OTHER).get(token_id, RECEIVED),
    ):
        with pytest.raises(Conflict, match="RINGBACK_SECRET_KEY lacks the key"):
            call()
    assert tokens.get(token_id).is_readable


def test_no_attempt_is_requested_that_cannot_be_signed(database: Database, tokens: Tokens) -> None:
    """It would wait for ever, after an answer that said it was made now."""
    token = tokens.create(token_fields(), {RECEIVED: CallbackFields(URL)}, NOW, TESTER).token
    callback_id = token.callbacks[RECEIVED].id
    delivery = msgspec.structs.replace(a_delivery("evt_1", callback_id), token_id=token.id)
    with database.write() as connection:
        claims.claim(connection, [a_claim("evt_1", callback_id)], NOW)
        settlement.settle(connection, [Settlement(delivery, DeliveryState.EXHAUSTED)], NOW)

    with pytest.raises(Conflict, match="RINGBACK_SECRET_KEY lacks the key"):
        request_retry(database, Tokens(database, OTHER), delivery_id(EventId("evt_1"), callback_id))
