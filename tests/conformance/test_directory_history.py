"""A directory whose database goes back, or is another one than before: what it remembers may never
have been.

A restore is played by putting the rows of before in their place, in one transaction or table after
table, as `psql` does it.
"""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from schemas.errors import StoreUnavailable
from schemas.ids import TokenId
from schemas.log_events import LogEvent
from schemas.tokens.tokens import TokenState
from store.directory.directory import Directory
from store.engine.database import Database
from store.tokens.vault import SecretLocation, Vault
from tests.kit.histories import KEY, NOW, RECEIVED, TABLES, VAULT, RestorableStore, matched
from tests.kit.notes import Notes
from tests.kit.tables import lay_tables

RELOADED = LogEvent.DIRECTORY_RELOADED


@pytest.mark.parametrize("changes", [0, 1, 2, 3, 7])
def test_after_a_restore_everything_is_as_the_database_has_it(
    restorable: RestorableStore, directory: Directory, notes: Notes, changes: int
) -> None:
    """However many changes were made since, and whether its version is below, at or above the one
    that we knew: what was revoked meanwhile lives again, what was made meanwhile never was, and
    what is revoked or made afterwards is so.
    """
    lives, ends, other = (
        restorable.create("lives"),
        restorable.create("ends"),
        restorable.create("other"),
    )
    backup = restorable.backup()
    directory.refresh()
    restorable.revoke(lives)
    lost = restorable.create("lost")
    directory.refresh()
    assert matched(directory) == {made.token.id for made in (ends, other, lost)}

    restorable.restore(backup)
    restorable.revoke(ends)
    made = restorable.create("made")
    for number in range(changes):
        restorable.change(other, f"changed {number}")
    directory.refresh()

    assert matched(directory) == {one.token.id for one in (lives, other, made)}
    states = [
        found and found.state(NOW)
        for one in (lives, ends, lost, made)
        if [found := directory.holder(one.secret, NOW)]
    ]
    assert states == [TokenState.ACTIVE, TokenState.REVOKED, None, TokenState.ACTIVE]
    assert directory.callback(lost.token.callbacks[RECEIVED].id) is None
    assert notes.said == [RELOADED]


def test_a_restore_without_a_change_after_it_is_noticed(
    restorable: RestorableStore, directory: Directory, notes: Notes
) -> None:
    """On a quiet installation the next change may come in days."""
    backup = restorable.backup()
    lost = restorable.create()
    directory.refresh()

    restorable.restore(backup)
    directory.refresh()

    assert directory.token(lost.token.id) is None
    assert notes.said == [RELOADED]


def test_an_unknown_token_may_be_known_in_another_history(
    restorable: RestorableStore, directory: Directory
) -> None:
    """A backup of an hour ago was restored, and then the right one: its tokens work."""
    empty = restorable.backup()
    made = restorable.create()
    right = restorable.backup()
    restorable.restore(empty)
    directory.refresh()
    assert directory.holder(made.secret, NOW) is None

    restorable.restore(right)
    directory.refresh()

    assert directory.holder(made.secret, NOW) == made.token


def test_readers_see_one_history_or_the_other(
    restorable: RestorableStore, database: Database
) -> None:
    """While everything is loaded again, events are matched by what was: never by a half of it."""
    first = restorable.create()
    backup = restorable.backup()
    restorable.create()
    seen: list[set[TokenId]] = []

    class Watching(Vault):
        def open(self, sealed: bytes, place: SecretLocation) -> bytes:
            seen.append(matched(directory))
            return super().open(sealed, place)

    directory = Directory(database, Watching([KEY]), Notes())
    directory.refresh()
    before = matched(directory)
    restorable.restore(backup)
    seen.clear()
    directory.refresh()

    assert seen
    assert all(one == before for one in seen)
    assert matched(directory) == {first.token.id}
    directory.close()


def test_a_restore_that_fills_table_after_table_ends_in_what_was_restored(
    restorable: RestorableStore, directory: Directory
) -> None:
    """`pg_dump` writes them by name: the version is there before the tokens, and a look of ours may
    fall between.
    """
    made = restorable.create()
    backup = restorable.backup()
    restorable.create()
    directory.refresh()
    restorable.restore(dict.fromkeys(TABLES, ()))
    with pytest.raises(StoreUnavailable, match="being restored"):
        directory.refresh()

    for table in TABLES:
        restorable.restore(backup, [table])
        with contextlib.suppress(StoreUnavailable):
            directory.refresh()

    assert matched(directory) == {made.token.id}
    assert directory.holder(made.secret, NOW) == made.token


def test_tables_without_their_keys_are_not_believed(
    restorable: RestorableStore, directory: Directory, database: Database
) -> None:
    """`pg_restore` makes keys last: tokens may be there before their callbacks."""
    made = restorable.create()
    backup = restorable.backup()
    restorable.create()
    directory.refresh()
    before = matched(directory)
    if database.dialect == "sqlite":
        return  # its restores are in one transaction
    with database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE callbacks DROP CONSTRAINT pk_callbacks")
    restorable.restore(backup)

    with pytest.raises(StoreUnavailable, match="being restored"):
        directory.refresh()
    assert matched(directory) == before

    with database.write() as connection:
        connection.exec_driver_sql(
            "ALTER TABLE callbacks ADD CONSTRAINT pk_callbacks PRIMARY KEY (id)"
        )
    directory.refresh()
    assert matched(directory) == {made.token.id}


def test_a_backup_restored_into_the_open_file_is_noticed(tmp_path: Path) -> None:
    """SQLite's own `.restore` uses its locks, so that it may be used while `serve` is running."""
    path, backup = tmp_path / "ringback.db", tmp_path / "backup.db"
    with contextlib.closing(Database(f"sqlite:///{path}")) as database:
        lay_tables(database)
        restorable, directory = RestorableStore(database), Directory(database, VAULT, Notes())
        kept = restorable.create()
        _copy(path, backup)
        directory.refresh()
        lost = restorable.create()
        directory.refresh()

        _copy(backup, path)
        directory.refresh()
        made = restorable.create()
        directory.refresh()

        assert matched(directory) == {kept.token.id, made.token.id}
        assert directory.holder(lost.secret, NOW) is None
        directory.close()


def _copy(source: Path, target: Path) -> None:
    """As `sqlite3 TARGET ".restore SOURCE"` does it."""
    with (
        contextlib.closing(sqlite3.connect(source)) as read,
        contextlib.closing(sqlite3.connect(target)) as written,
    ):
        read.backup(written)
