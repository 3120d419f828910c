"""Tokens and callbacks in the store, the same on SQLite and PostgreSQL."""

import datetime as dt
import threading
from dataclasses import replace

import pytest
import sqlalchemy as sa

from schemas.deliveries.deliveries import DeliveryState
from schemas.errors import Conflict, Invalid, NotFound
from schemas.events.types import EventType
from schemas.ids import TokenId
from schemas.times import UnixMs
from schemas.tokens.fields import CallbackFields
from schemas.tokens.permissions import Permission
from schemas.tokens.secrets import signing_key, token_hash
from schemas.tokens.tokens import TokenState
from store.engine.database import Database
from store.tables import callbacks, deliveries, directory_version, requested_attempts
from store.tables import tokens as token_table
from store.tokens import cancellation
from store.tokens.callbacks import Callbacks
from store.tokens.tokens import Tokens
from store.tokens.vault import Vault
from tests.kit.tokens import TESTER, token_fields

RECEIVED = EventType.MESSAGE_RECEIVED
NOW = UnixMs(1_000_000)
HOUR = dt.timedelta(hours=1)
VAULT = Vault(["a-key-for-tests-" * 2])


@pytest.fixture
def tokens(database: Database) -> Tokens:
    return Tokens(database, VAULT)


@pytest.fixture
def token_id(tokens: Tokens) -> TokenId:
    """A token with a callback for received messages."""
    return tokens.create(
        token_fields(),
        {RECEIVED: CallbackFields("https://x.example/1", headers={"X-Key": "v"})},
        NOW,
        TESTER,
    ).token.id


def version(database: Database) -> int:
    with database.read() as connection:
        return connection.scalar(sa.select(directory_version.c.version)) or 0


def add_delivery(
    database: Database, callback_id: str, event_id: str, due_at: int | None = 5
) -> None:
    row = {
        "event_id": event_id,
        "callback_id": callback_id,
        "token_id": "t",
        "type": RECEIVED.value,
        "created_at": 1,
        "due_at": due_at,
    }
    state = DeliveryState.DELIVERED if due_at is None else DeliveryState.PENDING
    with database.write() as connection:
        connection.execute(
            sa.insert(deliveries).values(
                row | {"state": state.value, "leased": True, "lease": 1, "failures": 0}
            )
        )


def states(database: Database) -> dict[str, tuple[str, str | None, int | None]]:
    with database.read() as connection:
        return {
            row.event_id: (row.state, row.reason, row.due_at)
            for row in connection.execute(sa.select(deliveries))
        }


def test_a_token_is_read_back_as_it_was_made(tokens: Tokens) -> None:
    """Whatever the database does to booleans, bytes and lists."""
    fields = replace(
        token_fields("Ünïcode", Permission.EVENTS_PUBLISH, channels=["b", "a"]),
        expires_at=UnixMs(NOW + 5),
    )

    made = tokens.create(
        fields, {RECEIVED: CallbackFields("https://x.example/", headers={"A": "b"})}, NOW, TESTER
    )

    token = tokens.get(made.token.id)
    assert token == made.token
    assert (token.name, token.permissions, token.channels) == (
        "Ünïcode",
        {Permission.EVENTS_PUBLISH},
        {"a", "b"},
    )
    assert (token.created_at, token.activates_at, token.expires_at, token.enabled) == (
        NOW,
        0,
        NOW + 5,
        True,
    )
    assert token.hashes[0].value == token_hash(made.secret)
    assert made.signing_secret
    assert token.signing_keys[0].value == signing_key(made.signing_secret)
    assert (token.callbacks[RECEIVED].url, token.callbacks[RECEIVED].headers) == (
        "https://x.example/",
        {"A": "b"},
    )


def test_no_secret_stands_in_the_database(tokens: Tokens, database: Database) -> None:
    """Neither the token nor the signing secret nor a header's value, in any column."""
    made = tokens.create(
        token_fields(),
        {RECEIVED: CallbackFields("https://x.example/", headers={"A": "hidden-value"})},
        NOW,
        TESTER,
    )

    with database.read() as connection:
        rows = [
            *connection.execute(sa.select(token_table)),
            *connection.execute(sa.select(callbacks)),
        ]

    stored = b"".join(
        bytes(cell) if isinstance(cell, bytes | memoryview) else str(cell).encode()
        for row in rows
        for cell in row
    )
    assert made.signing_secret
    for secret in (made.secret, made.signing_secret.removeprefix("whsec_"), "hidden-value"):
        assert secret.encode() not in stored
    assert signing_key(made.signing_secret) not in stored


def test_a_signing_secret_copied_to_another_token_does_not_open(
    tokens: Tokens, database: Database
) -> None:
    """Encrypted secrets are bound to their row."""
    first, second = (tokens.create(token_fields(), {}, NOW, TESTER).token.id for _ in range(2))

    with database.write() as connection:
        stolen = (
            sa.select(token_table.c.signing_secrets)
            .where(token_table.c.id == first)
            .scalar_subquery()
        )
        connection.execute(
            sa.update(token_table).where(token_table.c.id == second).values(signing_secrets=stolen)
        )

    assert tokens.get(first).is_readable
    assert not tokens.get(second).is_readable


def test_every_change_raises_the_version_and_stamps_the_token(
    tokens: Tokens, token_id: TokenId, database: Database
) -> None:
    """Other processes learn of a change by this number alone."""
    held = Callbacks(database, VAULT)
    changes = [
        lambda: tokens.change(token_id, lambda fields: replace(fields, name="other"), TESTER),
        lambda: tokens.regenerate(token_id, HOUR, NOW, TESTER),
        lambda: tokens.rotate_signing_secret(token_id, HOUR, NOW, TESTER),
        lambda: held.put(token_id, RECEIVED, CallbackFields("https://x.example/2"), TESTER),
        lambda: held.delete(token_id, RECEIVED, TESTER),
        lambda: tokens.revoke(token_id, NOW, TESTER),
    ]
    for change in changes:
        before = version(database)

        change()

        with database.read() as connection:
            stamped = connection.scalar(
                sa.select(token_table.c.version).where(token_table.c.id == token_id)
            )
        assert stamped == version(database) == before + 1


def test_a_change_that_is_refused_changes_nothing(
    tokens: Tokens, token_id: TokenId, database: Database
) -> None:
    """Not even the version: its transaction is undone."""
    before, known = version(database), tokens.get(token_id)

    with pytest.raises(Invalid) as refused:
        tokens.change(
            token_id, lambda fields: replace(fields, name="", expires_at=UnixMs(0)), TESTER
        )

    assert [fault.pointer for fault in refused.value.faults] == ["/name", "/expires_at"]
    assert (version(database), tokens.get(token_id)) == (before, known)


def test_two_changes_at_once_do_not_undo_each_other(tokens: Tokens, token_id: TokenId) -> None:
    """Each edits what the one before left, under the lock."""
    threads = [
        threading.Thread(
            target=tokens.change,
            args=(
                token_id,
                lambda fields, more=more: replace(fields, permissions=fields.permissions | {more}),
                TESTER,
            ),
        )
        for more in (Permission.STATS_READ, Permission.DATA_EXPORT, Permission.MESSAGES_SEND)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert tokens.get(token_id).permissions == {
        Permission.STATS_READ,
        Permission.DATA_EXPORT,
        Permission.MESSAGES_SEND,
    }


def test_a_callback_keeps_its_id_when_its_url_changes(
    tokens: Tokens, token_id: TokenId, database: Database
) -> None:
    """Its deliveries are its own, wherever they go next. What is not given stays: the headers
    cannot be read again.
    """
    before = tokens.get(token_id).callbacks[RECEIVED]

    after = Callbacks(database, VAULT).put(
        token_id, RECEIVED, CallbackFields("https://x.example/2", enabled=False), TESTER
    )

    assert (after.id, after.url, after.enabled, after.headers) == (
        before.id,
        "https://x.example/2",
        False,
        before.headers,
    )


def test_deleting_a_callback_cancels_its_open_deliveries_and_no_others(
    tokens: Tokens, token_id: TokenId, database: Database
) -> None:
    """With the reason, and never to come due again; what was delivered stays delivered."""
    callback_id = tokens.get(token_id).callbacks[RECEIVED].id
    add_delivery(database, callback_id, "open")
    add_delivery(database, callback_id, "done", due_at=None)
    add_delivery(database, "f" * 16, "other")

    cancelled = Callbacks(database, VAULT).delete(token_id, RECEIVED, TESTER)

    assert cancelled == 1
    assert states(database) == {
        "open": ("cancelled", "the callback was deleted", None),
        "done": ("delivered", None, None),
        "other": ("pending", None, 5),
    }
    with pytest.raises(NotFound):
        Callbacks(database, VAULT).get(token_id, RECEIVED)


def test_revoking_cancels_more_than_one_slice(
    tokens: Tokens, token_id: TokenId, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However great the backlog: no transaction outlasts the statement timeout, and nothing is left
    open.
    """
    monkeypatch.setattr(cancellation, "SLICE", 2)
    callback_id = tokens.get(token_id).callbacks[RECEIVED].id
    for number in range(5):
        add_delivery(database, callback_id, f"e{number}")
    with database.write() as connection:
        asked = {
            "id": "att_1",
            "event_id": "e1",
            "callback_id": callback_id,
            "trigger": "manual",
            "due_at": 1,
        }
        connection.execute(sa.insert(requested_attempts).values(asked))

    cancelled = tokens.revoke(token_id, NOW, TESTER)

    assert cancelled == {RECEIVED: 5}
    assert set(states(database).values()) == {("cancelled", "the token was revoked", None)}
    with database.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(requested_attempts)) == 0


def test_a_revoked_token_is_revoked_for_good(
    tokens: Tokens, token_id: TokenId, database: Database
) -> None:
    """Nothing brings it back, and revoking it again is no error."""
    tokens.revoke(token_id, NOW, TESTER)

    assert tokens.get(token_id).state(NOW) is TokenState.REVOKED
    assert tokens.revoke(token_id, UnixMs(NOW + 1), TESTER) == {}
    assert tokens.get(token_id).revoked_at == NOW
    with pytest.raises(Conflict):
        tokens.change(token_id, lambda fields: fields, TESTER)
    with pytest.raises(Conflict):
        Callbacks(database, VAULT).put(
            token_id, RECEIVED, CallbackFields("https://x.example/"), TESTER
        )


def test_a_token_that_is_not_there_is_not_found(tokens: Tokens, database: Database) -> None:
    """By whatever way it is asked for."""
    absent = TokenId("tok_absent")
    for ask in (
        lambda: tokens.get(absent),
        lambda: tokens.change(absent, lambda fields: fields, TESTER),
        lambda: tokens.revoke(absent, NOW, TESTER),
        lambda: Callbacks(database, VAULT).delete(absent, RECEIVED, TESTER),
    ):
        with pytest.raises(NotFound):
            ask()
