"""The operation log over HTTP: who is recorded, from where, and how it is read."""

from dataclasses import replace
from typing import Any

import pytest

from api.application import create_app
from schemas.tokens.audit_log import Action
from schemas.tokens.permissions import Permission
from schemas.tokens.target_policy import parse_networks
from tests.kit.api import URL, Caller, House, callback_path

RECEIVED = "message.received"


def path_of(token: dict[str, Any]) -> str:
    return f"/v1/tokens/{token['id']}"


def log(admin: Caller, token: dict[str, Any]) -> list[dict[str, Any]]:
    """Newest first."""
    answer = admin.call("GET", path_of(token) + "/changes")
    assert answer.status_code == 200, answer.json
    found: list[dict[str, Any]] = (answer.json or {})["data"]
    return found


def test_every_way_to_change_a_token_is_recorded_with_who_did_it_and_from_where(
    admin: Caller, house: House, token: dict[str, Any]
) -> None:
    """Each route by itself: a new one cannot be forgotten without a member of `Action` that is
    missing here.
    """
    path = path_of(token)
    steps: list[tuple[str, str, object, str]] = [
        ("PATCH", path, {"name": "other"}, "changed"),
        ("PATCH", path, {"enabled": False}, "suspended"),
        ("PATCH", path, {"enabled": True}, "resumed"),
        ("POST", path + "/regenerate", {}, "regenerated"),
        ("POST", path + "/rotate-signing-secret", {}, "signing_secret_rotated"),
        ("GET", path + "/signing-secret", None, "signing_secret_shown"),
        ("PUT", callback_path(token, "message.status"), {"url": URL}, "callback_set"),
        ("DELETE", callback_path(token), None, "callback_deleted"),
        ("DELETE", path, None, "revoked"),
    ]

    for method, address, body, action in steps:
        assert admin.call(method, address, body).status_code < 300
        newest = log(admin, token)[0]
        assert (newest["action"], newest["by_name"], newest["address"]) == (
            action,
            "caller",
            "127.0.0.1",
        )
        assert newest["by"] == (admin.call("GET", "/v1/me").json or {})["id"]

    done = [row["action"] for row in log(admin, token)]
    of_people = {
        Action.FAILURE_ACKNOWLEDGED,
        Action.SUPPLIER_LINK_MADE,
        Action.SUPPLIER_LINKS_ENDED,
    }
    assert set(done) == set(Action) - {Action.CALLBACK_DISABLED} - of_people, (
        "what Ringback does by itself no request does, nor what people do in the pages"
    )
    assert done[::-1][:2] == ["created", "callback_set"]


def test_a_row_says_what_was_changed(admin: Caller, token: dict[str, Any]) -> None:
    """Exactly this shape. What may be a secret in an address is hidden."""
    admin.call("PUT", callback_path(token), {"url": "https://new.example/?k=1"})

    newest = log(admin, token)[0]

    assert newest == newest | {
        "action": "callback_set",
        "type": RECEIVED,
        "details": {"url": [URL, "https://new.example/?k=***"]},
    }
    assert newest.keys() == {"id", "at", "action", "type", "by", "by_name", "address", "details"}
    assert newest["id"].startswith("chg_")


def test_the_address_is_that_of_the_client_of_a_trusted_proxy(
    house: House, token: dict[str, Any]
) -> None:
    """Behind a load balancer every change would seem to come from it.
    No other client is believed.
    """
    header = {"X-Forwarded-For": "203.0.113.9"}
    admin = house.caller(Permission.PLATFORM_ADMIN)
    admin.call("PATCH", path_of(token), {"name": "one"}, headers=header)
    house.app = create_app(replace(house.parts, trusted_proxies=parse_networks(["127.0.0.0/8"])))
    admin.call("PATCH", path_of(token), {"name": "two"}, headers=header)

    assert [row["address"] for row in log(admin, token)[:2]] == ["203.0.113.9", "127.0.0.1"]


def test_what_is_refused_is_not_recorded(admin: Caller, token: dict[str, Any]) -> None:
    """Nothing was changed."""
    before = log(admin, token)

    assert admin.call("PATCH", path_of(token), {"name": ""}).status_code == 422
    assert admin.call("PUT", callback_path(token), {"url": "ftp://x.example"}).status_code == 422
    assert admin.call("DELETE", callback_path(token, "message.status")).status_code == 404

    assert log(admin, token) == before


def test_the_log_is_paged(admin: Caller, token: dict[str, Any]) -> None:
    """By cursor, as every list."""
    for number in range(10):
        admin.call("PATCH", path_of(token), {"name": f"name {number}"})

    first = admin.call("GET", path_of(token) + "/changes?limit=10").json or {}
    second = (
        admin.call("GET", f"{path_of(token)}/changes?limit=10&cursor={first['next_cursor']}").json
        or {}
    )

    assert [row["action"] for row in first["data"]] == ["changed"] * 10
    assert [row["action"] for row in second["data"]] == ["callback_set", "created"]
    assert second["next_cursor"] is None


@pytest.mark.parametrize("query", ["limit=9", "limit=101", "cursor=nonsense", "since=now"])
def test_a_query_that_breaks_the_rules_is_refused(
    admin: Caller, token: dict[str, Any], query: str
) -> None:
    """The rules of all lists."""
    assert admin.call("GET", f"{path_of(token)}/changes?{query}").status_code == 422


def test_a_token_that_is_not_there_has_no_log(admin: Caller) -> None:
    """An empty one would say that nothing was done to it."""
    assert admin.call("GET", "/v1/tokens/tok_none/changes").status_code == 404
