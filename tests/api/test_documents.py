"""The documents: valid, complete, and served without a network; health, readiness and metrics."""

import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from api.application import ROUTES
from api.pages import problems
from schemas.event_types import EventType
from schemas.events import parse_event
from schemas.json_schema import event_schema
from schemas.permissions import Permission
from schemas.samples import sample_body, sample_event
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


def test_the_document_names_every_route_and_nothing_else(house: House, document: dict[str, Any]) -> None:
    """What is not documented does not exist for a supplier. The documentation's own pages are left out."""
    documented = {(method.upper(), path) for path, operations in document["paths"].items() for method in operations}
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


def test_closed_routes_ask_for_the_bearer_token(document: dict[str, Any]) -> None:
    """So that Swagger UI sends it."""
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert document["paths"]["/v1/events"]["post"]["security"] == [{"token": []}]
    assert "security" not in document["paths"]["/healthz"]["get"]


def test_every_webhook_is_described(document: dict[str, Any]) -> None:
    """By type, with a sample."""
    assert set(document["webhooks"]) == set(EventType)
    for kind in EventType:
        schema = document["webhooks"][kind]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["examples"][0]["type"] == kind


@pytest.mark.parametrize("kind", EventType)
def test_the_sample_of_a_type_is_valid_by_the_schema_and_by_us(kind: EventType) -> None:
    """One truth, told twice."""
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
def test_the_schema_takes_the_contents_that_we_take(content: dict[str, Any], is_valid: bool) -> None:
    """Unknown types pass, known ones have their fields."""
    event = sample_event(EventType.MESSAGE_RECEIVED)
    event["data"]["message"]["content"] = content

    assert Draft202012Validator(event_schema(EventType.MESSAGE_RECEIVED)).is_valid(event) is is_valid


def test_the_documentation_needs_no_network(anybody: Caller) -> None:
    """Everything that the page loads comes from here."""
    page = anybody.call("GET", "/docs").text

    loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert loaded
    for address in loaded:
        assert address.startswith("/docs/")
        assert anybody.call("GET", address).status_code == 200
    assert "//" not in re.sub(r"<!DOCTYPE.*?>", "", page)


@pytest.mark.parametrize("name", ["../plugins.py", "nope.js", "..%2fplugins.py"])
def test_only_the_assets_are_served(anybody: Caller, name: str) -> None:
    """Nothing beside them in the package."""
    assert anybody.call("GET", f"/docs/assets/{name}").status_code == 404


def test_every_problem_has_a_page_at_its_type(anybody: Caller) -> None:
    """`type` is an address that one can open."""
    assert {"malformed", "unauthenticated", "permission-missing", "no-dispatcher"} <= set(problems())
    for slug, problem in problems().items():
        page = anybody.call("GET", f"/docs/problems/{slug}")
        assert page.status_code == 200
        assert problem.title in page.text
    assert anybody.call("GET", "/docs/problems/nope").status_code == 404


def test_a_process_is_alive_whatever_is_missing_and_ready_when_nothing_is(house: House, anybody: Caller) -> None:
    """What is missing is named."""
    assert anybody.call("GET", "/readyz").json == {"status": "ready"}
    house.missing["database"] = "it does not answer"

    answer = anybody.call("GET", "/readyz")

    assert answer.status_code == 503
    assert answer.json
    assert answer.json["missing"] == {"database": "it does not answer"}
    assert anybody.call("GET", "/healthz").json == {"status": "alive"}


def test_metrics_are_passed_on_as_they_are(anybody: Caller) -> None:
    """Their text and their content type are the metrics' own."""
    answer = anybody.call("GET", "/metrics")

    assert (answer.data, answer.content_type) == (b"ringback_build_info 1\n", "text/plain; version=0.0.4")


def test_a_token_sees_itself(house: House) -> None:
    """What may I do, and until when?"""
    answer = house.caller(Permission.STATS_READ).call("GET", "/v1/me")

    assert answer.status_code == 200
    assert answer.json
    assert (answer.json["permissions"], answer.json["state"]) == (["stats:read"], "active")
