"""A directory whose database goes back, or is another one than before: what it remembers may never have been.

A restore is played by putting the rows of before in their place, in one transaction or table after table, as `psql` does it.
"""

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from schemas.errors import StoreUnavailable
from schemas.event_types import EventType
from schemas.ids import TokenId
from schemas.secrets import new_token
from schemas.times import UnixMs
from schemas.token_fields import CallbackFields
from schemas.tokens import TokenState
from store import history
from store.database import Database
from store.directory import Directory
from store.tables import callbacks, directory_marks, directory_version, tokens
from store.token_rows import raise_version
from store.tokens import NewSecrets, Tokens
from store.vault import Place, Vault
from tests.conftest import lay_tables
from tests.kit.notes import Notes
from tests.kit.plans import plans
from tests.kit.tokens import TESTER, token_fields

RECEIVED = EventType.MESSAGE_RECEIVED
NOW = UnixMs(1_000_000)
KEY = "a-key-for-tests-" * 2
ANEW = "directory starts anew: the database is not the one it was"
_TABLES = (callbacks, directory_marks, directory_version, tokens)
Backup = Mapping[sa.Table, Sequence[Mapping[str, Any]]]


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def directory(database: Database, notes: Notes) -> Iterator[Directory]:
    """Not started: it polls when the test says so."""
    made = Directory(database, Vault([KEY]), notes)
    yield made
    made.close()


@pytest.fixture
def house(database: Database) -> "House":
    return House(database)


class House:
    """Tokens that see everything, and backups of them."""

    def __init__(self, database: Database):
        self.database, self.tokens = database, Tokens(database, Vault([KEY]))

    def create(self, name: str = "ACME") -> NewSecrets:
        return self.tokens.create(token_fields(name), {RECEIVED: CallbackFields("https://x.example/")}, NOW, TESTER)

    def revoke(self, made: NewSecrets) -> None:
        self.tokens.revoke(made.token.id, NOW, TESTER)

    def change(self, made: NewSecrets, name: str) -> None:
        self.tokens.change(made.token.id, lambda fields: replace(fields, name=name), TESTER)

    def backup(self) -> Backup:
        with self.database.read() as connection:
            return {table: [dict(row) for row in connection.execute(sa.select(table)).mappings()] for table in _TABLES}

    def restore(self, backup: Backup, tables: Sequence[sa.Table] = _TABLES) -> None:
        with self.database.write() as connection:
            for table in tables:
                connection.execute(sa.delete(table))
                if backup[table]:
                    connection.execute(sa.insert(table), backup[table])


def matched(directory: Directory) -> set[TokenId]:
    return {token.id for token, _ in directory.match(RECEIVED, "ch1")}


@pytest.mark.parametrize("changes", [0, 1, 2, 3, 7])
def test_after_a_restore_everything_is_as_the_database_has_it(house: House, directory: Directory, notes: Notes, changes: int) -> None:
    """However many changes were made since, and whether its version is below, at or above the one that we knew: what was revoked meanwhile
    lives again, what was made meanwhile never was, and what is revoked or made afterwards is so."""
    lives, ends, other = house.create("lives"), house.create("ends"), house.create("other")
    backup = house.backup()
    directory.refresh()
    house.revoke(lives)
    lost = house.create("lost")
    directory.refresh()
    assert matched(directory) == {made.token.id for made in (ends, other, lost)}

    house.restore(backup)
    house.revoke(ends)
    made = house.create("made")
    for number in range(changes):
        house.change(other, f"changed {number}")
    directory.refresh()

    assert matched(directory) == {one.token.id for one in (lives, other, made)}
    states = [found and found.state(NOW) for one in (lives, ends, lost, made) if [found := directory.holder(one.secret, NOW)]]
    assert states == [TokenState.ACTIVE, TokenState.REVOKED, None, TokenState.ACTIVE]
    assert directory.callback(lost.token.callbacks[RECEIVED].id) is None
    assert notes.said == [ANEW]


def test_a_restore_without_a_change_after_it_is_noticed(house: House, directory: Directory, notes: Notes) -> None:
    """On a quiet installation the next change may come in days."""
    backup = house.backup()
    lost = house.create()
    directory.refresh()

    house.restore(backup)
    directory.refresh()

    assert directory.token(lost.token.id) is None
    assert notes.said == [ANEW]


def test_what_was_nobodys_may_be_somebodys_in_another_history(house: House, directory: Directory) -> None:
    """A backup of an hour ago was restored, and then the right one: its tokens work."""
    empty = house.backup()
    made = house.create()
    right = house.backup()
    house.restore(empty)
    directory.refresh()
    assert directory.holder(made.secret, NOW) is None

    house.restore(right)
    directory.refresh()

    assert directory.holder(made.secret, NOW) == made.token


def test_readers_see_one_history_or_the_other(house: House, database: Database) -> None:
    """While everything is loaded anew, events are matched by what was: never by a half of it."""
    first = house.create()
    backup = house.backup()
    house.create()
    seen: list[set[TokenId]] = []

    class Watching(Vault):
        def open(self, sealed: bytes, place: Place) -> bytes:
            seen.append(matched(directory))
            return super().open(sealed, place)

    directory = Directory(database, Watching([KEY]), Notes())
    directory.refresh()
    before = matched(directory)
    house.restore(backup)
    seen.clear()
    directory.refresh()

    assert seen
    assert all(one == before for one in seen)
    assert matched(directory) == {first.token.id}
    directory.close()


def test_a_restore_that_fills_table_after_table_ends_in_what_was_restored(house: House, directory: Directory) -> None:
    """`pg_dump` writes them by name: the version is there before the tokens, and a look of ours may fall between."""
    made = house.create()
    backup = house.backup()
    house.create()
    directory.refresh()
    house.restore(dict.fromkeys(_TABLES, ()))
    with pytest.raises(StoreUnavailable, match="being restored"):
        directory.refresh()

    for table in _TABLES:
        house.restore(backup, [table])
        with contextlib.suppress(StoreUnavailable):
            directory.refresh()

    assert matched(directory) == {made.token.id}
    assert directory.holder(made.secret, NOW) == made.token


def test_tables_without_their_keys_are_not_believed(house: House, directory: Directory, database: Database) -> None:
    """`pg_restore` makes keys last: tokens may be there before their callbacks."""
    made = house.create()
    backup = house.backup()
    house.create()
    directory.refresh()
    before = matched(directory)
    if database.dialect == "sqlite":
        return  # its restores are in one transaction
    with database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE callbacks DROP CONSTRAINT pk_callbacks")
    house.restore(backup)

    with pytest.raises(StoreUnavailable, match="being restored"):
        directory.refresh()
    assert matched(directory) == before

    with database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE callbacks ADD CONSTRAINT pk_callbacks PRIMARY KEY (id)")
    directory.refresh()
    assert matched(directory) == {made.token.id}


def test_a_backup_restored_into_the_open_file_is_noticed(tmp_path: Path) -> None:
    """SQLite's own `.restore` goes by its locks, so that it may be used beside a running `serve`."""
    path, backup = tmp_path / "ringback.db", tmp_path / "backup.db"
    with contextlib.closing(Database(f"sqlite:///{path}")) as database:
        lay_tables(database)
        house, directory = House(database), Directory(database, Vault([KEY]), Notes())
        kept = house.create()
        _copy(path, backup)
        directory.refresh()
        lost = house.create()
        directory.refresh()

        _copy(backup, path)
        directory.refresh()
        made = house.create()
        directory.refresh()

        assert matched(directory) == {kept.token.id, made.token.id}
        assert directory.holder(lost.secret, NOW) is None
        directory.close()


def _copy(source: Path, target: Path) -> None:
    """As `sqlite3 TARGET ".restore SOURCE"` does it."""
    with contextlib.closing(sqlite3.connect(source)) as read, contextlib.closing(sqlite3.connect(target)) as written:
        read.backup(written)


def test_who_missed_many_changes_goes_on_from_where_it_was(house: House, directory: Directory, notes: Notes) -> None:
    """Nothing was restored: only what changed is loaded."""
    kept, changed = house.create(), house.create()
    directory.refresh()
    known = directory.token(kept.token.id)

    for number in range(30):
        house.change(changed, f"changed {number}")
    directory.refresh()

    assert directory.token(kept.token.id) is known
    assert notes.said == []


def test_only_so_many_marks_are_kept(house: House, directory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    """They must not grow for ever. Who missed more than there are loads everything: that it was not restored can no longer be seen."""
    monkeypatch.setattr("store.token_rows.MARKS_KEPT", 5)
    made = house.create()
    directory.refresh()

    for number in range(8):
        house.change(made, f"changed {number}")
    directory.refresh()

    assert len(house.backup()[directory_marks]) == 5
    assert matched(directory) == {made.token.id}


def test_a_process_of_the_release_before_leaves_no_marks_and_costs_nobody_a_fresh_start(
    house: House, directory: Directory, database: Database, notes: Notes
) -> None:
    """While an installation is brought up to date, both run side by side."""
    kept, made = house.create(), house.create()
    directory.refresh()
    known = directory.token(kept.token.id)

    for name in ("by the old one", "and again"):
        with database.write() as connection:
            version = connection.scalar(
                sa.update(directory_version).values(version=directory_version.c.version + 1).returning(directory_version.c.version)
            )
            connection.execute(sa.update(tokens).where(tokens.c.id == made.token.id).values(version=version, name=name))
        directory.refresh()
        assert directory.token(made.token.id) == replace(made.token, name=name)
    house.change(made, "by the new one")
    directory.refresh()

    assert directory.token(kept.token.id) is known
    assert notes.said == []


def test_a_poll_finds_its_rows_by_index(database: Database, house: House, database_url: str) -> None:
    """Four times a second, in every process, however many tokens and marks there are."""
    house.create()
    if database.dialect == "postgresql":  # which would read a table of a few rows whole
        database_url += "?options=-c%20enable_seqscan%3Doff"
    with contextlib.closing(Database(database_url)) as asked:
        (found,) = plans(asked, lambda connection: history.read(connection, None))

    assert "directory_marks_1 (version=?)" in found or "pk_directory_marks" in found
    assert "ix_tokens_version_id" in found


def test_a_version_that_was_raised_for_nothing_is_known(directory: Directory, database: Database, notes: Notes) -> None:
    """Two dispatchers may find out the same of a callback at once."""
    directory.refresh()
    with database.write() as connection:
        raise_version(connection)

    directory.refresh()

    assert directory.fresh()
    assert notes.said == []


def test_an_empty_database_is_no_other_history(directory: Directory, house: House, notes: Notes) -> None:
    """The first token of a new installation."""
    directory.refresh()
    made = house.create()

    assert directory.holder(made.secret, NOW) == made.token
    assert directory.holder(new_token(), NOW) is None
    assert notes.said == []
