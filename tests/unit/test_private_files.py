"""Message texts and keys can be read by no other user, whatever the umask says."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringback.private_files import make_database_file
from ringback.secret_key import secret_keys
from ringback.settings import Settings
from schemas.errors import UsageError
from store.engine.database import Database


@pytest.fixture(autouse=True)
def generous() -> Iterator[None]:
    """A umask under which every user may read what is created."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_sqlite_keeps_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    """The write-ahead log holds the texts too, as long as the database is open."""
    path = tmp_path / "var" / "ringback.db"

    make_database_file(path)
    database = Database(f"sqlite:///{path}")
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE message (text TEXT)")

    assert mode(path.parent) == 0o700
    assert {file.name: mode(file) for file in path.parent.iterdir()} == dict.fromkeys(
        ["ringback.db", "ringback.db-wal", "ringback.db-shm"], 0o600
    )
    database.close()


def test_a_key_that_comes_first_makes_the_folder_as_private(tmp_path: Path) -> None:
    """The first process decides the mode for all."""
    secret_keys(Settings(database_url=f"sqlite:///{tmp_path}/var/ringback.db"))

    assert mode(tmp_path / "var") == 0o700


def test_what_is_there_keeps_its_mode(tmp_path: Path) -> None:
    """A group may be allowed to read it on purpose, for a backup."""
    path = tmp_path / "var" / "ringback.db"
    path.parent.mkdir(mode=0o750)
    path.write_bytes(b"")
    path.chmod(0o640)

    make_database_file(path)

    assert (mode(path.parent), mode(path)) == (0o750, 0o640)


def test_a_place_where_nothing_can_be_made_is_named(tmp_path: Path) -> None:
    """One line that says which setting, not a traceback."""
    (tmp_path / "var").write_text("a file, no folder")

    with pytest.raises(
        UsageError,
        match=r"RINGBACK_DATABASE_URL: cannot create .*/var/deeper/ringback\.db: Not a directory",
    ):
        make_database_file(tmp_path / "var" / "deeper" / "ringback.db")
