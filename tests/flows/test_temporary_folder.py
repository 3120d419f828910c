"""Where nothing can be written, as in a container whose root is read-only: one line says what to
set, and nothing else breaks.
"""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from store.engine import migrate
from store.engine.database import Database
from tests.kit.command import PROGRAM, Place
from tests.kit.postgres import Postgres

WHAT_TO_DO = "no temporary folder is writable"


@pytest.fixture
def place(tmp_path: Path, postgres: Postgres) -> Place:
    url = postgres.fresh_database()
    database = Database(url)
    migrate.upgrade(database)
    database.close()
    return Place(
        tmp_path,
        DATABASE_URL=url,
        SECRET_KEY="a-secret-key-for-tests-only",
        LISTEN="127.0.0.1:0",
        METRICS_LISTEN="127.0.0.1:0",
    )


def call(place: Place, *arguments: str) -> subprocess.CompletedProcess[str]:
    """No file may grow beyond its beginning: the user who runs the tests may write
    everywhere else.
    """
    script = f"ulimit -f 0; exec {shlex.join([PROGRAM, *arguments])}"
    env = {
        name: value for name, value in place.env.items() if name != "PYTHONDONTWRITEBYTECODE"
    } | {"PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        ["bash", "-c", script],
        cwd=place.folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_api_says_in_one_line_that_it_needs_one(place: Place) -> None:
    """Its workers count in files there."""
    done = call(place, "api")

    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert done.stderr.startswith(f"ringback: {WHAT_TO_DO}")
    assert "TMPDIR" in done.stderr


def test_doctor_looks_for_one(place: Place) -> None:
    """Before anything is started."""
    without, ordinary = call(place, "doctor"), place.call("doctor")

    assert without.returncode == 1
    assert [line for line in without.stdout.splitlines() if "FAIL: " in line and "TMPDIR" in line]
    assert f"ok: {os.environ.get('TMPDIR', '/tmp')}" in ordinary.out
