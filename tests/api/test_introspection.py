"""Checks of tokens for the chat platform's own API: introspection."""

from urllib.parse import urlencode

import pytest

from api.http.bodies import FORM
from schemas.times import UnixMs, now_ms
from schemas.tokens.permissions import Permission
from schemas.tokens.secrets import new_token
from tests.kit.api import BOTH_DOORS, Caller, House
from tests.kit.checks import (
    NOBODYS,
    READ,
    SEND,
    STATES,
    authorize,
    introspect,
    logged,
    logged_of,
    made,
    not_active,
)

pytestmark = BOTH_DOORS

INACTIVE = b'{"active":false}'


def test_an_active_token_is_described(house: House, platform: Caller) -> None:
    """The fields of RFC 7662, and what the chat platform needs to answer for itself."""
    token = made(
        house,
        READ,
        SEND,
        channels=["chn_2", "chn_1"],
        activates_at=UnixMs(2_999),
        expires_at=UnixMs(32_503_680_000_999),
    )

    answer = introspect(platform, token.secret, permission="messages:send")

    assert answer.status_code == 200
    assert answer.json
    (row,) = logged_of(house, token)
    assert answer.json == {
        "active": True,
        "scope": "conversations:read messages:send",
        "client_id": token.token.id,
        "sub": token.token.id,
        "username": "ACME CRM",
        "channels": ["chn_1", "chn_2"],
        "iat": 1,
        "nbf": 2,
        "exp": 32_503_680_000,
        "allowed": True,
        "request_id": row["id"],
    }


def test_what_is_unlimited_is_reported_as_such(house: House, platform: Caller) -> None:
    """`channels` null is all; a token that never ends has no `exp`, as RFC 7662 would have it."""
    answer = introspect(platform, made(house).secret).json

    assert answer
    assert (answer["channels"], answer["scope"], answer["allowed"]) == (None, "", True)
    assert "exp" not in answer


@pytest.mark.parametrize(
    ("permission", "allowed"), [("conversations:read", True), ("messages:send", False)]
)
def test_whether_the_token_may_is_answered(
    house: House, platform: Caller, permission: str, allowed: bool
) -> None:
    """It is active all the same."""
    answer = introspect(platform, made(house, READ).secret, permission=permission).json

    assert answer
    assert (answer["active"], answer["allowed"]) == (True, allowed)


@pytest.mark.parametrize(
    "text", [NOBODYS, NOBODYS[:-1], NOBODYS[:-6] + "000000", "x", "rbk_ü", "\0", " "]
)
def test_what_is_no_token_of_ours_is_not_active_and_nothing_else(
    house: House, platform: Caller, text: str
) -> None:
    """The caller does not learn why, and nothing is remembered but a count."""
    answer = introspect(platform, text)

    assert (answer.status_code, answer.data, answer.content_type) == (
        200,
        INACTIVE,
        "application/json",
    )
    assert house.observer.refused == ["unknown"]
    assert logged(house) == []


@pytest.mark.parametrize("state", STATES)
def test_a_token_that_is_not_active_is_just_that(
    house: House, platform: Caller, state: str
) -> None:
    """Only administrators see the difference: its log has the check, and why it failed."""
    token = not_active(house, state)

    answer = introspect(platform, token.secret, permission="conversations:read")

    assert (answer.status_code, answer.data) == (200, INACTIVE)
    (row,) = logged_of(house, token)
    assert (row["allowed"], row["reason"], row["permission"]) == (
        False,
        state,
        "conversations:read",
    )
    assert house.observer.refused == [state]


def test_a_replaced_secret_ends_with_its_overlap(house: House, platform: Caller) -> None:
    """Who keeps answers until `exp` must not keep this one for longer."""
    admin = house.caller(Permission.PLATFORM_ADMIN)
    token = made(house)
    before_s = now_ms() // 1000
    new = (
        admin.call("POST", f"/v1/tokens/{token.token.id}/regenerate", {"overlap": "1h"}).json or {}
    )["token"]
    house.directory.refresh()

    old_ends, new_is = (introspect(platform, secret).json or {} for secret in (token.secret, new))

    assert before_s + 3600 <= old_ends["exp"] <= before_s + 3660
    assert "exp" not in new_is


def test_what_the_caller_tells_of_the_request_is_in_the_log(house: House, platform: Caller) -> None:
    """Without the query, where secrets may be; cut, and without what could do harm in a terminal or
    a database.
    """
    token = made(house, READ)
    request = {
        "method": "GET",
        "path": "/conversations/7?key=secret",
        "status": "404",
        "ip": "192.0.2.7",
        "user_agent": "curl/8\0\x1b[2J" + "x" * 999,
    }

    answer = introspect(platform, token.secret, permission="messages:send", **request)

    (row,) = logged_of(house, token)
    assert answer.json
    assert row["id"] == row["request_id"] == answer.json["request_id"]
    assert (row["method"], row["path"], row["status"], row["duration_ms"], row["address"]) == (
        "GET",
        "/conversations/7",
        404,
        None,
        "192.0.2.7",
    )
    assert row["user_agent"].startswith("curl/8\\x00\\x1b[2J")
    assert len(row["user_agent"]) == 512
    assert (row["permission"], row["allowed"], row["reason"]) == (
        "messages:send",
        False,
        "permission-missing",
    )


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"caf%E9", "caf\\xe9"),
        (b"caf\xe9", "caf\\xe9"),
        (b"caf%C3%A9", "café"),
        ("café".encode(), "café"),
        (b"cut+%ED%A0%BD", "cut \\xed\\xa0\\xbd"),
    ],
)
def test_what_a_client_wrote_in_bytes_that_are_no_utf8_fails_no_check(
    house: House, platform: Caller, sent: bytes, kept: str
) -> None:
    """Platforms pass on a header as its bytes came. A client that writes an odd one must not escape
    the check of its own token.
    """
    token = made(house, READ)
    body = b"token=%s&permission=conversations:read&path=/%s&user_agent=%s" % (
        token.secret.encode(),
        sent,
        sent,
    )

    answer = platform.call("POST", "/v1/introspect", data=body, content_type=FORM)

    assert (answer.status_code, (answer.json or {})["allowed"]) == (200, True)
    (row,) = logged_of(house, token)
    assert (row["path"], row["user_agent"]) == (f"/{kept}", kept)


@pytest.mark.parametrize("body", [b"token=%ff", b"token=\xff", b"token=%ED%A0%80"])
def test_a_token_of_bytes_that_are_no_text_is_not_active(platform: Caller, body: bytes) -> None:
    """It is what some client showed, as any other that is none of ours."""
    answer = platform.call("POST", "/v1/introspect", data=body, content_type=FORM)

    assert (answer.status_code, answer.data) == (200, INACTIVE)


@pytest.mark.parametrize("status", ["0", "abc", "-1", "600", "2_00", "200.0", "٢٠٠", "1e2"])
def test_a_status_that_is_none_is_not_known(house: House, platform: Caller, status: str) -> None:
    """It is for the log alone."""
    token = made(house)

    assert introspect(platform, token.secret, status=status).status_code == 200
    assert logged_of(house, token)[0]["status"] is None


def test_what_is_not_reported_is_not_known(house: House, platform: Caller) -> None:
    """Until it is reported."""
    token = made(house)

    introspect(platform, token.secret)

    (row,) = logged_of(house, token)
    unknown = (
        "method",
        "path",
        "status",
        "duration_ms",
        "address",
        "user_agent",
        "permission",
        "reason",
    )
    assert [row[name] for name in unknown] == [None] * len(unknown)
    assert row["allowed"]


def test_a_check_is_a_use(house: House, platform: Caller) -> None:
    """A token that only the chat platform sees is in use all the same."""
    token = made(house)

    introspect(platform, token.secret)

    assert token.token.id in house.directory.usage._last


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        (b"", 422, "/token"),
        (b"token=", 422, "/token"),
        (b"permission=stats:read", 422, "/token"),
        (b"token=x&permission=stats:write", 422, "/permission"),
        (b"token=x&permission=", 422, "/permission"),
        (b"token=x&permision=stats:read", 422, "/permision"),
        (b"token=x&status=200&status=500", 400, None),
        (b"token=x&token=y", 400, None),
        (b"&".join(b"f%d=1" % number for number in range(101)), 400, None),
        (b"token=" + b"x" * 300_000, 413, None),
    ],
)
def test_a_form_that_breaks_the_rules_is_a_problem(
    platform: Caller, body: bytes, status: int, pointer: str | None
) -> None:
    """A misspelt `permission` above all: it would be allowed, whatever the token may."""
    answer = platform.call("POST", "/v1/introspect", data=body, content_type=FORM)

    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")
    assert answer.json
    assert [fault["pointer"] for fault in answer.json.get("errors", [])] == (
        [pointer] if pointer else []
    )


def test_a_field_that_comes_twice_is_named(platform: Caller) -> None:
    """Nothing else in the form tells which."""
    answer = platform.call(
        "POST", "/v1/introspect", data=b"token=x&path=/a&path=/b", content_type=FORM
    )

    assert (answer.status_code, "duplicate form field path" in (answer.json or {})["detail"]) == (
        400,
        True,
    )


def test_only_forms_are_taken(house: House, platform: Caller) -> None:
    """RFC 7662, section 2.1; with parameters of the media type, whatever its case."""
    secret = made(house).secret

    assert platform.call("POST", "/v1/introspect", {"token": secret}).status_code == 415
    assert platform.call("POST", "/v1/introspect", data=f"token={secret}").status_code == 415
    squeezed = platform.call(
        "POST", "/v1/introspect", data="x", content_type=FORM, headers={"Content-Encoding": "gzip"}
    )
    assert squeezed.status_code == 415
    declared = "Application/X-WWW-Form-Urlencoded; charset=UTF-8"
    hinted = f"token_type_hint=access_token&token={secret}"
    assert platform.call("POST", "/v1/introspect", data=hinted, content_type=declared).json[
        "active"
    ]  # type: ignore[index]


def test_a_form_may_come_in_chunks(house: House, platform: Caller) -> None:
    """Werkzeug would cut it off at its limit without a word."""
    form = urlencode({"token": made(house).secret, "user_agent": "x" * 200_000}).encode()
    chunked = {
        "wsgi.input_terminated": True,
        "HTTP_TRANSFER_ENCODING": "chunked",
        "CONTENT_LENGTH": "",
    }

    assert platform.call(
        "POST", "/v1/introspect", data=form, content_type=FORM, environ_overrides=chunked
    ).json["active"]  # type: ignore[index]
    too_long = form + b"x" * 100_000
    assert (
        platform.call(
            "POST", "/v1/introspect", data=too_long, content_type=FORM, environ_overrides=chunked
        ).status_code
        == 413
    )


def test_checks_of_known_tokens_ask_the_store_nothing(house: House, platform: Caller) -> None:
    """Three thousand a second of them."""
    token = made(house, READ)
    introspect(platform, token.secret)
    with house.database.write() as connection:
        connection.exec_driver_sql("DROP TABLE directory_version")

    assert (introspect(platform, token.secret).json or {})["active"]
    assert authorize(house, token.secret, "conversations:read").status_code == 204


def test_a_token_that_cannot_be_looked_up_is_not_called_inactive(
    house: House, platform: Caller
) -> None:
    """Its holder's good token would be thrown away."""
    introspect(platform, new_token())
    with house.database.write() as connection:
        connection.exec_driver_sql("DROP TABLE directory_version")

    assert introspect(platform, new_token()).status_code == 503
    assert authorize(house, new_token()).status_code == 503


def test_the_document_says_that_it_is_a_form_and_which_headers_are_read(house: House) -> None:
    """The library would call it a form with files in it."""
    paths = (Caller(house, None).call("GET", "/docs/openapi.json").json or {})["paths"]
    introspection, authorization = paths["/v1/introspect"]["post"], paths["/v1/authorize"]["get"]

    assert introspection["requestBody"] == {
        "required": True,
        "content": {FORM: {"schema": {"$ref": "#/components/schemas/CheckToken"}}},
    }
    assert [one["name"] for one in authorization["parameters"]] == [
        "X-Required-Permission",
        "X-Original-Method",
        "X-Original-URI",
    ]
    assert set(authorization["responses"]) == {"204", "401", "403", "422", "429", "503"}
    assert authorization["security"] == [{"token": []}]
