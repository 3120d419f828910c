"""Fixtures of the API's tests: a house, and those who call at it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.permissions import Permission
from tests.kit.api import URL, Caller, House


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


@pytest.fixture
def token(admin: Caller) -> dict[str, Any]:
    """Just made, with a callback for received messages."""
    answer = admin.call(
        "POST", "/v1/tokens", {"name": "ACME CRM", "callbacks": {"message.received": {"url": URL, "headers": {"X-Key": "hidden"}}}}
    )
    assert answer.status_code == 201, answer.json
    return answer.json or {}
