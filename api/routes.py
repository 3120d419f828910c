"""A route: where it is, who may call it, what it takes and answers; and the one way from a request
to its view.

Views are plain functions that name what they need: `parts`, `caller`, `actor` (the caller, and from where), and models for `path`,
`query` and `body`.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec
from flask import Response, request
from pydantic import BaseModel

from api.http.authentication import authenticate
from api.http.bodies import MAX_BODY_BYTES, read_form, read_json_body, read_optional_json_body
from api.http.client_credentials import as_bearer
from api.http.environ import ROUTE
from api.parts import ApiParts
from schemas.tokens.audit_log import Actor
from schemas.tokens.permissions import Permission
from web.client_address import client_address
from web.models.bodies import Body
from web.models.parsing import from_body, from_form, from_path, from_query
from web.models.queries import Query

View = Callable[..., Response]


class HeaderField(NamedTuple):
    """Of a request: what it says, and what it may hold; no `values`: anything."""

    name: str
    description: str
    values: tuple[str, ...] = ()
    required: bool = False


@dataclass(frozen=True)
class Route:
    """One method of one address. Open to everybody, to any active token, or to those with a
    permission.

    `takes` names the component schema of a body that the view reads by itself; `file` is the media type of an answer that is no JSON.
    `headers` are fields of the request that it reads. A view that `authenticates` does so by itself. One with `client_credentials` takes
    its caller's token as OAuth 2.0 clients send theirs, too.
    """

    method: str
    rule: str
    view: View
    tag: str
    status: HTTPStatus = HTTPStatus.OK
    answer: type[msgspec.Struct] | None = None
    needs: Permission | None = None
    is_open: bool = False
    authenticates: bool = False
    client_credentials: bool = False
    headers: tuple["HeaderField", ...] = ()
    takes: str | None = None
    file: str | None = None
    problems: frozenset[int] = frozenset()
    max_bytes: int = MAX_BODY_BYTES

    @property
    def name(self) -> str:
        """Unique: the name of the view, and the operation id of the document."""
        return self.view.__name__


class Models(NamedTuple):
    """What a view's annotations ask to be read from the request."""

    path: type[BaseModel] | None
    query: type[BaseModel] | None
    body: type[Body] | None
    form: type[BaseModel] | None

    @property
    def needs_body(self) -> bool:
        """Whether the body has a field that must be given; if not, there need not be a body."""
        return self.body is not None and any(
            field.is_required() for field in self.body.model_fields.values()
        )


def entry_point(parts: ApiParts, route: Route, models: Models) -> View:
    """Authenticate, read, call. The hot route asks for no model, and so for nothing beyond
    authentication.
    """
    wanted = inspect.signature(route.view).parameters
    always: dict[str, Any] = {"parts": parts} if "parts" in wanted else {}
    asks, reads = not (route.is_open or route.authenticates), any(models)
    refuses_parameters = (
        asks and models.query is None and route.takes is None
    )  # no event is refused for what stands around it

    def enter(**path_values: str) -> Response:
        environ = request.environ
        environ[ROUTE] = route.rule
        arguments = always.copy()
        if asks:
            if route.client_credentials:
                as_bearer(environ)
            caller = authenticate(parts, environ, route.needs)
            if "caller" in wanted:
                arguments["caller"] = caller
            if "actor" in wanted:
                arguments["actor"] = Actor(
                    caller.id, client_address(environ, parts.trusted_proxies) or None
                )
        if reads:
            arguments |= _read_models(models, path_values, route.max_bytes)
        if refuses_parameters and environ.get(
            "QUERY_STRING"
        ):  # whoever wrote one meant something by it: to see less, or to send less
            from_query(Query, request.args.lists())
        return route.view(**arguments)

    return enter


def _read_models(
    models: Models, path_values: Mapping[str, str], max_bytes: int
) -> dict[str, BaseModel]:
    read: dict[str, BaseModel] = {}
    if models.path:
        read["path"] = from_path(models.path, path_values)
    if models.query:
        read["query"] = from_query(models.query, request.args.lists())
    if models.body:
        read["body"] = from_body(
            models.body,
            read_json_body(max_bytes) if models.needs_body else read_optional_json_body() or b"{}",
        )
    if models.form:
        read["form"] = from_form(models.form, read_form())
    return read
