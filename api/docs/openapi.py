"""The OpenAPI 3.1 document: what flask-openapi3 gathers from the routes, with schemas of our own
models put in as they are.

Mended of the library: components without `securitySchemes: null`, and problems typed as
`application/problem+json`.
"""

import inspect
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from flask_openapi3.types import ResponseDict

from api.http.bodies import FORM
from api.http.responses import JSON, PROBLEM_JSON
from api.routes import HeaderField, Models, Route
from schemas.errors import MOST_TOLD
from schemas.events.types import EventType
from schemas.json_schema import COMPONENTS, Schema, event_components, webhook_name
from schemas.tokens.permissions import Permission

SECURITY_SCHEME, CLIENT_SCHEME = "token", "client"

DESCRIPTION = """\
Ringback delivers what happens in a chat platform to callbacks: signed, retried, recorded.

Every call under `/v1` carries an API access token: `Authorization: Bearer rbk_…`. Times are RFC 3339, UTC, with milliseconds.
Errors are problems of RFC 9457; lists are paged with `limit` and `cursor`. A parameter that is left out filters nothing; one that is
empty, given twice or unknown is refused, so that a slip never shows or sends more than was meant. Webhooks are signed as Standard Webhooks 1.0 says.
"""

BESIDE_THE_DOCUMENT: Schema = {"url": "..", "description": "Where this document was loaded from."}
"""Relative to `…/docs/openapi.json`: whoever opens the pages by another name, or below a path,
calls what he opened.
"""

_SECURITY = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "rbk_…",
    "description": "An API access token.",
}
_CLIENT_SECURITY = {
    "type": "http",
    "scheme": "basic",
    "description": "The token as the password, with any name.",
}
_FAULT = {
    "type": "object",
    "properties": {
        "detail": {"type": "string"},
        "pointer": {
            "type": "string",
            "description": "RFC 6901; empty: the whole. A very long one is cut, and ends with `…`.",
        },
    },
    "required": ["detail", "pointer"],
}
_PROBLEM: Schema = {
    "type": "object",
    "description": "What went wrong (RFC 9457). `type` is stable, and the address of a page about it.",
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {"type": "array", "items": _FAULT, "maxItems": MOST_TOLD},
        "more_errors": {
            "type": "integer",
            "description": f"Faults beyond the first {MOST_TOLD}: only their number is told.",
        },
    },
    "required": ["type", "title", "status", "detail"],
}
_PERMISSIONS = "What a token may do.\n\n" + "\n".join(
    f"- `{one.value}`: {one.label}" for one in Permission
)
_WEBHOOK_HEADERS = {
    "webhook-id": "The event's id, the same on each retry.",
    "webhook-timestamp": "Unix seconds of this attempt.",
    "webhook-signature": "`v1,` and the base64 of HMAC-SHA256 of `id.timestamp.body`; during a rotation several, separated by a space.",
    "ringback-attempt": "Counts this delivery's attempts from 1.",
}

_WEBHOOK_ANSWERS = {
    "2XX": "Delivered.",
    "410": "The callback is disabled, its open deliveries are held.",
    "429": "The receiver takes no more at present: nothing automatic is sent to it before `Retry-After`. No attempt is used up.",
    "503": "With `Retry-After` as 429; else a failure.",
    "default": "A failure: tried again by the schedule, and not before `Retry-After`. Redirects are never followed.",
}


def words(route: Route) -> tuple[str, str]:
    """Summary and description: the first line of the view's docstring, and the rest, with the
    permission that is needed.
    """
    summary, _, description = (inspect.getdoc(route.view) or "").partition("\n")
    needs = f"Needs the permission `{route.needs}` ({route.needs.label})." if route.needs else ""
    return summary.removesuffix("."), "\n\n".join(filter(None, [description.strip(), needs]))


def security(route: Route) -> list[dict[str, list[str]]]:
    """The bearer token, and as its role the permission that it must have; or the same token in
    another place.
    """
    if route.is_open:
        return []
    roles = [route.needs.value] if route.needs else []
    return [
        {scheme: roles}
        for scheme in (
            (SECURITY_SCHEME, CLIENT_SCHEME) if route.client_credentials else (SECURITY_SCHEME,)
        )
    ]


def responses(route: Route) -> ResponseDict:
    """Every answer that a route gives on purpose, by status."""
    answers: ResponseDict = {str(int(route.status)): _success(route)}
    problems = set(route.problems) | (
        set() if route.is_open else {401, 429, 503} | ({403} if route.needs else set())
    )
    for status in sorted(problems):
        content = {PROBLEM_JSON: {"schema": _ref("Problem")}}
        answers[str(status)] = {"description": HTTPStatus(status).phrase, "content": content}
    return answers


def extensions(route: Route) -> dict[str, Any]:
    """What a view's annotations do not say: the body that it reads by itself."""
    if route.takes is None:
        return {}
    return {"requestBody": {"required": True, "content": {JSON: {"schema": _ref(route.takes)}}}}


def mended(
    document: dict[str, Any], routes: Mapping[Route, Models], servers: Sequence[Schema]
) -> dict[str, Any]:
    """The library's document, completed."""
    operations = {
        operation["operationId"]: operation
        for path in document["paths"].values()
        for operation in path.values()
    }
    for route, models in routes.items():
        operation = operations[route.name]
        if (
            PROBLEM_JSON not in operation["responses"]["422"]["content"]
        ):  # the library adds one of its own where a route has none
            del operation["responses"]["422"]
        if models.body:
            operation["requestBody"]["required"] = models.needs_body
        if models.form:  # the library takes every form for one with files in it
            operation["requestBody"] = {
                "required": True,
                "content": {FORM: {"schema": _ref(models.form.__name__)}},
            }
        if route.headers:
            operation.setdefault("parameters", []).extend(_header(field) for field in route.headers)
    components = _components(routes)
    return document | {
        "servers": list(servers),
        "components": {
            "schemas": components,
            "securitySchemes": {SECURITY_SCHEME: _SECURITY, CLIENT_SCHEME: _CLIENT_SECURITY},
        },
        "webhooks": {
            kind.value: _webhook(kind, components[webhook_name(kind)]) for kind in EventType
        },
    }


def _components(routes: Mapping[Route, Models]) -> dict[str, Schema]:
    answers = dict.fromkeys(route.answer for route in routes if route.answer)
    _, components = msgspec.json.schema_components(answers, ref_template=COMPONENTS)
    for models in routes.values():
        for model in filter(None, models):
            schema = model.model_json_schema(ref_template=COMPONENTS.format(name="{model}"))
            components |= schema.pop("$defs", {})
            if model in {models.body, models.form}:  # the others are spelled out where they stand
                components[model.__name__] = schema
    components["Permission"]["description"] = _PERMISSIONS
    return components | event_components() | {"Problem": _PROBLEM}


def _success(route: Route) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": route.status.phrase}
    if route.answer:
        answer["content"] = {JSON: {"schema": _ref(route.answer.__name__)}}
    if route.file:
        answer["content"] = {route.file: {"schema": {"type": "string", "format": "binary"}}}
    return answer


def _header(field: HeaderField) -> Schema:
    schema: Schema = {"type": "string"} | ({"enum": list(field.values)} if field.values else {})
    return {
        "name": field.name,
        "in": "header",
        "required": field.required,
        "description": field.description,
        "schema": schema,
    }


def _webhook(kind: EventType, schema: Schema) -> dict[str, Any]:
    parameters = [
        {
            "name": name,
            "in": "header",
            "required": True,
            "description": text,
            "schema": {"type": "string"},
        }
        for name, text in _WEBHOOK_HEADERS.items()
    ]
    examples = {"sample": {"summary": kind.label, "value": schema["examples"][0]}}
    operation = {
        "operationId": f"webhook_{kind.name.lower()}",
        "summary": kind.label,
        "description": "Answer 2xx to take it; anything else, or nothing in time, is tried again.",
        "tags": ["Webhooks"],
        "parameters": parameters,
        "requestBody": {
            "required": True,
            "content": {JSON: {"schema": _ref(webhook_name(kind)), "examples": examples}},
        },
        "responses": {status: {"description": text} for status, text in _WEBHOOK_ANSWERS.items()},
        "security": [],
    }
    return {"post": operation}


def _ref(name: str) -> Schema:
    return {"$ref": COMPONENTS.format(name=name)}
