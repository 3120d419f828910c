"""The pages in a real browser, against a whole Ringback."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.scene import Scene
from tests.kit.browser import chromium


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for all tests of a process; each has contexts of its own."""
    with chromium() as made:
        yield made


@pytest.fixture(scope="session")
def scene() -> Iterator[Scene]:
    """One Ringback with a bit of everything in it, for tests that only look."""
    with Scene.made() as made:
        yield made
