"""The guide for suppliers: one HTML file to download, which needs neither the server nor a network.

It is rendered from the OpenAPI document, the models of events, the problems and the settings of
this installation, so that it cannot contradict them. Called by `pages`.
"""

import datetime as dt
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from itertools import accumulate
from typing import NamedTuple

import msgspec

from api.docs.problems import documented_problems
from api.docs.schema_tables import Components, Field, ValueType, fields, value_type_of
from api.docs.templates import SNIPPETS, render, snippet
from api.http.responses import PROBLEM_JSON
from api.parts import ApiParts
from schemas.events.data import CONTENT_MODELS
from schemas.events.types import EventType
from schemas.json_schema import Schema, webhook_name
from schemas.times import format_duration
from schemas.tokens.permissions import Permission

_AUDIENCES = {
    "owner": "For the owner of a token",
    "backend": "For chat backends",
    "platform": "For the chat platform's own API",
    "administrator": "For administrators",
    "open": "Open to anyone",
}
_BY_PERMISSION = {
    Permission.EVENTS_PUBLISH: "backend",
    Permission.TOKENS_INTROSPECT: "platform",
    Permission.PLATFORM_ADMIN: "administrator",
}


class Success(NamedTuple):
    """A response that is no problem."""

    status: str
    phrase: str
    body: ValueType | None
    """None: the response has no body."""


class Operation(NamedTuple):
    """One method of one address."""

    method: str
    path: str
    summary: str
    description: str
    audience: str
    parameters: list[Field]
    body: ValueType | None
    successes: list[Success]
    problems: list[str]
    """The statuses of its own problems, with their phrases."""

    @property
    def anchor(self) -> str:
        """The id of its heading in the guide."""
        return f"{self.method}-{self.path}".lower().translate(str.maketrans("/{}", "-__"))


class Notification(NamedTuple):
    """A type of event, as a callback receives it."""

    type: str
    label: str
    description: str
    example: str
    fields: list[Field]


class Retry(NamedTuple):
    """An attempt after a failed one. Durations are in words."""

    number: int
    """The number of the attempt; the first retry is 2."""
    delay: str
    """Since the attempt before it failed."""
    since_first: str
    """Roughly, since the first attempt."""


def guide(parts: ApiParts, document: Schema) -> str:
    """Return the whole file."""
    components = document["components"]["schemas"]
    operations = list(_operations(document, components))
    return render(
        "guide.html",
        version=parts.version,
        public_url=parts.public_url.rstrip("/"),
        platform_docs_url=parts.platform_docs_url,
        terms=parts.call_terms,
        retries=_retries(parts.call_terms.retry_delays),
        spoken=spoken,
        notifications=[_notification(event_type, components) for event_type in EventType],
        contents=_contents(components),
        permissions=list(Permission),
        snippets=[(label, snippet(name)) for name, label in SNIPPETS.items()],
        problems=list(documented_problems().values()),
        audiences=[
            (key, title, [operation for operation in operations if operation.audience == key])
            for key, title in _AUDIENCES.items()
        ],
        anchors={
            f"{operation.method} {operation.path}": operation.anchor for operation in operations
        },
        objects=_objects(components),
    )


def spoken(duration: dt.timedelta) -> str:
    """Return a duration in words, such as `2 hours`, in the largest unit that divides it."""
    text = format_duration(duration)
    number, unit = text.rstrip("dhms"), text.lstrip("0123456789.")
    return f"{number} {_UNITS[unit]}{'' if number == '1' else 's'}"


_UNITS = {"d": "day", "h": "hour", "m": "minute", "s": "second"}


def _retries(delays: Iterable[dt.timedelta]) -> list[Retry]:
    waits = list(delays)
    return [
        Retry(n, spoken(wait), _roughly(total))
        for n, (wait, total) in enumerate(zip(waits, accumulate(waits), strict=True), 2)
    ]


def _roughly(total: dt.timedelta) -> str:
    """Return a rounded duration in words, in the largest unit that fits at least twice."""
    total_s = total.total_seconds()
    name, unit_s = next(
        (unit for unit in (("hour", 3600), ("minute", 60)) if total_s >= 2 * unit[1]),
        ("second", 1),
    )
    return f"about {total_s / unit_s:.2g} {name}s"


def _notification(event_type: EventType, components: Components) -> Notification:
    schema = components[webhook_name(event_type)]
    data = components[schema["properties"]["data"]["$ref"].rpartition("/")[2]]
    example = msgspec.json.format(msgspec.json.encode(schema["examples"][0]), indent=2).decode()
    return Notification(
        event_type.value,
        event_type.label,
        data["description"],
        example,
        list(fields(data, components, deep=True)),
    )


def _contents(components: Components) -> list[tuple[list[str], list[Field]]]:
    """Return the values of `content.type` that share their fields, with these fields."""
    names: dict[str, list[str]] = {}
    for name, model in CONTENT_MODELS.items():
        names.setdefault(model.__name__, []).append(name)
    return [
        (
            shared,
            [
                field
                for field in fields(components[model], components, deep=True)
                if field.name != "type"
            ],
        )
        for model, shared in names.items()
    ]


def _operations(document: Schema, components: Components) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            responses = operation["responses"]
            yield Operation(
                method.upper(),
                path,
                operation["summary"],
                operation.get("description", ""),
                _audience(path, operation),
                [
                    _parameter(parameter, components)
                    for parameter in operation.get("parameters", ())
                ],
                _content(operation.get("requestBody", {}), components),
                [
                    _success(status, response, components)
                    for status, response in responses.items()
                    if not _is_problem(response)
                ],
                [
                    f"{status} {_phrase(status)}"
                    for status, response in sorted(responses.items())
                    if _is_problem(response)
                ],
            )


def _audience(path: str, operation: Schema) -> str:
    """Return who calls the operation, by the permission that it needs. One without a permission, or
    with one of the chat platform's own, is for the token's owner, or for the platform, which asks
    with the owner's token.
    """
    security = operation.get("security")
    if not security:
        return "open"
    (needed,) = security[0].values()
    fallback = "owner" if path.startswith("/v1/me") else "platform"
    return _BY_PERMISSION.get(needed[0], fallback) if needed else fallback


def _parameter(parameter: Schema, components: Components) -> Field:
    (field,) = fields({"properties": {parameter["name"]: parameter["schema"]}}, components)
    description = parameter.get("description") or field.description
    return field._replace(required=parameter.get("required", False), description=description)


def _success(status: str, response: Schema, components: Components) -> Success:
    return Success(status, _phrase(status), _content(response, components))


def _content(described: Schema, components: Components) -> ValueType | None:
    for media in described.get("content", {}).values():
        return value_type_of(media["schema"], components)
    return None


def _is_problem(response: Schema) -> bool:
    return PROBLEM_JSON in response.get("content", {})


def _phrase(status: str) -> str:
    return HTTPStatus(int(status)).phrase


def _objects(components: Components) -> list[tuple[str, str, ValueType | None, list[Field]]]:
    """Return every object by name: its description, its alternatives if it has any, its fields."""
    return [
        (
            name,
            schema.get("description", ""),
            value_type_of({"oneOf": schema["oneOf"]}, components) if "oneOf" in schema else None,
            list(fields(schema, components)),
        )
        for name, schema in sorted(components.items())
        if "properties" in schema or "oneOf" in schema
    ]
