"""Where settings are read: the environment is the test's own. And an HTTP server to test."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.served import Serve, Served


@pytest.fixture
def bare_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither settings of the shell that runs the tests nor an env file of the checkout."""
    for name in list(os.environ):
        if name.startswith("RINGBACK_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers. At the end each must have left nothing behind."""
    made = list[Served]()

    def start(**limits: float) -> Served:
        made.append(Served(**limits))
        return made[-1]

    yield start
    for served in made:
        served.close()
