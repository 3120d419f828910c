"""A directory without its store: before the first load, while it is silent, while it is away."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from schemas.errors import StoreUnavailable
from schemas.events.types import EventType
from schemas.log_events import LogEvent
from schemas.times import UnixMs
from schemas.tokens.fields import CallbackFields
from schemas.tokens.secrets import new_token
from store import tables
from store.directory.directory import Directory
from store.engine.database import Database
from store.tokens.tokens import Tokens
from store.tokens.vault import SecretLocation, Vault
from tests.kit.notes import Notes
from tests.kit.postgres import Postgres
from tests.kit.tables import lay_tables
from tests.kit.tokens import TESTER, token_fields
from tests.kit.waiting import wait_for

RECEIVED = EventType.MESSAGE_RECEIVED
NOW = UnixMs(1_000_000)
VAULT = Vault(["a-key-for-tests-" * 2])
CALLBACK = {RECEIVED: CallbackFields("https://x.example/")}


def test_a_directory_that_has_loaded_nothing_yet_is_not_fresh(tmp_path: Path) -> None:
    """Matched against an empty directory, events would have no callback: not before the first load
    is complete.
    """
    database, seen = Database(f"sqlite:///{tmp_path}/later/ringback.db"), []

    class Watching(Vault):
        def open(self, sealed: bytes, place: SecretLocation) -> bytes:
            seen.append(started.fresh())
            return super().open(sealed, place)

    started = Directory(database, Watching(["a-key-for-tests-" * 2]), Notes())
    started.start()
    assert not started.fresh(), "there is no database at all"
    with pytest.raises(StoreUnavailable):
        started.refresh()

    (tmp_path / "later").mkdir()
    with started._polling:  # so that it first sees the database when the token is there
        lay_tables(database)
        token_id = Tokens(database, VAULT).create(token_fields(), CALLBACK, NOW, TESTER).token.id
    wait_for("the first load", started.fresh)

    assert started.token(token_id)
    assert seen
    assert not any(seen), "while it was loading for the first time"
    started.close()
    database.close()


def test_a_directory_is_closed_while_its_store_is_silent(postgres: Postgres) -> None:
    """SIGTERM must not wait for it: the threads end with the process."""
    database = Database(postgres.fresh_database(), timeout_s=20)
    lay_tables(database)
    token_id = Tokens(database, VAULT).create(token_fields(), {}, NOW, TESTER).token.id
    directory = Directory(database, VAULT, Notes())
    directory.start()
    directory.usage.used(token_id, NOW)

    with postgres.frozen():
        wait_for("it to be stale", lambda: not directory.fresh())
        directory.close()
        assert directory._thread.is_alive(), "it was not waited for"
        assert directory.usage._thread.is_alive()

    directory._thread.join(20)
    directory.usage._thread.join(20)
    assert Tokens(database, VAULT).get(token_id).last_used_at == NOW
    database.close()


def test_the_directory_outlives_its_store(postgres: Postgres) -> None:
    """What it knew it still knows; what it cannot look up it does not refuse; it heals, and says
    both once.
    """
    database, notes = Database(postgres.fresh_database()), Notes()
    lay_tables(database)
    made = Tokens(database, VAULT).create(token_fields(), CALLBACK, NOW, TESTER)
    directory = Directory(database, VAULT, notes)
    directory.start()

    postgres.stop()
    wait_for("it to be stale", lambda: not directory.fresh() and notes.said)
    assert directory.holder(made.secret, NOW) == made.token
    assert directory.match(RECEIVED, "ch1")
    with pytest.raises(StoreUnavailable):
        directory.holder(new_token(), NOW)

    postgres.start()
    wait_for("it to be fresh again", directory.fresh)
    assert directory.holder(new_token(), NOW) is None
    directory.close()
    database.close()
    assert notes.said == [LogEvent.STORE_UNAVAILABLE, LogEvent.STORE_AVAILABLE]


def test_a_server_that_can_only_be_read_is_left_as_soon_as_there_is_another(
    postgres: Postgres,
) -> None:
    """After a fail-over the old primary may go on answering: what it says may be old, and nothing
    done by it could be written down.
    """
    database, notes = Database(postgres.fresh_database()), Notes()
    lay_tables(database)
    tokens = Tokens(database, VAULT)
    made = tokens.create(token_fields(), CALLBACK, NOW, TESTER)
    directory = Directory(database, VAULT, notes)
    directory.start()
    sessions = {process(database), process(directory._own)}

    with postgres.read_only():
        wait_for("it to be stale", lambda: not directory.fresh() and notes.said)
        assert directory.holder(made.secret, NOW) == made.token
        with pytest.raises(StoreUnavailable):
            directory.holder(new_token(), NOW)
        with pytest.raises(StoreUnavailable, match="only be read"):
            tokens.create(token_fields(), {}, NOW, TESTER)

    wait_for("it to be fresh again", directory.fresh)
    assert tokens.create(token_fields(), {}, NOW, TESTER)
    assert not sessions & {process(database), process(directory._own)}, "they were opened again"
    directory.close()
    database.close()
    assert notes.said == [LogEvent.STORE_UNAVAILABLE, LogEvent.STORE_AVAILABLE]
    assert "can only be read" in str(notes.notes[0][1]["reason"])


@pytest.mark.parametrize("becomes", ["replaced", "deleted"])
def test_a_file_that_is_not_the_one_in_its_place_takes_nothing(
    tmp_path: Path, becomes: str
) -> None:
    """A back-up is put there under a running `serve`: what is written to the old file would
    be gone at its end.
    """
    path, other = tmp_path / "ringback.db", tmp_path / "backup.db"
    database = Database(f"sqlite:///{path}")
    lay_tables(database)
    directory = Directory(database, VAULT, Notes())
    directory.start()
    if becomes == "replaced":
        other.write_bytes(path.read_bytes())
        other.replace(path)
    else:
        path.unlink()

    wait_for(
        "it to be stale",
        lambda: not directory.fresh() and "was replaced or deleted" in directory.trouble,
    )
    with pytest.raises(StoreUnavailable, match="was replaced or deleted"):
        Tokens(database, VAULT).create(token_fields(), CALLBACK, NOW, TESTER)
    directory.close()
    database.close()


def test_a_standby_that_knows_less_is_not_believed(postgres: Postgres) -> None:
    """It is behind: what was revoked a moment ago lives there still."""
    database = Database(postgres.fresh_database())
    lay_tables(database)
    tokens = Tokens(database, VAULT)
    made = tokens.create(token_fields(), CALLBACK, NOW, TESTER)
    directory = Directory(database, VAULT, Notes())
    directory.refresh()
    version = directory._known.position
    tokens.revoke(made.token.id, NOW, TESTER)
    directory.refresh()

    with database.write() as connection:  # back to where it was, by a role that may still write
        connection.execute(
            sa.update(tables.tokens).values(
                revoked_at=None, version=version.version if version else 0
            )
        )
        connection.execute(
            sa.update(tables.directory_version).values(version=version.version if version else 0)
        )
    with postgres.read_only(), pytest.raises(StoreUnavailable, match="only be read"):
        directory.refresh()

    assert directory.match(RECEIVED, "ch1") == []
    directory.close()
    database.close()


def process(database: Database) -> int:
    """Which of the server's processes answers."""
    with database.read() as connection:
        return connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
