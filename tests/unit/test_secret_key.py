"""The secret key: kept in embedded mode, required elsewhere."""

import stat
from pathlib import Path

import pytest

from ringback.secret_key import secret_keys
from ringback.settings import load
from schemas.errors import UsageError
from tests.kit.environment import given_environment

pytestmark = pytest.mark.usefixtures("bare_place")
_KEY = "k" * 40


def test_embedded_mode_makes_a_key_once_and_keeps_it_private(tmp_path: Path) -> None:
    """What was encrypted yesterday must open today, and only for who runs it."""
    settings = load()

    first = secret_keys(settings)

    assert secret_keys(load()) == first
    path = tmp_path / "var" / "secret-key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["secret-key"]


def test_the_kept_key_may_be_several(tmp_path: Path) -> None:
    """Spelled as in the setting, whatever an editor puts around them."""
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "secret-key").write_text("older-0123456789,\nnewer-0123456789\n")

    assert secret_keys(load()) == ("older-0123456789", "newer-0123456789")


def test_a_key_that_is_set_is_used_and_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`var/` is not for those who keep their secrets elsewhere."""
    given_environment(monkeypatch, SECRET_KEY=_KEY)

    assert secret_keys(load()) == (_KEY,)
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_cannot_be_kept_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a key that is forgotten, signing secrets would be unreadable after the next start."""
    (tmp_path / "file").write_text("")
    given_environment(monkeypatch, DATABASE_URL=f"sqlite:///{tmp_path}/file/ringback.db")

    with pytest.raises(
        UsageError, match=r"RINGBACK_SECRET_KEY is not set, and cannot create .*secret-key"
    ):
        secret_keys(load())
