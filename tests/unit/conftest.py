"""Where settings are read: the environment is the test's own."""

import os
from pathlib import Path

import pytest


@pytest.fixture
def bare_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither settings of the shell that runs the tests nor an env file of the checkout."""
    for name in list(os.environ):
        if name.startswith("RINGBACK_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
