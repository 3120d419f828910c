"""The operation log: what is written of each change of a token, in its transaction; on SQLite and
on PostgreSQL.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace

import pytest
import sqlalchemy as sa

from schemas.deliveries.callback_health import HealthFinding
from schemas.errors import Conflict, Invalid
from schemas.events.types import EventType
from schemas.ids import TokenId
from schemas.times import UnixMs
from schemas.tokens.audit_log import Actor, Change
from schemas.tokens.fields import CallbackFields
from schemas.tokens.permissions import Permission
from schemas.tokens.secrets import signing_secret_text
from schemas.tokens.tokens import OnResume
from store.engine.database import Database
from store.tables import audit_log as change_table
from store.tokens import audit_log
from store.tokens.audit_log import list_changes
from store.tokens.callbacks import Callbacks
from store.tokens.tokens import Tokens
from store.tokens.vault import Vault
from tests.kit.tokens import TESTER, token_fields
from tests.kit.waiting_rows import Patient

RECEIVED = EventType.MESSAGE_RECEIVED
NOW = UnixMs(1_000_000)
AT, IN_AN_HOUR = "1970-01-01T00:16:40.000Z", "1970-01-01T01:16:40.000Z"
HOUR, NONE = dt.timedelta(hours=1), dt.timedelta(0)
URL = "https://x.example/1?key=k"
MASKED = "https://x.example/1?key=***"
VAULT = Vault(["a-key-for-tests-" * 2])


@pytest.fixture
def tokens(database: Database) -> Tokens:
    return Tokens(database, VAULT)


@pytest.fixture
def callbacks(database: Database) -> Callbacks:
    return Callbacks(database, VAULT)


@pytest.fixture
def token_id(tokens: Tokens) -> TokenId:
    """A token with a callback for received messages."""
    return tokens.create(
        token_fields(), {RECEIVED: CallbackFields(URL, headers={"X-Key": "hidden"})}, NOW, TESTER
    ).token.id


def written(database: Database, token_id: TokenId, limit: int = 100) -> list[Change]:
    """The token's log, oldest first."""
    with database.read() as connection:
        return list_changes(connection, token_id, limit).rows[::-1]


def of(change: Change) -> tuple[str, dict[str, tuple[object, object]]]:
    return change.action, dict(change.details)


def test_a_new_token_is_written_down_with_what_it_was_made_of(
    database: Database, token_id: TokenId
) -> None:
    """Who gave it which rights from the beginning; each of its callbacks has a row of its own, as
    later too.
    """
    made, callback = written(database, token_id)

    assert (made.at, made.actor, made.type) == (NOW, TESTER, None)
    assert of(made) == (
        "created",
        {
            "name": (None, "ACME CRM"),
            "activates_at": (None, "1970-01-01T00:00:00.000Z"),
            "enabled": (None, True),
            "permissions": (None, []),
            "visibility": (None, {"channels": None}),
        },
    )
    assert callback.type is RECEIVED
    assert of(callback) == (
        "callback_set",
        {
            "url": (None, MASKED),
            "enabled": (None, True),
            "state": (None, "healthy"),
            "held": (None, "release"),
            "header_names": (None, ["X-Key"]),
        },
    )


def test_a_change_is_written_down_with_what_each_field_was_and_became(
    tokens: Tokens, token_id: TokenId, database: Database
) -> None:
    """Fields that stayed are not in it."""
    tokens.change(
        token_id,
        lambda fields: replace(
            fields,
            name="other",
            expires_at=NOW,
            permissions=frozenset({Permission.STATS_READ}),
            channels=frozenset({"b", "a"}),
        ),
        Actor("tok_admin", "192.0.2.7"),
    )

    change = written(database, token_id)[-1]
    assert change.actor == Actor("tok_admin", "192.0.2.7")
    assert of(change) == (
        "changed",
        {
            "name": ("ACME CRM", "other"),
            "expires_at": (None, AT),
            "permissions": ([], ["stats:read"]),
            "visibility": ({"channels": None}, {"channels": ["a", "b"]}),
        },
    )


def test_suspending_and_resuming_are_actions_of_their_own(
    tokens: Tokens, token_id: TokenId, database: Database
) -> None:
    """This holds where one request does both, too: who looks for when a supplier was cut off finds
    it by its name.
    """
    tokens.change(token_id, lambda fields: replace(fields, enabled=False, name="other"), TESTER)
    tokens.change(token_id, lambda fields: replace(fields, enabled=True), TESTER)

    assert [of(change) for change in written(database, token_id)[2:]] == [
        ("suspended", {"enabled": (True, False)}),
        ("changed", {"name": ("ACME CRM", "other")}),
        ("resumed", {"enabled": (False, True)}),
    ]


def test_replaced_secrets_are_written_down_with_how_long_the_old_ones_count(
    tokens: Tokens, token_id: TokenId, database: Database
) -> None:
    """The first question after a leak: since when is the old one good for nothing?"""
    first = tokens.get(token_id)
    second = tokens.regenerate(token_id, HOUR, NOW, TESTER).token
    third = tokens.regenerate(token_id, NONE, NOW, TESTER).token
    tokens.rotate_signing_secret(token_id, HOUR, NOW, TESTER)

    assert [of(change) for change in written(database, token_id)[2:]] == [
        (
            "regenerated",
            {"token_hint": (first.hint, second.hint), "previous_until": (None, IN_AN_HOUR)},
        ),
        (
            "regenerated",
            {"token_hint": (second.hint, third.hint), "previous_until": (IN_AN_HOUR, None)},
        ),
        ("signing_secret_rotated", {"previous_until": (None, IN_AN_HOUR)}),
    ]


def test_a_rotation_that_tells_nothing_is_written_down_all_the_same(
    tokens: Tokens, token_id: TokenId, database: Database
) -> None:
    """Without overlap there is no field to show, but it was done."""
    tokens.rotate_signing_secret(token_id, NONE, NOW, TESTER)

    assert of(written(database, token_id)[-1]) == ("signing_secret_rotated", {})


def test_who_saw_the_signing_secret_is_written_down(
    tokens: Tokens, token_id: TokenId, database: Database
) -> None:
    """He can sign from now on."""
    tokens.signing_secret(token_id, Actor("tok_admin", "192.0.2.7"))

    change = written(database, token_id)[-1]
    assert (change.action, change.actor) == (
        "signing_secret_shown",
        Actor("tok_admin", "192.0.2.7"),
    )


def test_a_signing_secret_is_not_shown_when_that_cannot_be_written_down(
    tokens: Tokens, token_id: TokenId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No one sees one without leaving a trace."""

    def fail(*_: object) -> None:
        raise RuntimeError("full")

    monkeypatch.setattr(audit_log, "record", fail)
    with pytest.raises(RuntimeError):
        tokens.signing_secret(token_id, TESTER)


def test_a_change_that_cannot_be_written_down_is_not_made(
    tokens: Tokens, callbacks: Callbacks, token_id: TokenId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One transaction for both."""

    def fail(*_: object) -> None:
        raise RuntimeError("full")

    before = tokens.get(token_id)
    monkeypatch.setattr(audit_log, "record", fail)
    doings: list[Callable[[], object]] = [
        lambda: tokens.change(token_id, lambda fields: replace(fields, name="other"), TESTER),
        lambda: tokens.revoke(token_id, NOW, TESTER),
        lambda: tokens.regenerate(token_id, NONE, NOW, TESTER),
        lambda: tokens.rotate_signing_secret(token_id, NONE, NOW, TESTER),
        lambda: callbacks.put(token_id, RECEIVED, CallbackFields("https://other.example/"), TESTER),
        lambda: callbacks.delete(token_id, RECEIVED, TESTER),
    ]

    for do in doings:
        with pytest.raises(RuntimeError):
            do()

    assert tokens.get(token_id) == before


def test_revoking_is_written_down_once(
    tokens: Tokens, token_id: TokenId, database: Database
) -> None:
    """Revoking again does nothing, and what is refused afterwards neither."""
    tokens.revoke(token_id, NOW, TESTER)
    tokens.revoke(token_id, NOW, TESTER)
    with pytest.raises(Conflict):
        tokens.change(token_id, lambda fields: replace(fields, name="other"), TESTER)

    assert [of(change) for change in written(database, token_id)[2:]] == [
        ("revoked", {"state": ("active", "revoked")})
    ]


def test_what_changes_nothing_is_not_written_down(
    tokens: Tokens, callbacks: Callbacks, token_id: TokenId, database: Database
) -> None:
    """A program that sends the same every hour must not hide what happened."""
    tokens.change(token_id, lambda fields: fields, TESTER)
    callbacks.put(
        token_id, RECEIVED, CallbackFields(URL, True, {"X-Key": "hidden"}, OnResume.RELEASE), TESTER
    )
    with pytest.raises(Invalid):
        tokens.change(token_id, lambda fields: replace(fields, name=""), TESTER)

    assert len(written(database, token_id)) == 2


def test_changes_of_a_callback_are_written_down_by_its_type(
    callbacks: Callbacks, token_id: TokenId, database: Database
) -> None:
    """Only the names of headers are written down. Where only their values were replaced, the same
    names appear twice.
    """
    callbacks.put(token_id, RECEIVED, CallbackFields("https://x.example/2", enabled=False), TESTER)
    callbacks.put(
        token_id,
        RECEIVED,
        CallbackFields("https://x.example/2", headers={"X-Key": "another"}),
        TESTER,
    )
    callbacks.delete(token_id, RECEIVED, TESTER)

    assert [change.type for change in written(database, token_id)[2:]] == [RECEIVED] * 3
    assert [of(change) for change in written(database, token_id)[2:]] == [
        (
            "callback_set",
            {
                "url": (MASKED, "https://x.example/2"),
                "enabled": (True, False),
                "state": ("healthy", "off"),
            },
        ),
        ("callback_set", {"header_names": (["X-Key"], ["X-Key"])}),
        (
            "callback_deleted",
            {
                "url": ("https://x.example/2", None),
                "enabled": (False, None),
                "state": ("off", None),
                "held": ("release", None),
                "header_names": (["X-Key"], None),
            },
        ),
    ]


def test_a_key_in_a_url_is_masked_in_the_log(
    callbacks: Callbacks, token_id: TokenId, database: Database
) -> None:
    """That it was replaced is written down, as it is of headers."""
    callbacks.put(token_id, RECEIVED, CallbackFields("https://x.example/1?key=other"), TESTER)

    assert of(written(database, token_id)[-1]) == ("callback_set", {"url": (MASKED, MASKED)})


def test_headers_that_could_not_be_read_are_written_down_as_replaced(
    token_id: TokenId, database: Database
) -> None:
    """By a process without their key: it cannot tell what they were, and must not say that there
    were none.
    """
    Callbacks(database, Vault(["another-key-for-tests"])).put(
        token_id, RECEIVED, CallbackFields(URL, headers={"X-New": "v"}), TESTER
    )

    assert of(written(database, token_id)[-1]) == (
        "callback_set",
        {"header_names": (None, ["X-New"])},
    )


def test_what_ringback_itself_disables_is_written_down(database: Database) -> None:
    """An administrator who wonders why nothing arrives any more looks here. What comes and goes on
    its own is in metrics and alerts.
    """
    patient = Patient(database)
    patient.found(HealthFinding.FAILING, NOW)
    patient.found(HealthFinding.USELESS, NOW, reason="gone")
    patient.put(enabled=True)

    disabled, enabled = written(database, patient.token_id)[2:]
    assert (disabled.at, disabled.actor, disabled.type) == (NOW, Actor("ringback"), RECEIVED)
    assert of(disabled) == (
        "callback_disabled",
        {"state": ("failing", "disabled"), "disabled_reason": (None, "gone")},
    )
    assert of(enabled) == ("callback_set", {"state": ("disabled", "healthy")})


def test_no_secret_is_in_the_log(tokens: Tokens, callbacks: Callbacks, database: Database) -> None:
    """Neither the token nor its hash, nor signing secrets, nor a header's value."""
    made = tokens.create(
        token_fields(), {RECEIVED: CallbackFields(URL, headers={"A": "hidden-1"})}, NOW, TESTER
    )
    token_id = made.token.id
    callbacks.put(token_id, RECEIVED, CallbackFields(URL, headers={"A": "hidden-2"}), TESTER)
    again = tokens.regenerate(token_id, HOUR, NOW, TESTER)
    tokens.rotate_signing_secret(token_id, HOUR, NOW, TESTER)
    tokens.signing_secret(token_id, TESTER)
    callbacks.delete(token_id, RECEIVED, TESTER)

    with database.read() as connection:
        stored = str(connection.execute(sa.select(change_table)).all())

    keys = [
        signing_secret_text(key.value).removeprefix("whsec_")
        for key in tokens.get(token_id).signing_keys
    ]
    hashes = [digest.value.hex() for digest in tokens.get(token_id).hashes]
    assert len(keys) == len(hashes) == 2
    assert not [
        secret
        for secret in (made.secret, again.secret, "hidden-1", "hidden-2", *keys, *hashes)
        if secret in stored
    ]


def test_the_log_is_read_in_pages_from_its_end(
    tokens: Tokens, token_id: TokenId, database: Database
) -> None:
    """Each row once, and none of another token."""
    other = tokens.create(token_fields("other"), {}, NOW, TESTER).token.id
    for number in range(5):
        tokens.change(
            token_id, lambda fields, number=number: replace(fields, name=f"name {number}"), TESTER
        )
        tokens.change(
            other, lambda fields, number=number: replace(fields, name=f"other {number}"), TESTER
        )
    names, cursor = [], None

    while True:
        with database.read() as connection:
            page = list_changes(connection, token_id, 3, cursor)
        names += [change.details["name"][1] for change in page.rows if "name" in change.details]
        if (cursor := page.next_cursor) is None:
            break

    assert names == ["name 4", "name 3", "name 2", "name 1", "name 0", "ACME CRM"]


def test_a_token_that_changed_another_is_called_by_its_name(
    tokens: Tokens, token_id: TokenId, database: Database
) -> None:
    """An id alone does not say who it was."""
    admin = tokens.create(token_fields("provisioning"), {}, NOW, TESTER).token.id
    tokens.change(token_id, lambda fields: replace(fields, name="other"), Actor(admin))

    assert [change.by_name for change in written(database, token_id)] == [
        None,
        None,
        "provisioning",
    ]


def test_a_person_that_changed_a_token_is_called_by_the_address(
    tokens: Tokens, token_id: TokenId, database: Database
) -> None:
    """Programs that show `by_name` need not know how people differ from tokens."""
    person = Actor.person("ann@example.com", "192.0.2.7")
    tokens.change(token_id, lambda fields: replace(fields, name="other"), person)

    change = written(database, token_id)[-1]
    assert (change.actor.by, change.by_name) == ("user:ann@example.com", "ann@example.com")
    assert change.actor == person
