"""What was not delivered is sent once more when somebody asks for it; embedded and on RabbitMQ + PostgreSQL."""

from typing import Any

from tests.flows.conftest import Starting
from tests.kit.client import Client
from tests.kit.platform import MESSAGE, ids_at, message, verify_all, wait_for_all, wait_for_state
from tests.kit.receiver import Receiver
from tests.kit.ringback import Ringback
from tests.kit.waiting import wait_for

LONG_AGO = "2020-01-01T00:00:00Z"


def recover(admin: Client, **query: object) -> dict[str, Any]:
    """The recovery, once it is over."""
    asked = admin.call("POST", "/v1/recoveries", {"since": LONG_AGO} | query)
    assert asked.status == 202, asked.data
    return wait_for("the recovery to be done", lambda: ended(admin, asked.data["id"]), 20) or {}


def ended(admin: Client, recovery_id: str) -> dict[str, Any] | None:
    found: dict[str, Any] = admin.get(f"/v1/recoveries/{recovery_id}")
    return None if found["state"] == "running" else found


def figures(recovery: dict[str, Any]) -> tuple[int, int, int]:
    return recovery["total"], recovery["done"], recovery["skipped"]


def test_what_was_given_up_is_recovered(start: Starting, receiver: Receiver) -> None:
    """The same id and bytes, announced as a repair, with the whole schedule anew."""
    ringback = start(RETRY_SCHEDULE="100ms")
    token = ringback.token("crm", callbacks={MESSAGE: receiver.url("/switch/crm/x")})
    receiver.switch("crm", 500)
    ids = [ringback.publisher.publish(message(n)) for n in range(3)]
    for event_id in ids:
        wait_for_state(ringback.admin, event_id, "exhausted")
    receiver.switch("crm", 200)

    recovery = recover(ringback.admin, states=["exhausted"])

    assert figures(recovery) == (3, 3, 0)
    for event_id in ids:
        attempts = wait_for_state(ringback.admin, event_id, "delivered")["attempts"]
        assert [one["trigger"] for one in attempts] == ["first", "retry", "recover"]
        assert [one["number"] for one in attempts] == [1, 2, 3]
    verify_all(receiver, "/switch/crm/x", token["signing_secret"])
    for event_id in ids:
        came = [one for one in receiver.requests("/switch/crm/x") if one.headers["webhook-id"] == event_id]
        assert [one.headers.get("ringback-trigger") for one in came] == [None, None, "recover"]
        assert len({one.body for one in came}) == 1
