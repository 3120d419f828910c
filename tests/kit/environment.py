"""The environment that settings are read from, as a test wants it."""

import os
from pathlib import Path

import pytest


def leave_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither settings of the shell that runs the tests nor an env file of the checkout."""
    for name in list(os.environ):
        if name.startswith("RINGBACK_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(folder)


def given_environment(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(f"RINGBACK_{name}", value)
