"""The files that the program creates can be read by no other user,
whichever command comes first.
"""

import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.command import Place
from tests.kit.waiting import free_port, wait_for


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """An empty folder, and a umask under which every user may read what is created."""
    before = os.umask(0o022)
    yield Place(tmp_path, LISTEN=f"127.0.0.1:{free_port()}")
    os.umask(before)


def modes(place: Place) -> dict[str, int]:
    var = place.folder / "var"
    return {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in (var, *var.glob("ringback.db*"))
        if path.suffix != ".lock"
    }


def test_migrate_makes_a_private_database(place: Place) -> None:
    """Message texts will be in it."""
    assert place.call("migrate").status == 0

    assert modes(place) == {"var": 0o700, "ringback.db": 0o600}


def test_serve_makes_a_private_database(place: Place) -> None:
    """With all the files that SQLite puts next to it while it is open."""
    process = place.start("serve")
    try:
        wait_for("the database in use", lambda: len(modes(place)) == 4, 30)
        assert modes(place) == {"var": 0o700} | dict.fromkeys(
            ["ringback.db", "ringback.db-wal", "ringback.db-shm"], 0o600
        )
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
