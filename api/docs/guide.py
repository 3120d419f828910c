"""The document to download: one HTML file for a supplier who has neither the server nor a network
at hand.

Made from the OpenAPI document, the models of the events and the problems, and from how this
installation is set up, so that it cannot say something else than they do. Called by `pages`.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from itertools import accumulate
from typing import Any, NamedTuple

import msgspec

from api.docs.problems import described
from api.docs.schema_tables import Components, Field, Kind, fields, kind_of
from api.docs.templates import SNIPPETS, render, snippet
from api.http.responses import PROBLEM_JSON
from api.parts import ApiParts
from schemas.events.data import CONTENT_MODELS
from schemas.events.types import EventType
from schemas.json_schema import webhook_name
from schemas.times import format_duration
from schemas.tokens.permissions import Permission

Document = Mapping[str, Any]

_AUDIENCES = {
    "holder": "For the holder of a token",
    "backend": "For chat backends",
    "platform": "For the chat platform's own API",
    "administrator": "For administrators",
    "open": "Open to everybody",
}
_BY_PERMISSION = {
    Permission.EVENTS_PUBLISH: "backend",
    Permission.TOKENS_INTROSPECT: "platform",
    Permission.PLATFORM_ADMIN: "administrator",
}


class SampleAnswer(NamedTuple):
    """`kind` is None when there is no body."""

    status: str
    phrase: str
    kind: Kind | None


class Operation(NamedTuple):
    """One method of one address. `refusals` are the problems that it answers on purpose, by status.
    """

    method: str
    path: str
    summary: str
    description: str
    audience: str
    parameters: list[Field]
    body: Kind | None
    answers: list[SampleAnswer]
    refusals: list[str]

    @property
    def anchor(self) -> str:
        return f"{self.method}-{self.path}".lower().translate(str.maketrans("/{}", "-__"))


class Notification(NamedTuple):
    """One of the three that a callback gets."""

    type: str
    label: str
    description: str
    example: str
    fields: list[Field]


class Retry(NamedTuple):
    """An attempt after one that failed: `waits` after it, and roughly `since_first` after the first
    one, in words.
    """

    number: int
    waits: str
    since_first: str


def guide(parts: ApiParts, document: Document) -> str:
    """The whole file."""
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
        notifications=[_notification(kind, components) for kind in EventType],
        contents=_contents(components),
        permissions=list(Permission),
        snippets=[(label, snippet(name)) for name, label in SNIPPETS.items()],
        problems=list(described().values()),
        audiences=[
            (key, title, [one for one in operations if one.audience == key])
            for key, title in _AUDIENCES.items()
        ],
        anchors={f"{one.method} {one.path}": one.anchor for one in operations},
        objects=_objects(components),
    )


def spoken(duration: dt.timedelta) -> str:
    """`2 hours`; what is no whole number of a unit is given in the next smaller one."""
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
    """In the largest unit of which it is two or more."""
    total_s = total.total_seconds()
    name, unit_s = next(
        (one for one in (("hour", 3600), ("minute", 60)) if total_s >= 2 * one[1]), ("second", 1)
    )
    return f"about {total_s / unit_s:.2g} {name}s"


def _notification(kind: EventType, components: Components) -> Notification:
    schema = components[webhook_name(kind)]
    data = components[schema["properties"]["data"]["$ref"].rpartition("/")[2]]
    example = msgspec.json.format(msgspec.json.encode(schema["examples"][0]), indent=2).decode()
    return Notification(
        kind.value,
        kind.label,
        data["description"],
        example,
        list(fields(data, components, deep=True)),
    )


def _contents(components: Components) -> list[tuple[list[str], list[Field]]]:
    """The values of `content.type` that share their fields, and those fields."""
    names: dict[str, list[str]] = {}
    for name, model in CONTENT_MODELS.items():
        names.setdefault(model.__name__, []).append(name)
    found = (
        (shared, fields(components[model], components, deep=True))
        for model, shared in names.items()
    )
    return [(shared, [field for field in own if field.name != "type"]) for shared, own in found]


def _operations(document: Document, components: Components) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            answers = operation["responses"]
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
                    _answer(status, answer, components)
                    for status, answer in answers.items()
                    if not _is_problem(answer)
                ],
                [
                    f"{status} {_phrase(status)}"
                    for status, answer in sorted(answers.items())
                    if _is_problem(answer)
                ],
            )


def _audience(path: str, operation: Document) -> str:
    """By the permission that it needs. What needs none, or one of the platform's own, is the
    holder's, or is asked with a holder's token.
    """
    security = operation.get("security")
    if not security:
        return "open"
    (needed,) = security[0].values()
    fallback = "holder" if path.startswith("/v1/me") else "platform"
    return _BY_PERMISSION.get(needed[0], fallback) if needed else fallback


def _parameter(parameter: Document, components: Components) -> Field:
    (field,) = fields({"properties": {parameter["name"]: parameter["schema"]}}, components)
    description = parameter.get("description") or field.description
    return field._replace(required=parameter.get("required", False), description=description)


def _answer(status: str, answer: Document, components: Components) -> SampleAnswer:
    return SampleAnswer(status, _phrase(status), _content(answer, components))


def _content(described: Document, components: Components) -> Kind | None:
    for media in described.get("content", {}).values():
        return kind_of(media["schema"], components)
    return None


def _is_problem(answer: Document) -> bool:
    return PROBLEM_JSON in answer.get("content", {})


def _phrase(status: str) -> str:
    return HTTPStatus(int(status)).phrase


def _objects(components: Components) -> list[tuple[str, str, Kind | None, list[Field]]]:
    """Every object by name: what it is, what it may be instead of having fields, its fields."""
    wanted = {
        name: schema
        for name, schema in sorted(components.items())
        if "properties" in schema or "oneOf" in schema
    }
    return [
        (
            name,
            schema.get("description", ""),
            kind_of({"oneOf": schema["oneOf"]}, components) if "oneOf" in schema else None,
            list(fields(schema, components)),
        )
        for name, schema in wanted.items()
    ]
