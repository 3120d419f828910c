"""Routes: the address, who may call it, what it reads and returns, and the one path from a request
to its view.

A view is a plain function. Its parameters name what it needs: `parts`, `caller`, `actor` (the
caller and its address), and models for `path`, `query`, `body` and `form`.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from http import HTTPStatus
from typing import NamedTuple

import msgspec
from flask import Response, request
from pydantic import BaseModel

from api.http.authentication import authenticate
from api.http.bodies import MAX_BODY_BYTES, read_form, read_json_body, read_optional_json_body
from api.http.client_credentials import as_bearer
from api.http.environ import context_of
from api.parts import ApiParts
from schemas.tokens.audit_log import Actor
from schemas.tokens.permissions import Permission
from web.client_address import client_address
from web.models.bodies import Body
from web.models.parsing import from_body, from_form, from_path, from_query
from web.models.queries import Query

View = Callable[..., Response]


class HeaderField(NamedTuple):
    """A request header that a view reads, for the OpenAPI document."""

    name: str
    description: str
    values: tuple[str, ...] = ()
    """The allowed values; empty: any."""
    required: bool = False


@dataclass(frozen=True)
class Route:
    """One method of one address."""

    method: str
    rule: str
    view: View
    tag: str
    """The group of operations in the OpenAPI document."""
    _: KW_ONLY
    status: HTTPStatus = HTTPStatus.OK
    """The status of a success."""
    answer: type[msgspec.Struct] | None = None
    """The response model of a success; None: no JSON."""
    needs: Permission | None = None
    """The permission that the caller's token needs; None: any active token may call."""
    is_open: bool = False
    """Whether the route works without a token."""
    authenticates: bool = False
    """Whether the view authenticates the caller itself."""
    client_credentials: bool = False
    """Whether the token may also come in the places of OAuth 2.0 client credentials."""
    headers: tuple[HeaderField, ...] = ()
    takes: str | None = None
    """The component schema of a JSON body that the view reads itself."""
    file: str | None = None
    """The media type of a response that is not JSON."""
    problems: frozenset[int] = frozenset()
    """The statuses of the view's own problems, in addition to those of authentication."""
    max_bytes: int = MAX_BODY_BYTES
    """The largest JSON body that is read into a model."""

    @property
    def name(self) -> str:
        """The name of the view, which is unique and serves as the operation id."""
        return self.view.__name__


class Models(NamedTuple):
    """The models that a view's annotations ask for."""

    path: type[BaseModel] | None
    query: type[BaseModel] | None
    body: type[Body] | None
    form: type[BaseModel] | None

    @property
    def needs_body(self) -> bool:
        """Whether the body has a required field. Otherwise the body may be left out."""
        return self.body is not None and any(
            field.is_required() for field in self.body.model_fields.values()
        )


def entry_point(parts: ApiParts, route: Route, models: Models) -> View:
    """Return the function that authenticates, reads the models and calls the view.

    The hot route needs no model, and so does nothing beyond authentication.
    """
    parameters = inspect.signature(route.view).parameters
    constant: dict[str, object] = {"parts": parts} if "parts" in parameters else {}
    authenticates, reads = not (route.is_open or route.authenticates), any(models)
    # Publishing ignores query parameters: an event is never refused because of them.
    refuses_parameters = authenticates and models.query is None and route.takes is None

    def enter(**path_values: str) -> Response:
        environ = request.environ
        context_of(environ).route = route.rule
        arguments = constant.copy()
        if authenticates:
            if route.client_credentials:
                as_bearer(environ)
            caller = authenticate(parts, environ, route.needs)
            if "caller" in parameters:
                arguments["caller"] = caller
            if "actor" in parameters:
                address = client_address(environ, parts.trusted_proxies)
                arguments["actor"] = Actor(caller.id, address or None)
        if reads:
            arguments |= _read_models(models, path_values, route.max_bytes)
        if refuses_parameters and environ.get("QUERY_STRING"):
            # The caller expects some effect, such as a filter: do not ignore it silently.
            from_query(Query, request.args.lists())
        return route.view(**arguments)

    return enter


def _read_models(
    models: Models, path_values: Mapping[str, str], max_bytes: int
) -> dict[str, BaseModel]:
    values: dict[str, BaseModel] = {}
    if models.path:
        values["path"] = from_path(models.path, path_values)
    if models.query:
        values["query"] = from_query(models.query, request.args.lists())
    if models.body:
        body = (
            read_json_body(max_bytes) if models.needs_body else read_optional_json_body() or b"{}"
        )
        values["body"] = from_body(models.body, body)
    if models.form:
        values["form"] = from_form(models.form, read_form())
    return values
