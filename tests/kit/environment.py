"""The environment that settings are read from, as a test wants it."""

import pytest


def given_environment(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(f"RINGBACK_{name}", value)
