"""Fixtures of the API's tests: a house, and those who call at it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.tokens.permissions import Permission
from store.tokens.tokens import NewSecrets
from tests.kit.api import URL, Caller, House
from tests.kit.holders import EVERYTHING, a_token
from tests.kit.request_log import Log, make


@pytest.fixture
def door() -> str:
    """How the house is asked. Tests of views that run on the event loop are parametrized with
    `BOTH_DOORS`.
    """
    return "front"


@pytest.fixture
def house(tmp_path: Path, door: str) -> Iterator[House]:
    made = House(tmp_path, by_wsgi=door == "wsgi")
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
        "POST",
        "/v1/tokens",
        {
            "name": "ACME CRM",
            "callbacks": {"message.received": {"url": URL, "headers": {"X-Key": "hidden"}}},
        },
    )
    assert answer.status_code == 201, answer.json
    return answer.json or {}


@pytest.fixture
def made(house: House) -> NewSecrets:
    """A token that may do nothing beyond what any may."""
    return make(house)


@pytest.fixture
def supplier(house: House, made: NewSecrets) -> Caller:
    return Caller(house, made.secret)


@pytest.fixture
def platform(house: House) -> Caller:
    """The chat platform's own API."""
    return house.caller(Permission.TOKENS_INTROSPECT)


@pytest.fixture
def log(house: House, admin: Caller, made: NewSecrets) -> Log:
    return Log(house, admin, f"/v1/tokens/{made.token.id}/requests")


@pytest.fixture
def mine(admin: Caller) -> dict[str, Any]:
    return a_token(admin, "mine", *EVERYTHING)


@pytest.fixture
def me(house: House, mine: dict[str, Any]) -> Caller:
    return Caller(house, mine["token"])


@pytest.fixture
def theirs(admin: Caller) -> dict[str, Any]:
    return a_token(admin, "theirs", *EVERYTHING)
