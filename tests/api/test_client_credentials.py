"""Introspection by standard OAuth 2.0 clients: their token in the places that they know."""

import base64
from urllib.parse import urlencode

import pytest
from werkzeug.test import TestResponse

from api.http.bodies import FORM
from schemas.tokens.permissions import Permission
from tests.kit.api import BOTH_DOORS, Caller, House
from tests.kit.checks import made

pytestmark = BOTH_DOORS


def basic(name: str, password: str, scheme: str = "Basic") -> dict[str, str]:
    return {"Authorization": f"{scheme} {base64.b64encode(f'{name}:{password}'.encode()).decode()}"}


def ask(house: House, headers: dict[str, str] | None = None, **fields: str) -> TestResponse:
    form = urlencode({"token": made(house).secret} | fields)
    return Caller(house, None).call(
        "POST", "/v1/introspect", data=form, content_type=FORM, headers=headers or {}
    )


@pytest.fixture
def secret(house: House) -> str:
    """The secret of the chat platform's own API."""
    return house.secret(Permission.TOKENS_INTROSPECT)


@pytest.mark.parametrize("name", ["chat-api", "", "tok_1", "ü"])
@pytest.mark.parametrize("scheme", ["Basic", "basic"])
def test_a_client_shows_its_token_as_the_password_of_http_basic(
    house: House, secret: str, name: str, scheme: str
) -> None:
    """Libraries know no other way, and ask for a client id, whatever it is."""
    answer = ask(house, basic(name, secret, scheme))

    assert (answer.status_code, (answer.json or {})["active"]) == (200, True)


@pytest.mark.parametrize("name", ["ü".encode("latin-1"), b"\xff\xfe", b""])
def test_a_name_of_any_encoding_is_not_looked_at(house: House, secret: str, name: bytes) -> None:
    """Older clients write Latin-1."""
    shown = base64.b64encode(name + b":" + secret.encode()).decode()

    assert ask(house, {"Authorization": f"Basic {shown}"}).status_code == 200


def test_a_password_is_decoded_as_the_standard_spells_it(house: House, secret: str) -> None:
    """RFC 6749, section 2.3.1: as in a form. Some libraries escape the underscore."""
    assert ask(house, basic("chat-api", secret.replace("_", "%5F"))).status_code == 200


def test_a_client_shows_its_token_in_the_form(house: House, secret: str) -> None:
    """`client_secret_post`."""
    answer = ask(house, client_id="chat-api", client_secret=secret, permission="stats:read")

    assert (answer.status_code, (answer.json or {})["allowed"]) == (200, False)


@pytest.mark.parametrize(
    "fields",
    [{"client_id": "chat-api"}, {"client_id": "x", "client_secret": "y"}, {"client_secret": ""}],
)
def test_other_parameters_next_to_a_bearer_token_are_let_pass(
    house: House, platform: Caller, fields: dict[str, str]
) -> None:
    """Clients send their id in any case."""
    form = urlencode({"token": made(house).secret} | fields)

    assert platform.call("POST", "/v1/introspect", data=form, content_type=FORM).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        basic("x", ""),
        basic("x", "rbk_wrong"),
        {"Authorization": "Basic ???"},
        {"Authorization": "Basic /w=="},
        {"Authorization": "Basic"},
    ],
)
def test_a_client_without_a_good_token_is_refused(house: House, headers: dict[str, str]) -> None:
    """Whatever it is that it shows; nothing of what it asked is read."""
    answer = ask(
        house, headers, client_id="x", client_secret="y" if not headers else "", permision="typo"
    )

    assert (answer.status_code, answer.content_type) == (401, "application/problem+json")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_token_that_may_not_check_is_forbidden_in_each_place(house: House) -> None:
    """The place changes nothing of what it may."""
    other = house.secret(Permission.EVENTS_PUBLISH)

    assert ask(house, basic("x", other)).status_code == 403
    assert ask(house, client_secret=other).status_code == 403


@pytest.mark.parametrize("path", ["/v1/me", "/v1/authorize", "/v1/events"])
def test_elsewhere_a_bearer_token_is_asked_for(house: House, secret: str, path: str) -> None:
    """A gateway's client that shows Basic shows it to the service behind it."""
    answer = Caller(house, None).call("GET", path, headers=basic("x", secret))

    assert answer.status_code in {401, 405}
    assert "Basic" not in answer.headers.get("WWW-Authenticate", "")


def test_a_form_that_is_too_large_is_refused_before_its_caller_is_known(house: House) -> None:
    """Its end is read, as ever."""
    answer = ask(house, client_secret="x" * 300_000)

    assert answer.status_code == 401


def test_the_document_knows_both_places(house: House) -> None:
    """Generators of clients choose among them."""
    document = Caller(house, None).call("GET", "/docs/openapi.json").json or {}

    security = document["paths"]["/v1/introspect"]["post"]["security"]
    assert security == [{"token": ["tokens:introspect"]}, {"client": ["tokens:introspect"]}]
    assert document["components"]["securitySchemes"]["client"]["scheme"] == "basic"
