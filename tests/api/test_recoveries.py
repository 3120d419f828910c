"""Recoveries over HTTP: asked for, followed, stopped. No dispatcher works on them here."""

from typing import Any

import pytest
import sqlalchemy as sa

from schemas.times import UnixMs
from schemas.tokens.permissions import Permission
from store.events import claims
from store.tables import recoveries
from tests.kit.api import Caller, House, deliver
from tests.kit.making import a_claim

SINCE = "1970-01-01T00:00:00.000Z"


def ask(admin: Caller, **body: object) -> dict[str, Any]:
    answer = admin.call("POST", "/v1/recoveries", {"since": SINCE} | body)
    assert answer.status_code == 202, answer.json
    return answer.json or {}


def test_a_recovery_is_asked_for_and_followed(
    admin: Caller, house: House, token: dict[str, Any]
) -> None:
    """It says at once how much there is; nothing of it is done by the API."""
    deliver(house, token, "evt_1", state="exhausted", due_at=None)
    deliver(house, token, "evt_2", state="exhausted", due_at=None, created_at=2_000)
    deliver(house, token, "evt_3")

    asked = ask(
        admin,
        until="1970-01-01T00:00:02.000Z",
        token=token["id"],
        type="message.received",
        states=["exhausted", "missing"],
    )

    assert asked["id"].startswith("rec_")
    assert {name: asked[name] for name in ("total", "done", "skipped", "state")} == {
        "total": 1,
        "done": 0,
        "skipped": 0,
        "state": "running",
    }
    assert admin.call("GET", f"/v1/recoveries/{asked['id']}").json == asked


def test_what_is_exhausted_is_meant_when_nothing_is_said(
    admin: Caller, house: House, token: dict[str, Any]
) -> None:
    """What was kept, and what a callback was not subscribed to, is not sent by accident."""
    deliver(house, token, "evt_1", state="exhausted", due_at=None)
    admin.call("PATCH", f"/v1/tokens/{token['id']}", {"enabled": False})
    deliver(house, token, "evt_2")

    assert ask(admin)["total"] == 1
    assert ask(admin, states=None)["total"] == 1
    assert ask(admin, states=["held", "exhausted"])["total"] == 2


def test_a_recovery_can_be_stopped(admin: Caller) -> None:
    """It can still be read. Stopping is idempotent."""
    address = f"/v1/recoveries/{ask(admin)['id']}"

    statuses = [admin.call("DELETE", address).status_code for _ in range(2)]

    assert statuses == [204, 204]
    assert (admin.call("GET", address).json or {})["state"] == "cancelled"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"since": None}, "/since"),
        ({"since": "yesterday"}, "/since"),
        ({"until": SINCE}, "/until"),
        ({"states": []}, "/states"),
        ({"states": ["delivered"]}, "/states/0"),
        ({"token": "tok_nobody"}, "/token"),
        ({"type": "message.sent"}, "/type"),
        ({"state": ["held"]}, "/state"),
        ({"status_code": 99}, "/status_code"),
        ({"error": "nonsense"}, "/error"),
        ({"status_code": 500, "states": ["missing"]}, "/states"),
        ({"error": "tls", "states": ["exhausted", "missing"]}, "/states"),
        ({"deliveries": []}, "/deliveries"),
        ({"deliveries": ["evt_1"]}, "/deliveries/0"),
        ({"deliveries": [f"dlv_{'0' * 16}_evt_1"] * 1001}, "/deliveries"),
        ({"dry_run": "yes"}, "/dry_run"),
    ],
)
def test_a_recovery_that_cannot_be_meant_is_refused(
    admin: Caller, body: dict[str, object], pointer: str
) -> None:
    """The answer says what is wrong, by pointer: a mistyped filter must not recover everything."""
    answer = admin.call("POST", "/v1/recoveries", {"since": SINCE} | body)

    assert answer.status_code == 422
    assert [fault["pointer"] for fault in (answer.json or {})["errors"]] == [pointer]


def test_a_dry_run_counts_and_does_nothing(
    admin: Caller, house: House, token: dict[str, Any]
) -> None:
    """The person sees how many it will be before anything is sent."""
    ticked = [
        deliver(house, token, f"evt_{number}", state="exhausted", due_at=None, status_code=code)
        for number, code in enumerate((500, 500, 503))
    ]
    with house.database.write() as connection:
        claims.claim(connection, [a_claim("evt_missing", "f" * 16)], UnixMs(1))

    def total(**body: object) -> object:
        answer = admin.call("POST", "/v1/recoveries", {"dry_run": True} | body)
        assert answer.status_code == 200, answer.json
        return answer.json

    assert total(since=SINCE) == {"total": 3, "complete": True}
    assert total(since=SINCE, status_code=500) == {"total": 2, "complete": True}
    assert total(since=SINCE, states=["exhausted", "missing"]) == {"total": 4, "complete": True}
    assert total(deliveries=ticked[:2]) == {"total": 2, "complete": True}
    assert total(deliveries=ticked, status_code=503) == {"total": 1, "complete": True}
    with house.database.read() as connection:
        assert connection.execute(sa.select(recoveries)).all() == []


def test_what_was_ticked_needs_neither_a_time_nor_a_state(
    admin: Caller, house: House, token: dict[str, Any]
) -> None:
    """The person who ticks a row has seen both. Without `deliveries` a time is required."""
    exhausted = deliver(house, token, "evt_1", state="exhausted", due_at=None)
    admin.call("PATCH", f"/v1/tokens/{token['id']}", {"enabled": False})
    held = deliver(house, token, "evt_2")
    deliver(house, token, "evt_3")

    answer = admin.call("POST", "/v1/recoveries", {"deliveries": [exhausted, held, held]})

    assert (answer.status_code, (answer.json or {})["total"]) == (202, 2)
    assert admin.call("POST", "/v1/recoveries", {}).status_code == 422


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_recovery_that_is_not_there_is_not_found(admin: Caller, method: str) -> None:
    """Whatever was mistyped."""
    assert admin.call(method, "/v1/recoveries/rec_missing").status_code == 404


def test_only_administrators_recover(house: House, backend: Caller) -> None:
    """It calls suppliers."""
    answer = backend.call("POST", "/v1/recoveries", {"since": SINCE})

    assert answer.status_code == 403
    assert (
        house.caller(*set(Permission) - {Permission.PLATFORM_ADMIN})
        .call("GET", "/v1/recoveries/rec_1")
        .status_code
        == 403
    )
