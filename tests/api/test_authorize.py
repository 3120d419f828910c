"""Checks of tokens for gateways: what nginx and Traefik ask, and what they are answered."""

from typing import Any

import pytest

from api import application
from api.http.environ import context_of
from api.parts import ApiParts
from schemas.tokens.permissions import Permission
from schemas.tokens.target_policy import parse_networks
from tests.kit.api import BOTH_DOORS, House
from tests.kit.checks import NOBODYS, READ, STATES, authorize, logged, made, not_active

pytestmark = BOTH_DOORS


@pytest.fixture
def behind_a_gateway(house: House) -> House:
    house.use(trusted_proxies=parse_networks(["10.0.0.0/8"]))
    return house


@pytest.mark.parametrize(
    ("channels", "header"),
    [
        (None, "*"),
        ([], ""),
        (["chn_1"], "chn_1"),
        (["b", "a"], "a,b"),
        (["*"], "%2A"),
        (["a,b", "c d", "+39 02", "ü"], "%2B39%2002,a%2Cb,c%20d,%C3%BC"),
        (["a\r\nX-Evil: 1"], "a%0D%0AX-Evil%3A%201"),
    ],
)
def test_a_gateway_learns_whose_token_it_is_and_what_it_sees(
    house: House, channels: list[str] | None, header: str
) -> None:
    """No id can be taken for two, for all, or for the next header."""
    token = made(house, READ, channels=channels)

    answer = authorize(house, token.secret, "conversations:read")

    assert (answer.status_code, answer.data) == (204, b"")
    assert answer.headers["X-Ringback-Token-Id"] == token.token.id
    assert answer.headers["X-Ringback-Channels"] == header
    assert "X-Evil" not in answer.headers
    (row,) = logged(house)
    assert row["id"] == row["request_id"] == answer.headers["X-Ringback-Request-Id"]


def test_a_permission_that_is_missing_is_forbidden_and_logged(house: House) -> None:
    """The gateway then answers 403."""
    token = made(house, READ)

    answer = authorize(house, token.secret, "messages:send")

    assert answer.status_code == 403
    assert answer.json
    assert "messages:send" in answer.json["detail"]
    (row,) = logged(house)
    assert (row["allowed"], row["reason"], row["permission"]) == (
        False,
        "permission-missing",
        "messages:send",
    )


def test_a_gateway_that_asks_for_none_lets_any_active_token_through(house: House) -> None:
    """It has to say so."""
    assert authorize(house, made(house).secret, "none").status_code == 204


@pytest.mark.parametrize(
    "permission", [None, "", " ", "stats:read,stats:read", "none, none", "stats:read, none", "None"]
)
def test_a_gateway_that_lost_its_question_opens_nothing(
    house: House, permission: str | None
) -> None:
    """A header that is forgotten, or emptied, or sent by its client too, would let every token
    through.
    """
    answer = authorize(house, made(house, *Permission).secret, permission)

    assert answer.status_code == 422
    assert answer.json
    assert [fault["pointer"] for fault in answer.json["errors"]] == ["X-Required-Permission"]
    assert "X-Ringback-Token-Id" not in answer.headers


@pytest.mark.parametrize("state", STATES)
def test_a_gateway_gets_401_for_a_token_that_is_not_active(house: House, state: str) -> None:
    """With the challenge that nginx passes on; and the token's log says why."""
    token = not_active(house, state)

    answer = authorize(house, token.secret, "conversations:read")

    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (
        401,
        'Bearer error="invalid_token"',
    )
    (row,) = logged(house)
    assert (row["token_id"], row["allowed"], row["reason"]) == (token.token.id, False, state)


@pytest.mark.parametrize("secret", [None, NOBODYS, "x"])
def test_a_gateway_gets_401_for_what_is_no_token(house: House, secret: str | None) -> None:
    """There is no token to log it for."""
    assert authorize(house, secret, "conversations:read").status_code == 401
    assert logged(house) == []


@pytest.mark.parametrize("permission", ["conversation:read", "ü", "Conversations:Read"])
def test_a_permission_that_there_is_not_is_the_gateways_mistake(
    house: House, permission: str
) -> None:
    """403 would look as if the token lacked it, and be looked for in the wrong place."""
    answer = authorize(house, made(house, *Permission).secret, permission)

    assert answer.status_code == 422
    assert answer.json
    assert answer.json["errors"][0]["pointer"] == "X-Required-Permission"
    assert "conversations:read" in answer.json["errors"][0]["detail"]
    (row,) = logged(house)
    assert (row["allowed"], row["reason"], row["permission"]) == (False, "invalid", None)


@pytest.mark.parametrize("spelling", ["X_Original_{}", "X_Forwarded_{}"])
def test_what_a_trusted_gateway_says_of_the_request_is_logged(
    behind_a_gateway: House, spelling: str
) -> None:
    """nginx's usual names and Traefik's; the path as people read it, without the query."""
    uri = "URI" if "Original" in spelling else "Uri"
    headers = {
        spelling.format("Method"): "PATCH",
        spelling.format(uri): "/customers/J%C3%B6rg?key=secret",
        "X_Forwarded_For": "198.51.100.7",
    }

    authorize(behind_a_gateway, made(behind_a_gateway).secret, User_Agent="curl/8", **headers)

    (row,) = logged(behind_a_gateway)
    assert (row["method"], row["path"], row["status"]) == ("PATCH", "/customers/Jörg", None)
    assert (row["address"], row["user_agent"]) == ("198.51.100.7", "curl/8")


def test_what_a_stranger_says_of_the_request_is_not_logged(behind_a_gateway: House) -> None:
    """A supplier must not write into its own log what it did not do."""
    said = {
        "X_Original_Method": "GET",
        "X_Original_URI": "/innocent",
        "X_Forwarded_For": "203.0.113.9",
    }

    authorize(behind_a_gateway, made(behind_a_gateway).secret, peer="192.0.2.1", **said)

    (row,) = logged(behind_a_gateway)
    assert (row["method"], row["path"], row["address"]) == (None, None, "192.0.2.1")


def test_a_check_for_a_gateway_is_marked_as_logged(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in the log as the request that was asked about, and must not be there as a call of the
    API too.
    """
    seen: list[object] = []
    original = application.log_request

    def watch(parts: ApiParts, environ: dict[str, Any], *given: Any) -> None:
        seen.append(context_of(environ).is_logged)
        original(parts, environ, *given)

    monkeypatch.setattr(application, "log_request", watch)
    authorize(house, made(house).secret, "stats:read")
    authorize(house, not_active(house, "suspended").secret)
    authorize(house, made(house).secret, "no such permission")
    house.caller().call("GET", "/v1/me")

    assert seen == [True, True, True, False]
