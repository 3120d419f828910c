"""Fixtures of the API's tests: a house, and those who call at it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.permissions import Permission
from tests.kit.api import Caller, House


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.close()


@pytest.fixture
def backend(house: House) -> Caller:
    """May publish, and nothing else."""
    return house.caller(Permission.EVENTS_PUBLISH)


@pytest.fixture
def admin(house: House) -> Caller:
    """May administer, and nothing else."""
    return house.caller(Permission.PLATFORM_ADMIN)
