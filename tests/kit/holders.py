"""Tokens whose holders look after themselves."""

from typing import Any

from tests.kit.api import RECEIVED, URL, Caller

EVERYTHING = ("conversations:read", "stats:read", "data:export")


def a_token(
    admin: Caller, name: str = "ACME CRM", *permissions: str, channels: list[str] | None = None
) -> dict[str, Any]:
    """With a callback for received messages."""
    callbacks = {RECEIVED.value: {"url": URL, "headers": {"X-Key": "hidden"}}}
    body = {
        "name": name,
        "permissions": permissions,
        "visibility": {"channels": channels},
        "callbacks": callbacks,
    }
    answer = admin.call("POST", "/v1/tokens", body)
    assert answer.status_code == 201, answer.json
    return answer.json or {}
