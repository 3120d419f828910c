"""The OpenAPI 3.1 document: what flask-openapi3 collects from the routes, with the schemas of
Ringback's own models.

Two things of the library are corrected: components have no `securitySchemes: null`, and problems
are typed as `application/problem+json`.
"""

import inspect
from collections.abc import Mapping, Sequence
from http import HTTPStatus

import msgspec
from flask_openapi3.types import ResponseDict

from api.http.bodies import FORM
from api.http.responses import JSON, PROBLEM_JSON
from api.routes import HeaderField, Models, Route
from schemas.errors import MAX_REPORTED
from schemas.events.types import EventType
from schemas.json_schema import COMPONENTS, Schema, event_components, ref, webhook_name
from schemas.tokens.permissions import Permission

SECURITY_SCHEME, CLIENT_SCHEME = "token", "client"

DESCRIPTION = """\
Ringback delivers the events of a chat platform to callbacks: signed, retried, recorded.

Every call under `/v1` carries an API access token: `Authorization: Bearer rbk_…`. Times are RFC
3339, in UTC, with milliseconds. Errors are problems (RFC 9457). Lists are paged with `limit` and
`cursor`.

A parameter that is left out filters nothing. A parameter that is empty, given twice or unknown is
refused, so that a mistake never shows or sends more than was meant. Webhooks are signed according
to Standard Webhooks 1.0.
"""

SAME_SERVER: Schema = {"url": "..", "description": "The server that this document was loaded from."}
"""Relative to `…/docs/openapi.json`: a page that was opened under another name, or below a path,
calls the server that it came from.
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
            "description": "A JSON pointer (RFC 6901) into the body, or the name of a parameter."
            " Empty: the whole body. A very long one is cut, and ends with `…`.",
        },
    },
    "required": ["detail", "pointer"],
}
_PROBLEM: Schema = {
    "type": "object",
    "description": "What went wrong (RFC 9457). `type` never changes; it is the address of a page"
    " that explains the problem.",
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {"type": "array", "items": _FAULT, "maxItems": MAX_REPORTED},
        "more_errors": {
            "type": "integer",
            "description": f"The number of faults after the first {MAX_REPORTED}, which are not"
            " listed.",
        },
        "current": {
            "allOf": [ref("TokenAnswer")],
            "description": "Of a 412: the token as it is now.",
        },
    },
    "required": ["type", "title", "status", "detail"],
}
_ETAG = {
    "description": "Names what stands here now, for `If-Match`. It changes with every change that"
    " someone makes to the token or its callbacks.",
    "schema": {"type": "string"},
}
_TEST: Schema = {
    "type": "object",
    "description": "What a test sends.",
    "properties": {
        "data": {
            "type": ["object", "null"],
            "description": "The event's data, by the same rules as a published event of the"
            " callback's type. null or left out: the sample.",
        }
    },
    "additionalProperties": False,
}
_PERMISSIONS = "What a token may do.\n\n" + "\n".join(
    f"- `{permission.value}`: {permission.label}" for permission in Permission
)
_WEBHOOK_HEADERS = {
    "webhook-id": "The event's id, the same on each retry.",
    "webhook-timestamp": "Unix seconds of this attempt.",
    "webhook-signature": "`v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`. During a"
    " rotation there are several, separated by one space.",
    "ringback-attempt": "Counts this delivery's attempts from 1.",
}

_WEBHOOK_RESPONSES = {
    "2XX": "Delivered.",
    "410": "The callback is disabled, and its open deliveries are held.",
    "429": "The receiver accepts no more at the moment: no automatic attempt is made before"
    " `Retry-After`. No attempt is used up.",
    "503": "With `Retry-After` the same as 429, otherwise a failure.",
    "default": "A failure: retried by the schedule, and not before `Retry-After`. Redirects are"
    " never followed.",
}


def summary_and_description(route: Route) -> tuple[str, str]:
    """Return the first line of the view's docstring, and the rest with the needed permission."""
    summary, _, description = (inspect.getdoc(route.view) or "").partition("\n")
    needs = f"Needs the permission `{route.needs}` ({route.needs.label})." if route.needs else ""
    return summary.removesuffix("."), "\n\n".join(filter(None, [description.strip(), needs]))


def security(route: Route) -> list[dict[str, list[str]]]:
    """Return how the caller authenticates: with the bearer token, or with the same token as client
    credentials. The needed permission is documented as a role.
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
    """Return the success and the expected problems of a route, by status."""
    by_status: ResponseDict = {str(int(route.status)): _success(route)}
    if route.other_success:
        other, answer = route.other_success
        content = {JSON: {"schema": ref(answer.__name__)}}
        by_status[str(int(other))] = {"description": other.phrase, "content": content}
    problems = set(route.problems) | (
        set() if route.is_open else {401, 429, 503} | ({403} if route.needs else set())
    )
    for status in sorted(problems):
        content = {PROBLEM_JSON: {"schema": ref("Problem")}}
        by_status[str(status)] = {"description": HTTPStatus(status).phrase, "content": content}
    return by_status


def extensions(route: Route) -> Schema:
    """Return what a view's annotations do not say: the body that it reads itself."""
    if route.takes is None:
        return {}
    content = {JSON: {"schema": ref(route.takes)}}
    return {"requestBody": {"required": not route.is_optional, "content": content}}


def completed(
    document: Schema, routes: Mapping[Route, Models], servers: Sequence[Schema]
) -> Schema:
    """Return the library's document, corrected and with components, servers and webhooks."""
    operations = {
        operation["operationId"]: operation
        for path in document["paths"].values()
        for operation in path.values()
    }
    for route, models in routes.items():
        operation = operations[route.name]
        # The library repeats the summary where there is no description.
        if operation["description"].removesuffix(".") == operation["summary"]:
            del operation["description"]
        # The library adds a 422 of its own to routes without one.
        if PROBLEM_JSON not in operation["responses"]["422"]["content"]:
            del operation["responses"]["422"]
        if models.body:
            operation["requestBody"]["required"] = models.needs_body
        if models.form:  # the library documents every form as one with files
            operation["requestBody"] = {
                "required": True,
                "content": {FORM: {"schema": ref(models.form.__name__)}},
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
            event_type.value: _webhook(event_type, components[webhook_name(event_type)])
            for event_type in EventType
        },
    }


def _components(routes: Mapping[Route, Models]) -> dict[str, Schema]:
    answers = dict.fromkeys(route.answer for route in routes if route.answer)
    answers |= dict.fromkeys(route.other_success[1] for route in routes if route.other_success)
    _, components = msgspec.json.schema_components(answers, ref_template=COMPONENTS)
    for models in routes.values():
        for model in filter(None, models):
            schema = model.model_json_schema(ref_template=COMPONENTS.format(name="{model}"))
            components |= schema.pop("$defs", {})
            if model in {models.body, models.form}:  # parameters are documented at the operation
                components[model.__name__] = schema
    for schema in components.values():
        # msgspec keeps the indentation of docstrings, which Markdown shows as code.
        if "description" in schema:
            schema["description"] = inspect.cleandoc(schema["description"])
    components["Permission"]["description"] = _PERMISSIONS
    return components | event_components() | {"Problem": _PROBLEM, "CallbackTest": _TEST}


def _success(route: Route) -> Schema:
    answer: Schema = {"description": route.status.phrase}
    if route.answer:
        answer["content"] = {JSON: {"schema": ref(route.answer.__name__)}}
    if route.etag:
        answer["headers"] = {"ETag": _ETAG}
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


def _webhook(event_type: EventType, schema: Schema) -> Schema:
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
    examples = {"sample": {"summary": event_type.label, "value": schema["examples"][0]}}
    operation = {
        "operationId": f"webhook_{event_type.name.lower()}",
        "summary": event_type.label,
        "description": "Respond 2xx to accept it. Any other response, or none in time, is a failure"
        " and retried.",
        "tags": ["Webhooks"],
        "parameters": parameters,
        "requestBody": {
            "required": True,
            "content": {JSON: {"schema": ref(webhook_name(event_type)), "examples": examples}},
        },
        "responses": {status: {"description": text} for status, text in _WEBHOOK_RESPONSES.items()},
        "security": [],
    }
    return {"post": operation}
