"""The documents: valid, complete, and served without a network; health, readiness and metrics."""

import json
import re
from dataclasses import replace
from html import escape, unescape
from typing import Any
from urllib.parse import urljoin

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from api.application import ROUTES, create_app, openapi_document
from api.docs.problems import documented_problems, problems
from schemas.errors import Problem
from schemas.events.events import parse_event
from schemas.events.samples import sample_body, sample_event
from schemas.events.types import EventType
from schemas.json_schema import event_schema
from schemas.tokens.permissions import Permission
from tests.kit.api import Caller, House


@pytest.fixture
def anybody(house: House) -> Caller:
    return Caller(house, None)


@pytest.fixture
def document(anybody: Caller) -> dict[str, Any]:
    return anybody.call("GET", "/docs/openapi.json").json or {}


def test_the_document_is_valid_openapi(document: dict[str, Any]) -> None:
    """Every reference leads somewhere, too."""
    assert document["openapi"].startswith("3.1")

    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_the_document_names_every_route_and_nothing_else(
    house: House, document: dict[str, Any]
) -> None:
    """What is not documented does not exist for a supplier. The documentation's own pages are left
    out.
    """
    documented = {
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method in operations
    }
    served = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in house.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if not rule.rule.startswith("/docs")
    }

    assert documented == served
    assert len(documented) == len(ROUTES)


def test_errors_are_documented_as_problems(document: dict[str, Any]) -> None:
    """The library would say that they are plain JSON."""
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    assert list(answer["content"]) == ["application/problem+json"]


def test_every_answer_is_typed(document: dict[str, Any]) -> None:
    """A client is generated from it. Only 204 has no body."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for status, answer in operation["responses"].items():
                schemas = [media["schema"] for media in answer.get("content", {}).values()]
                assert all(schemas), f"{method} {path}: {status}"
                assert bool(schemas) is (status != "204"), f"{method} {path}: {status}"


@pytest.mark.parametrize(
    ("name", "path"),
    [("Regenerate", "regenerate"), ("RotateSigningSecret", "rotate-signing-secret")],
)
def test_a_default_is_documented_as_it_may_be_sent(
    admin: Caller, document: dict[str, Any], token: dict[str, Any], name: str, path: str
) -> None:
    """Generated clients fill it in; the library would spell a duration P1D, which is refused."""
    documented = document["components"]["schemas"][name]["properties"]["overlap"]["default"]

    answer = admin.call("POST", f"/v1/tokens/{token['id']}/{path}", {"overlap": documented})

    assert answer.status_code == 200, answer.json


def test_the_document_says_what_a_callback_may_be(document: dict[str, Any]) -> None:
    """As far as JSON Schema can: who generates a form from it need not learn the rules from
    refusals.
    """
    schemas = document["components"]["schemas"]
    callback, name = (
        Draft202012Validator(one)
        for one in (
            schemas["PutCallback"] | {"components": document["components"]},
            schemas["CreateToken"]["properties"]["name"],
        )
    )

    assert callback.is_valid({"url": "https://x.example/", "headers": {"X-API_Key": "a\tb c"}})
    for bad in (
        {"url": "ftp://x.example/"},
        {"url": "https://" + "x" * 2048},
        {"url": "https://x.example/", "headers": {"a b": "c"}},
    ):
        assert not callback.is_valid(bad)
    assert [name.is_valid("x" * length) for length in (0, 1, 200, 201)] == [
        False,
        True,
        True,
        False,
    ]


def test_closed_routes_ask_for_the_bearer_token_and_name_the_permission(
    document: dict[str, Any],
) -> None:
    """Swagger UI then sends it, and people know what to ask an administrator for."""
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    publishing = document["paths"]["/v1/events"]["post"]
    assert publishing["security"] == [{"token": ["events:publish"]}]
    assert publishing["description"].endswith(
        "Needs the permission `events:publish` (Publish events)."
    )
    assert document["paths"]["/v1/me"]["get"]["security"] == [{"token": []}]
    assert "security" not in document["paths"]["/healthz"]["get"]


@pytest.mark.parametrize("kind", EventType)
def test_every_webhook_is_described_with_an_example(
    document: dict[str, Any], kind: EventType
) -> None:
    """A supplier starts from the example; it fits the schema that they validate with."""
    assert set(document["webhooks"]) == set(EventType)
    body = document["webhooks"][kind]["post"]["requestBody"]["content"]["application/json"]
    (example,) = (one["value"] for one in body["examples"].values())

    assert example["type"] == kind
    Draft202012Validator(document | body["schema"]).validate(example)


@pytest.mark.parametrize("kind", EventType)
def test_the_sample_of_a_type_is_valid_by_the_schema_and_by_us(kind: EventType) -> None:
    """The same facts in two places."""
    Draft202012Validator.check_schema(event_schema(kind))

    Draft202012Validator(event_schema(kind)).validate(sample_event(kind))
    assert parse_event(sample_body(kind, channel_id="mine")).facts.channel_id == "mine"


@pytest.mark.parametrize(
    ("content", "is_valid"),
    [
        ({"type": "text", "text": "hi"}, True),
        ({"type": "text"}, False),
        ({"type": "image", "media": {"url": "https://x"}}, True),
        ({"type": "image"}, False),
        ({"type": "location", "latitude": 1, "longitude": 2}, True),
        ({"type": "reaction"}, True),
        ({"type": "not-yet-invented", "x": 1}, True),
        ({}, False),
    ],
)
def test_the_schema_takes_the_contents_that_we_take(
    content: dict[str, Any], is_valid: bool
) -> None:
    """Unknown types pass, known ones have their fields."""
    event = sample_event(EventType.MESSAGE_RECEIVED)
    event["data"]["message"]["content"] = content

    assert (
        Draft202012Validator(event_schema(EventType.MESSAGE_RECEIVED)).is_valid(event) is is_valid
    )


def test_the_documentation_needs_no_network(anybody: Caller) -> None:
    """Everything that the page loads comes from here."""
    page = anybody.call("GET", "/docs").text

    loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert loaded
    for address in loaded:
        assert address.startswith("docs/")
        assert anybody.call("GET", f"/{address}").status_code == 200
    assert "//" not in re.sub(r"<!DOCTYPE.*?>", "", page)


@pytest.mark.parametrize(
    "base",
    [
        "https://ringback.example/",
        "http://10.0.0.7:8080/",
        "https://gateway.example/chat/ringback/",
    ],
)
def test_the_documentation_works_wherever_it_is_opened(
    anybody: Caller, document: dict[str, Any], base: str
) -> None:
    """By another name than PUBLIC_URL, or below a path that a proxy takes away: what it loads and
    calls is next to it.
    """
    for page in ("docs", "docs/problems/not-found"):
        for address in re.findall(r'(?:src|href)="([^"]+)"', anybody.call("GET", f"/{page}").text):
            loaded = urljoin(base + page, address)
            assert loaded.startswith(base)
            assert anybody.call("GET", "/" + loaded.removeprefix(base)).status_code == 200

    relative, public = (server["url"] for server in document["servers"])
    assert urljoin(f"{base}docs/openapi.json", relative) == base
    assert public == "https://ringback.example"


def test_a_document_in_a_file_names_an_address() -> None:
    """There is nothing next to a file: what builds make of it goes to PUBLIC_URL."""
    assert openapi_document("9.9.9", "https://ringback.example")["servers"] == [
        {"url": "https://ringback.example"}
    ]


def test_the_documentation_leads_on(house: House, anybody: Caller) -> None:
    """To the file to download, the document, and where the chat platform describes its own API."""
    platform = "https://chat.example/docs?a=1&b=2"
    elsewhere = create_app(replace(house.parts, platform_docs_url=platform)).test_client()

    page, with_platform = anybody.call("GET", "/docs").text, elsewhere.get("/docs").text

    assert '<a href="docs/ringback-api.html" download>' in page
    assert '<a href="docs/openapi.json">' in page
    assert escape(platform) not in page
    assert f'<a href="{escape(platform)}">' in with_platform


@pytest.mark.parametrize("name", ["../plugins.py", "nope.js", "..%2fplugins.py"])
def test_only_the_assets_are_served(anybody: Caller, name: str) -> None:
    """There are no other files with them in the package."""
    assert anybody.call("GET", f"/docs/assets/{name}").status_code == 404


def test_every_problem_has_a_page_at_its_type(anybody: Caller) -> None:
    """`type` is an address that one can open."""
    assert {"malformed", "unauthenticated", "permission-missing", "no-dispatcher"} <= set(
        problems()
    )
    for slug, problem in problems().items():
        page = anybody.call("GET", f"/docs/problems/{slug}")
        assert page.status_code == 200
        assert problem.title in page.text
    assert anybody.call("GET", "/docs/problems/nope").status_code == 404


@pytest.mark.parametrize("problem", problems().values(), ids=problems())
def test_a_problems_page_says_what_happened_what_to_do_and_shows_an_answer(
    anybody: Caller, problem: type[Problem]
) -> None:
    """A reader who comes from a log line has no other page."""
    page = anybody.call("GET", f"/docs/problems/{problem.slug}").text

    shown = documented_problems()[problem.slug]
    head, _, body = shown.example.partition("\n\n")
    assert head.startswith(f"HTTP/1.1 {problem.status} ")
    assert json.loads(body)["type"] == f"/docs/problems/{problem.slug}"
    assert shown.happened
    assert len(shown.remedy) > 20
    assert shown.example in unescape(page)


def test_a_process_that_lacks_something_and_accepts_events_is_ready_and_says_what_it_lacks(
    house: House, anybody: Caller
) -> None:
    """A load balancer that took every API away because the broker restarts would make an outage of
    it.
    """
    house.missing["broker"] = "cannot reach the broker"

    answer = anybody.call("GET", "/readyz")

    assert answer.status_code == 200
    assert answer.json == {"status": "ready", "degraded": {"broker": "cannot reach the broker"}}


def test_a_process_is_alive_whatever_is_missing_and_ready_when_events_can_be_made_durable(
    house: House, anybody: Caller
) -> None:
    """What is missing is named."""
    assert anybody.call("GET", "/readyz").json == {"status": "ready"}
    house.ready = False
    house.missing["database"] = "it does not answer"

    answer = anybody.call("GET", "/readyz")

    assert answer.status_code == 503
    assert answer.json
    assert answer.json["missing"] == {"database": "it does not answer"}
    assert anybody.call("GET", "/healthz").json == {"status": "alive"}


def test_metrics_are_passed_on_as_they_are(anybody: Caller) -> None:
    """Their text and their content type are the metrics' own."""
    answer = anybody.call("GET", "/metrics")

    assert (answer.data, answer.content_type) == (
        b"ringback_build_info 1\n",
        "text/plain; version=0.0.4",
    )


def test_a_token_sees_itself(house: House) -> None:
    """What may I do, and until when?"""
    answer = house.caller(Permission.STATS_READ).call("GET", "/v1/me")

    assert answer.status_code == 200
    assert answer.json
    assert (answer.json["permissions"], answer.json["state"]) == (["stats:read"], "active")


def test_the_address_with_a_slash_behind_it_leads_to_the_page(house: House) -> None:
    """People write it so. The way there is relative: Ringback may be below a path."""
    answer = Caller(house, None).call("GET", "/docs/")

    assert (answer.status_code, answer.headers["Location"]) == (308, "../docs")
