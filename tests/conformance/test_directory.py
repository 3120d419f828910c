"""The directory follows the store, keeps what it knows while the store is away, and says which it
is.
"""

import contextlib
from dataclasses import replace
from typing import TypeVar

import pytest
import sqlalchemy as sa

from schemas.deliveries.callback_health import HealthFinding, HealthReport
from schemas.errors import StoreUnavailable
from schemas.events.types import EventType
from schemas.log_events import LogEvent
from schemas.times import UnixMs
from schemas.tokens.fields import CallbackFields
from schemas.tokens.secrets import new_token, token_hash
from schemas.tokens.tokens import CallbackState, TokenState
from store import tables
from store.directory.directory import FRESH_S, Directory
from store.engine.database import Database
from store.tables import directory_version
from store.tokens import callback_health
from store.tokens.callbacks import Callbacks
from store.tokens.rows import raise_version
from store.tokens.tokens import Tokens
from store.tokens.vault import Vault
from tests.kit.notes import Notes
from tests.kit.tokens import TESTER, token_fields
from tests.kit.waiting import wait_for

RECEIVED = EventType.MESSAGE_RECEIVED
NOW = UnixMs(1_000_000)
VAULT = Vault(["a-key-for-tests-" * 2])
_DAMAGED = b"not what was sealed"
_Value = TypeVar("_Value")
CALLBACK = {RECEIVED: CallbackFields("https://x.example/")}


class HandClock:
    """Time that moves when the test says so."""

    def __init__(self) -> None:
        self.at_s = 100.0

    def __call__(self) -> float:
        return self.at_s


@pytest.fixture
def tokens(database: Database) -> Tokens:
    return Tokens(database, VAULT)


def test_a_started_directory_learns_of_changes_by_itself(
    directory: Directory, tokens: Tokens, database: Database
) -> None:
    """Made, changed, revoked: each reaches those who match and authenticate, without anybody asking
    the store.
    """
    directory.start()
    made = tokens.create(token_fields(channels=["ch1"]), CALLBACK, NOW, TESTER)
    digest = token_hash(made.secret)

    wait_for("the new token", lambda: directory.snapshot.by_hash(digest, NOW))
    assert [callback.url for _, callback in directory.match(RECEIVED, "ch1")] == [
        "https://x.example/"
    ]
    assert directory.match(RECEIVED, "ch2") == []

    Callbacks(database, VAULT).put(
        made.token.id, RECEIVED, CallbackFields("https://y.example/"), TESTER
    )
    wait_for(
        "the new URL", lambda: directory.match(RECEIVED, "ch1")[0][1].url == "https://y.example/"
    )

    tokens.revoke(made.token.id, NOW, TESTER)
    wait_for("the end of it", lambda: not directory.match(RECEIVED, "ch1"))


def test_only_what_changed_is_loaded(directory: Directory, tokens: Tokens) -> None:
    """With 50,000 tokens a change must not cost 50,000 decryptions: what did not change is the very
    same object.
    """
    first, second = (
        tokens.create(token_fields(), CALLBACK, NOW, TESTER).token.id for _ in range(2)
    )
    directory.refresh()
    kept = directory.token(first)

    tokens.change(second, lambda fields: replace(fields, name="changed"), TESTER)
    directory.refresh()

    assert directory.token(first) is kept
    changed = directory.token(second)
    assert changed
    assert changed.name == "changed"


def test_a_token_made_a_moment_ago_is_known_when_it_is_first_used(
    directory: Directory, tokens: Tokens
) -> None:
    """The store is asked before anybody is refused."""
    directory.refresh()
    made = tokens.create(token_fields(), {}, NOW, TESTER)

    holder = directory.holder(made.secret, NOW)

    assert holder == made.token


def test_a_token_revoked_long_ago_is_known_by_its_name(
    directory: Directory, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory holds only the last ones; the calls of the others are refused for that reason too, and
    logged as theirs.
    """
    monkeypatch.setattr("store.directory.snapshot.REVOKED_KEPT", 1)
    made = [tokens.create(token_fields(), CALLBACK, NOW, TESTER) for _ in range(3)]
    directory.refresh()
    for one in made:
        tokens.revoke(one.token.id, NOW, TESTER)
    directory.refresh()
    assert [directory.known(one.secret, NOW) is not None for one in made] == [False, False, True]

    for one in made:
        holder = directory.holder(one.secret, NOW)
        assert holder
        assert (holder.id, holder.state(NOW)) == (one.token.id, TokenState.REVOKED)
        assert directory.known(one.secret, NOW) == holder
    assert directory.match(RECEIVED, "ch1") == []


def test_an_unknown_token_is_looked_up_once(directory: Directory, database: Database) -> None:
    """A client that keeps using a wrong token must not cost a query each time."""
    wrong = new_token()
    assert directory.holder(wrong, NOW) is None

    with database.write() as connection:
        connection.execute(sa.text("ALTER TABLE directory_version RENAME TO hidden"))

    assert directory.holder(wrong, NOW) is None
    assert directory.holder("rbk_" + "0" * 36, NOW) is None, (
        "a wrong checksum never reaches the store"
    )


def test_a_directory_is_fresh_as_long_as_its_last_good_poll_began_lately(
    database: Database,
) -> None:
    """Beyond that nothing may be attempted, because a revocation may have been missed
    (docs/invariants.md#only-fresh-knowledge-sends).
    """
    clock = HandClock()
    directory = Directory(database, VAULT, Notes(), clock=clock)
    assert not directory.fresh(), "nothing was ever read"

    directory.refresh()
    clock.at_s += FRESH_S - 0.001
    assert directory.fresh()
    clock.at_s += 0.002

    assert not directory.fresh()
    directory.close()


def put(database: Database, column: sa.Column[_Value], row_id: str, value: _Value) -> _Value:
    """Write into one row, as a change that every directory loads. What was there before."""
    with database.write() as connection:
        version = raise_version(connection)
        before = connection.scalar(sa.select(column).where(column.table.c.id == row_id))
        connection.execute(
            sa.update(column.table).where(column.table.c.id == row_id).values({column.name: value})
        )
        connection.execute(sa.update(tables.tokens).values(version=version))
    assert before is not None
    return before


@pytest.mark.parametrize("of", ["signing secrets", "headers"])
def test_a_secret_that_does_not_open_costs_only_its_token(
    directory: Directory, tokens: Tokens, database: Database, of: str
) -> None:
    """Its events are kept for it as for a callback that is off; all others are called, and it
    authenticates.
    """
    whole, broken = (
        tokens.create(token_fields(), CALLBACK, NOW, TESTER),
        tokens.create(token_fields(), CALLBACK, NOW, TESTER),
    )
    column, row_id = tables.tokens.c.signing_secrets, str(broken.token.id)
    if of == "headers":
        column, row_id = tables.callbacks.c.headers, str(broken.token.callbacks[RECEIVED].id)
    put(database, column, row_id, _DAMAGED)

    directory.start()

    assert directory.fresh()
    matched = {
        token.id: (len(token.signing_keys), callback.enabled)
        for token, callback in directory.match(RECEIVED, "ch1")
    }
    assert matched == {whole.token.id: (1, True), broken.token.id: (0, False)}
    holder = directory.holder(broken.secret, NOW)
    assert holder
    assert holder.id == broken.token.id


def test_a_secret_that_does_not_open_is_reported_once_and_heals(
    database: Database, tokens: Tokens
) -> None:
    """Many changes may make us load it again: one line by its id,
    until it opens and breaks again.
    """
    token_id = tokens.create(token_fields(), CALLBACK, NOW, TESTER).token.id
    sealed = put(database, tables.tokens.c.signing_secrets, token_id, _DAMAGED)
    notes = Notes()
    directory = Directory(database, VAULT, notes)

    for _ in range(3):
        directory.refresh()
        put(database, tables.tokens.c.signing_secrets, token_id, _DAMAGED)
    assert notes.said == [LogEvent.TOKEN_UNREADABLE]
    assert notes.notes[0][1]["token"] == token_id

    put(database, tables.tokens.c.signing_secrets, token_id, sealed)
    directory.refresh()
    (matched,) = directory.match(RECEIVED, "ch1")
    assert matched == (tokens.get(token_id), tokens.get(token_id).callbacks[RECEIVED])
    put(database, tables.tokens.c.signing_secrets, token_id, _DAMAGED)
    directory.refresh()
    assert len(notes.said) == 2
    directory.close()


def test_with_the_wrong_key_everything_is_held_and_nothing_lost(
    database: Database, tokens: Tokens
) -> None:
    """Its deliveries become rows that a process with the right key takes."""
    tokens.create(token_fields(), CALLBACK, NOW, TESTER)
    directory = Directory(database, Vault(["another-key-for-tests" * 2]), Notes())

    directory.start()

    assert directory.fresh()
    assert [callback.enabled for _, callback in directory.match(RECEIVED, "ch1")] == [False]
    directory.close()


def test_whatever_cannot_be_read_is_no_other_error_than_a_store_that_is_away(
    database: Database, tokens: Tokens
) -> None:
    """Who asks in the middle of a claim gives it up and tries again;
    the thread that polls goes on.
    """
    token_id = tokens.create(token_fields(), CALLBACK, NOW, TESTER).token.id
    whole = put(database, tables.tokens.c.permissions, token_id, "no JSON")
    notes = Notes()
    directory = Directory(database, VAULT, notes)
    directory.start()

    with pytest.raises(StoreUnavailable):
        directory.refresh()
    assert not directory.fresh()

    put(database, tables.tokens.c.permissions, token_id, whole)
    wait_for("it to go on", directory.fresh)
    assert notes.said == [LogEvent.STORE_UNAVAILABLE, LogEvent.STORE_AVAILABLE]
    directory.close()


@pytest.mark.parametrize("before", range(3))
def test_tokens_that_changed_together_are_loaded_wherever_a_page_ends(
    directory: Directory,
    tokens: Tokens,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    before: int,
) -> None:
    """Pages keep each load below the statement timeout, however many tokens there are. A receiver
    that many suppliers share dies: one settlement gives all of them one version. None may be left
    out by who starts then, nor by who follows: its calls would be 401, its events would match no
    token, its deliveries would be cancelled.
    """
    monkeypatch.setattr("store.directory.changed_tokens._PAGE", 3)
    made = [tokens.create(token_fields(), CALLBACK, NOW, TESTER).token for _ in range(before + 7)]
    directory.refresh()
    reports = [
        HealthReport(token.callbacks[RECEIVED].id, 0, HealthFinding.FAILING)
        for token in made[before:]
    ]
    with database.write() as connection:
        callback_health.record(connection, reports, NOW)

    directory.refresh()
    with contextlib.closing(Directory(database, VAULT, Notes())) as starting:
        starting.refresh()
        for known in (directory, starting):
            failing = {
                token.id
                for token, callback in known.match(RECEIVED, "ch1")
                if callback.state is CallbackState.FAILING
            }
            assert failing == {token.id for token in made[before:]}
            assert len(known.match(RECEIVED, "ch1")) == len(made)


def test_when_a_token_was_used_is_written_by_and_by(directory: Directory, tokens: Tokens) -> None:
    """Never backwards, and without being a change that others have to load."""
    token_id = tokens.create(token_fields(), {}, NOW, TESTER).token.id
    before = version_of(directory)

    for at in (NOW + 5, NOW + 3):
        directory.usage.used(token_id, UnixMs(at))
        directory.usage.flush()

    assert tokens.get(token_id).last_used_at == NOW + 5
    assert version_of(directory) == before


def version_of(directory: Directory) -> int:
    with directory._own.read() as connection:
        return connection.scalar(sa.select(directory_version.c.version)) or 0
