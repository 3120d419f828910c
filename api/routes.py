"""Routes: the address, who may call it, what it reads and returns, and the one path from a request
to its view.

A view is a function. Its parameters name what it needs: `parts`, `environ`, `caller`, `actor` (the
caller and its address), and models for `path`, `query`, `body` and `form`. A coroutine function
runs on the event loop and must not block; every other view runs in a thread.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from http import HTTPStatus
from typing import NamedTuple, cast
from wsgiref.types import WSGIEnvironment

import msgspec
from flask import Response, request
from pydantic import BaseModel
from werkzeug.wrappers import Request

from api.http.authentication import authenticate, authenticate_on_loop
from api.http.bodies import MAX_BODY_BYTES, read_form, read_json_body, read_optional_json_body
from api.http.client_credentials import as_bearer
from api.http.environ import context_of
from api.parts import ApiParts
from schemas.tokens.audit_log import Actor
from schemas.tokens.permissions import Permission
from schemas.tokens.tokens import Token
from web.client_address import client_address
from web.models.bodies import Body
from web.models.parsing import from_body, from_form, from_path, from_query
from web.models.queries import Query

View = Callable[..., Response] | Callable[..., Awaitable[Response]]


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
    other_success: tuple[HTTPStatus, type[msgspec.Struct]] | None = None
    """The status and the response model of another success."""
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
    etag: bool = False
    """Whether a success carries the entity tag of a token."""
    is_optional: bool = False
    """Whether such a body may be left out."""
    file: str | None = None
    """The media type of a response that is not JSON."""
    problems: frozenset[int] = frozenset()
    """The statuses of the view's own problems, in addition to those of authentication."""
    max_bytes: int = MAX_BODY_BYTES
    """The largest body that is read."""

    @property
    def name(self) -> str:
        """The name of the view, which is unique and serves as the operation id."""
        return self.view.__name__

    @property
    def runs_on_loop(self) -> bool:
        """Whether the view runs on the event loop. Its address has no variable parts then."""
        return inspect.iscoroutinefunction(self.view)


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


class EntryPoint:
    """Authenticates, reads the models and calls the view of one route.

    The hot route needs no model, and so does nothing beyond authentication.
    """

    def __init__(self, parts: ApiParts, route: Route, models: Models):
        self._parts, self._route, self._models = parts, route, models
        self._wanted = frozenset(inspect.signature(route.view).parameters)
        self._authenticates = not (route.is_open or route.authenticates)
        self._reads = any(models)
        # Publishing ignores query parameters: an event is never refused because of them.
        self._refuses_parameters = (
            self._authenticates
            and models.query is None
            and (route.takes is None or route.is_optional)
        )

    def call_in_thread(self, **path_values: str) -> Response:
        """Call the view for Flask's current request, and wait for it."""
        environ = request.environ
        if self._route.runs_on_loop:
            return asyncio.run_coroutine_threadsafe(
                self.call_on_loop(environ), self._parts.loop
            ).result()
        self._begin(environ)
        caller = None
        if self._authenticates:
            caller = authenticate(self._parts, environ, self._route.needs)
        arguments = self._arguments(environ, caller, path_values)
        return cast("Response", self._route.view(**arguments))

    async def call_on_loop(self, environ: WSGIEnvironment) -> Response:
        """Call the view on the event loop."""
        self._begin(environ)
        caller = None
        if self._authenticates:
            caller = await authenticate_on_loop(self._parts, environ, self._route.needs)
        arguments = self._arguments(environ, caller, {})
        return await cast("Awaitable[Response]", self._route.view(**arguments))

    def _begin(self, environ: WSGIEnvironment) -> None:
        context_of(environ).route = self._route.rule
        if self._route.client_credentials:
            as_bearer(environ)

    def _arguments(
        self, environ: WSGIEnvironment, caller: Token | None, path_values: Mapping[str, str]
    ) -> dict[str, object]:
        arguments: dict[str, object] = {}
        if "parts" in self._wanted:
            arguments["parts"] = self._parts
        if "environ" in self._wanted:
            arguments["environ"] = environ
        if caller is not None:
            if "caller" in self._wanted:
                arguments["caller"] = caller
            if "actor" in self._wanted:
                address = client_address(environ, self._parts.trusted_proxies)
                arguments["actor"] = Actor(caller.id, address or None)
        if self._reads:
            arguments |= _read_models(environ, self._models, path_values, self._route.max_bytes)
        if self._refuses_parameters and environ.get("QUERY_STRING"):
            # The caller expects some effect, such as a filter: do not ignore it silently.
            from_query(Query, _parameters(environ))
        return arguments


def _parameters(environ: WSGIEnvironment) -> list[tuple[str, list[str]]]:
    return list(Request(environ).args.lists())


def _read_models(
    environ: WSGIEnvironment, models: Models, path_values: Mapping[str, str], max_bytes: int
) -> dict[str, BaseModel]:
    values: dict[str, BaseModel] = {}
    if models.path:
        values["path"] = from_path(models.path, path_values)
    if models.query:
        values["query"] = from_query(models.query, _parameters(environ))
    if models.body:
        body = (
            read_json_body(environ, max_bytes)
            if models.needs_body
            else read_optional_json_body(environ) or b"{}"
        )
        values["body"] = from_body(models.body, body)
    if models.form:
        values["form"] = from_form(models.form, read_form(environ))
    return values
