"""Finding the system's certificate authorities."""

from pathlib import Path

import pytest

from dispatcher.http import ca_bundle
from schemas.errors import UsageError


def test_the_file_that_the_environment_names_comes_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Companies with an authority of their own set it for all programs alike."""
    (tmp_path / "own.pem").touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "own.pem"))

    assert ca_bundle.system_bundle() == str(tmp_path / "own.pem")


def test_without_any_authority_the_start_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Otherwise every callback would fail later, each with a riddle of OpenSSL's."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "absent.pem"))
    monkeypatch.setattr(ca_bundle, "_KNOWN", (str(tmp_path / "absent too.pem"),))

    with pytest.raises(UsageError, match="ca-certificates"):
        ca_bundle.system_bundle()
