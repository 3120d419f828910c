"""Attacks on the API from outside, beyond those in other tests:
docs/security.md lists all of them.
"""

from typing import Any

import pytest

from consumers.pipeline.claiming import Terms, claim
from exchange.port import QueuedMessage
from schemas.events.samples import sample_body
from schemas.events.types import EventType
from schemas.times import UnixMs
from schemas.tokens.permissions import Permission
from schemas.tokens.secrets import _check_digits, new_token
from tests.kit.api import URL, Caller, House, callback_path

JSON = "application/json"
DEEP = b"[" * 100_000 + b"]" * 100_000
SAMPLE = sample_body(EventType.MESSAGE_RECEIVED)


def a_forgery(secret: str) -> str:
    """Another token, with a checksum that fits."""
    start = secret[:10] + ("x" if secret[10] != "x" else "y") + secret[11:34]
    return start + _check_digits(start)


@pytest.mark.parametrize(
    "changed",
    [
        lambda secret: secret[:-1],
        lambda secret: secret[:20],
        lambda secret: secret + "0",
        lambda secret: secret[:-1] + ("0" if secret[-1] != "0" else "1"),
        lambda secret: secret.swapcase(),
        lambda secret: secret.replace("rbk_", "rbk-"),
        a_forgery,
        lambda _: new_token(),
    ],
    ids=[
        "cut",
        "cut short",
        "lengthened",
        "mistyped",
        "other case",
        "other prefix",
        "forged",
        "guessed",
    ],
)
def test_a_token_that_is_not_whole_or_not_ours_opens_nothing(house: House, changed: Any) -> None:
    """The answer does not tell how near it was."""
    secret = house.secret(Permission.PLATFORM_ADMIN)

    answer = Caller(house, changed(secret)).call("GET", "/v1/tokens")

    assert answer.status_code == 401
    assert (answer.json or {})[
        "detail"
    ] == "the token is unknown: check that it is complete and was not replaced"
    assert secret[4:12] not in answer.text


@pytest.mark.parametrize(
    "value", ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\0b", "caffè", " a", "a ", ""]
)
def test_no_header_of_a_callback_can_become_two(
    admin: Caller, token: dict[str, Any], value: str
) -> None:
    """Refused when it is set, and the secret value is not repeated in the answer."""
    answer = admin.call("PUT", callback_path(token), {"url": URL, "headers": {"X-Key": value}})

    assert answer.status_code == 422
    assert [fault["pointer"] for fault in (answer.json or {})["errors"]] == ["/headers/X-Key"]
    assert "Evil" not in answer.text


@pytest.mark.parametrize(
    "name",
    [
        "X\r\nY",
        "X:Y",
        "X Y",
        "",
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "Webhook-Signature",
    ],
)
def test_no_header_of_a_callback_takes_the_place_of_ours(
    admin: Caller, token: dict[str, Any], name: str
) -> None:
    """Neither the signature's nor those that frame the request."""
    assert (
        admin.call("PUT", callback_path(token), {"url": URL, "headers": {name: "x"}}).status_code
        == 422
    )


def deep_bodies() -> dict[str, bytes]:
    """Nested 100,000 deep: whole, unclosed, and where anything may stand."""
    return {
        "whole": DEEP,
        "unclosed": b"[" * 200_000,
        "objects": b'{"a":' * 40_000 + b"1" + b"}" * 40_000,
        "in an unknown field": b'{"x":' + DEEP + b"," + SAMPLE[1:],
        "in the data": SAMPLE.replace(b'"data":{', b'"data":{"x":' + DEEP + b","),
        "in the message": SAMPLE.replace(b'"message":{', b'"message":{"x":' + DEEP + b","),
        "in the content": SAMPLE.replace(b'"content":{', b'"content":{"x":' + DEEP + b","),
    }


@pytest.mark.parametrize("name", deep_bodies())
def test_an_event_nested_too_deeply_is_refused(house: House, backend: Caller, name: str) -> None:
    """By itself and in a batch; the process goes on."""
    body = deep_bodies()[name]

    for path, sent in (
        ("/v1/events", body),
        ("/v1/events/batch", b'{"events":[' + SAMPLE + b"," + body + b"]}"),
    ):
        answer = backend.call("POST", path, data=sent, content_type=JSON)
        assert answer.status_code in (400, 422), path
        assert answer.content_type == "application/problem+json"
    assert house.publisher.published == []
    assert backend.call("POST", "/v1/events", data=SAMPLE, content_type=JSON).status_code == 202


@pytest.mark.parametrize(
    "body",
    [
        DEEP,
        b'{"name":' + DEEP + b"}",
        b'{"name":"x","callbacks":{"message.received":' + DEEP + b"}}",
        b'{"x":' + DEEP + b"}",
    ],
    ids=["whole", "in the name", "in a callback", "in an unknown field"],
)
def test_a_token_nested_too_deeply_is_refused(admin: Caller, body: bytes) -> None:
    """Another reader than that of events, and the same end."""
    assert admin.call("POST", "/v1/tokens", data=body, content_type=JSON).status_code in (400, 422)


def an_event_of_depth(depth: int) -> bytes:
    """An event whose data is nested so deep."""
    nested = b"[" * (depth - 1) + b"]" * (depth - 1)
    return b'{"id":"evt_deep",' + SAMPLE[1:].replace(b'"data":{', b'"data":{"x":' + nested + b",")


def test_an_event_that_is_accepted_can_be_claimed_and_shown(
    house: House, backend: Caller, admin: Caller
) -> None:
    """All read within what the stack leaves them, and theirs differ: one event at the very limit
    must not break a list.
    """
    for depth in range(90, 1000, 5):
        backend.call("POST", "/v1/events", data=an_event_of_depth(depth), content_type=JSON)
    deepest = max((outgoing.event.message() for outgoing in house.publisher.published), key=len)

    assert _is_claimed(house, deepest, frames=300)
    assert admin.call("GET", "/v1/events").status_code == 200
    assert admin.call("GET", "/v1/events/evt_deep").status_code == 200


def _is_claimed(house: House, message: bytes, frames: int) -> bool:
    """By a consumer that stands so much deeper in its own calls."""
    if frames:
        return _is_claimed(house, message, frames - 1)
    with house.database.write() as connection:
        taken = claim(
            connection,
            [QueuedMessage(message, UnixMs(1), None, 0, "receipt")],
            house.directory,
            UnixMs(2),
            Terms(10, 0.0, 1000),
        )
    return taken.invalid == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a\nb", "U+000A (LINE FEED)"),
        ("a\r\nb", "U+000D (CARRIAGE RETURN)"),
        ("\x1b[2J", "U+001B (ESCAPE)"),
        ("a\u2028b", "U+2028 (LINE SEPARATOR)"),
        ("a\u2029b", "U+2029 (PARAGRAPH SEPARATOR)"),
        ("a\0b", "U+0000 (NULL)"),
        ("a\u202eb", "U+202E (RIGHT-TO-LEFT OVERRIDE)"),
        ("a\u202db", "U+202D (LEFT-TO-RIGHT OVERRIDE)"),
        ("a\x9bb", "U+009B (a control character)"),
        ("a\u0378b", "U+0378 (not assigned)"),
        ("a\uffffb", "U+FFFF (not assigned)"),
    ],
)
def test_a_name_cannot_make_lines_or_steer_a_terminal(
    admin: Caller, name: str, reason: str
) -> None:
    """It stands in logs, lists and spreadsheets."""
    answer = admin.call("POST", "/v1/tokens", {"name": name})

    assert answer.status_code == 422
    assert [fault["pointer"] for fault in (answer.json or {})["errors"]] == ["/name"]
    assert reason in (answer.json or {})["errors"][0]["detail"]


@pytest.mark.parametrize("given", ["a\tb", "a;b", '"', "%0a", "{}", "é", "x" * 129])
def test_a_request_id_that_could_be_read_as_something_else_is_replaced(
    house: House, given: str
) -> None:
    """It goes into the answer, the log and the request log."""
    answer = Caller(house, None).call("GET", "/healthz", headers={"X-Request-Id": given})

    assert answer.headers["X-Request-Id"].startswith("req_")
