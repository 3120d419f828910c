"""`ringback export`, against a database of its own."""

import contextlib
import sqlite3
import stat
from pathlib import Path

import openpyxl
import pytest

from tests.kit.command import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A migrated database with a token in it."""
    made = Place(tmp_path, ALLOW_TARGETS="127.0.0.0/8")
    assert made.call("migrate").status == 0
    assert (
        made.call(
            "token", "create", "ACME CRM", "--callback", "message.received=http://127.0.0.1:9000/x"
        ).status
        == 0
    )
    return made


def names(path: Path) -> list[object]:
    return [
        row[1]
        for row in openpyxl.load_workbook(path)["Details"].iter_rows(min_row=2, values_only=True)
    ]


def test_everything_is_written_into_a_workbook_for_its_owner(place: Place) -> None:
    """Names and addresses of suppliers can be read by no other user, whatever the umask says."""
    done = place.call("export", "tokens.xlsx")

    file = place.folder / "tokens.xlsx"
    assert (done.status, done.out, done.err) == (0, "tokens.xlsx: tokens 1, callbacks 1\n", "")
    assert names(file) == ["ACME CRM"]
    assert openpyxl.load_workbook(file).sheetnames == ["Details", "Permissions", "Callbacks"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_an_older_file_is_replaced_by_the_new_one(place: Place) -> None:
    """It is made every week, by the same line."""
    place.call("export", "tokens.xlsx")
    place.call("token", "create", "second")

    assert place.call("export", "tokens.xlsx").status == 0

    assert names(place.folder / "tokens.xlsx") == ["ACME CRM", "second"]


def test_an_export_that_fails_leaves_the_older_file_as_it_was(place: Place) -> None:
    """Half a workbook looks like one. No unfinished file is left next to it."""
    file = place.folder / "tokens.xlsx"
    file.write_bytes(b"the older one")
    with contextlib.closing(sqlite3.connect(place.folder / "var/ringback.db")) as database:
        database.execute("ALTER TABLE callbacks RENAME TO elsewhere")
    before = sorted(place.folder.iterdir())

    done = place.call("export", "tokens.xlsx")

    assert done.status == 1
    assert done.err.startswith("ringback: the database ")
    assert file.read_bytes() == b"the older one"
    assert sorted(place.folder.iterdir()) == before


@pytest.mark.parametrize(
    ("file", "status", "text"),
    [
        ("tokens.csv", 2, "a workbook's name ends in .xlsx"),
        (
            "absent/tokens.xlsx",
            1,
            "ringback: cannot write absent/tokens.xlsx: No such file or directory\n",
        ),
    ],
)
def test_a_file_that_cannot_be_is_said_in_one_line(
    place: Place, file: str, status: int, text: str
) -> None:
    """Before minutes of work, not after them."""
    done = place.call("export", file)

    assert done.status == status
    assert text in done.err


def test_without_a_database_it_says_what_to_do(tmp_path: Path) -> None:
    """It creates no file."""
    done = Place(tmp_path).call("export", "tokens.xlsx")

    assert done.status == 1
    assert "run `ringback migrate`" in done.err
    assert list(tmp_path.iterdir()) == []
