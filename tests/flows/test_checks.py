"""Checks by gateways, through the real servers: what of a header reaches the API."""

import socket

import pytest

from tests.flows.conftest import Starting


def statuses(port: int, token: str, *fields: str) -> int:
    """A header may come twice: the library's client would not send it."""
    lines = [
        "GET /v1/authorize HTTP/1.1",
        "Host: x",
        f"Authorization: Bearer {token}",
        *fields,
        "Connection: close",
        "",
        "",
    ]
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall("\r\n".join(lines).encode())
        return int(connection.makefile("rb").readline().split()[1])


@pytest.fixture
def asked() -> str:
    return "X-Required-Permission: conversations:read"


def test_a_question_that_is_absent_or_comes_twice_opens_nothing(
    start: Starting, asked: str
) -> None:
    """A client that adds its own to the gateway's must not choose; servers keep the first, the
    last, or both.
    """
    ringback = start()
    token = ringback.token("crm", "conversations:read")["token"]

    assert statuses(ringback.port, token, asked) == 204
    assert statuses(ringback.port, token, "X-Required-Permission: none") == 204
    assert statuses(ringback.port, token) == 422
    assert statuses(ringback.port, token, "X-Required-Permission:") == 422
    for other in (
        asked,
        "X-Required-Permission: none",
        "X-Required-Permission:",
        "x-required-permission: stats:read",
    ):
        assert {
            statuses(ringback.port, token, *fields) for fields in ((asked, other), (other, asked))
        } == {422}, other
