"""The env file: what it holds is read, or refused by the number of its line."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from ringback.cli import main
from ringback.env_file import env_file, env_file_values
from ringback.settings import load
from schemas.errors import UsageError

pytestmark = pytest.mark.usefixtures("bare_place")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("RINGBACK_LISTEN: 127.0.0.1:1\n", 1),
        ("\n\n# a remark\n\nRINGBACK_DATABASE_URL: postgresql://me:s3cret@h/d\n", 5),
        ("RINGBACK_TIMEOUT=5s\r\n\r\nRINGBACK_LISTEN\r\n", 3),
        ("RINGBACK_LISTEN:127.0.0.1:1", 1),
        ("A=1\nRINGBACK SECRET_KEY=s3cret\n", 2),
        ("A=1\nRINGBACK_SECRET_KEY='s3cret\nB=2\n", 2),
        ('A=1\n\nRINGBACK_SECRET_KEY="s3"cret"\n', 3),
        ("A='1\n2\n3'\n\nset RINGBACK_TIMEOUT=5s\n", 5),
        ("=5s\n", 1),
    ],
)
def test_a_line_that_cannot_be_read_stops_the_start(
    text: str, line: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It was passed over, with a word of a library in the middle of the log, or without one: SQLite
    in the place of PostgreSQL.
    """
    (tmp_path / "ringback.env").write_text(text, newline="")

    with pytest.raises(
        UsageError, match=f"^ringback.env: line {line} is invalid: write NAME=VALUE"
    ) as caught:
        load()

    assert "s3" not in str(caught.value)
    assert not caplog.records


@pytest.mark.parametrize(
    "second", ["RINGBACK_TIMEOUT=20s", "export RINGBACK_TIMEOUT='20s'", "ringback_timeout=20s"]
)
def test_a_name_with_two_values_stops_the_start(second: str, tmp_path: Path) -> None:
    """An edit of the upper one would change nothing."""
    (tmp_path / "ringback.env").write_text(f"RINGBACK_TIMEOUT=15s\n\n{second}\n")

    with pytest.raises(
        UsageError, match=r"(?i)RINGBACK_TIMEOUT is given twice, in line 1 and in line 3"
    ):
        load()


def test_the_same_line_twice_is_taken(tmp_path: Path) -> None:
    """Pasting `echo … >> ringback.env` again says the same thing twice."""
    (tmp_path / "ringback.env").write_text("RINGBACK_OUTBOX_MAX=7\n" * 2)

    assert load().outbox_max == 7


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "latin-1"])
def test_another_encoding_is_reported(encoding: str, tmp_path: Path) -> None:
    """PowerShell writes UTF-16. Without its mark every name would be another, and nothing read."""
    (tmp_path / "ringback.env").write_bytes("RINGBACK_SECRET_KEY=s3crét\n".encode(encoding))

    with pytest.raises(UsageError, match=r"ringback\.env is not in UTF-8: save it"):
        load()


def test_a_file_that_cannot_be_read_is_reported() -> None:
    """A name that is too long for the system, as no test is sure to be refused a right."""
    with pytest.raises(
        UsageError, match=r"cannot read --env-file x+: File name too long|no such file"
    ):
        env_file(Path("x" * 300))


def test_what_is_spelt_as_shells_and_windows_do_is_read(tmp_path: Path) -> None:
    """Remarks, quotes, `export`, a mark at the beginning, lines' ends; and what is another
    program's.
    """
    file = tmp_path / "other.env"
    file.write_text(
        "\ufeff# a remark\r\nexport A=1\r\n\r\n  B = 'x # y' # z\r\nC=\r\nD=${A}2\r\n", newline=""
    )

    assert env_file_values(file) == {"A": "1", "B": "x # y", "C": "", "D": "12"}
    assert env_file_values(tmp_path / "absent.env") == {}


@pytest.mark.parametrize("arguments", [["token", "list"], ["emit", "message.received"]])
def test_every_command_says_so_and_exits_as_for_wrong_use(
    arguments: list[str], tmp_path: Path
) -> None:
    """Emit's token stands there too, though it is no setting."""
    (tmp_path / "ringback.env").write_text("RINGBACK_TOKEN: rbk_s3cret\n")

    done = CliRunner().invoke(main, arguments)

    assert (done.exit_code, done.output.count("\n")) == (2, 1), done.output
    assert "line 1 is invalid" in done.output
    assert "s3cret" not in done.output
