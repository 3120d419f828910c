"""The request log of real processes: what a token asked for is there soon, and a stop loses none of
it.
"""

from typing import Any

from tests.flows.conftest import Starting
from tests.kit.client import Client
from tests.kit.waiting import wait_for


def log_of(admin: Client, token: dict[str, Any], **filters: str) -> list[dict[str, Any]]:
    """Its newest hundred."""
    query = "&".join(["limit=100", *(f"{name}={value}" for name, value in filters.items())])
    rows: list[dict[str, Any]] = admin.get(f"/v1/tokens/{token['id']}/requests?{query}")["data"]
    return rows


def test_a_request_shows_up_with_what_it_was(start: Starting) -> None:
    """Whatever server took it: each has its own way of handing on addresses and paths."""
    ringback = start(workers=2)
    token = ringback.token("supplier")

    with Client(ringback.port, token["token"]) as client:
        answer = client.call("GET", "/v1/caf%C3%A9%00%FF?key=secret", user_agent="acme/1.0")

    (row,) = wait_for("the request", lambda: log_of(ringback.admin, token, status="404"))
    assert row["request_id"] == answer.headers["x-request-id"]
    assert (row["method"], row["path"], row["user_agent"]) == (
        "GET",
        "/v1/café\\x00\\xff",
        "acme/1.0",
    )
    assert (row["status"], row["ip"], row["allowed"]) == (404, "127.0.0.1", True)


def test_a_stop_loses_no_request(start: Starting) -> None:
    """Requests of the last moment are still in memory when SIGTERM comes."""
    ringback = start(workers=2)
    token = ringback.token("supplier")
    name = "api" if ringback.on_services else "serve"
    made = set()

    with Client(ringback.port, token["token"]) as client:
        for _ in range(50):
            made.add(client.call("GET", "/v1/me", user_agent="last").headers["x-request-id"])
    assert ringback.stop(name) == 0
    ringback.start(name)

    assert {
        row["request_id"] for row in log_of(ringback.admin, token) if row["user_agent"] == "last"
    } == made
