"""The Flask application: routes bound to views, errors turned into problems, and one wrapper around
every request.

`wsgi_app` does once per request what every request needs in addition to its view. Flask's hooks are
not used for that: under threads each costs more than the code in it.
"""

import re
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from http import HTTPMethod
from types import TracebackType
from typing import cast
from wsgiref.types import StartResponse, WSGIEnvironment

from flask import Response, request
from flask_openapi3.models.info import Info
from flask_openapi3.models.tag import Tag
from flask_openapi3.openapi import OpenAPI
from werkzeug.exceptions import HTTPException, InternalServerError

from api.docs import openapi
from api.docs.pages import add_pages
from api.http.bodies import drain
from api.http.environ import add_context, context_of
from api.http.request_logging import log_request
from api.http.responses import INTERNAL_ERROR, problem_response
from api.parts import ApiParts
from api.routes import Models, Route, entry_point
from api.views import (
    audit_log,
    callbacks,
    channels,
    deliveries,
    events,
    introspection,
    me,
    operations,
    recoveries,
    request_log,
    request_reports,
    token_export,
    tokens,
)
from schemas.errors import (
    InternalError,
    Malformed,
    MethodNotAllowed,
    NotFound,
    Problem,
    StoreUnavailable,
    Unavailable,
)
from schemas.ids import new_request_id
from schemas.json_schema import Schema
from schemas.log_events import LogEvent
from web.exports.streaming import STREAMS
from web.models.bodies import Body

ROUTES = (
    *events.ROUTES,
    *tokens.ROUTES,
    *token_export.ROUTES,
    *callbacks.ROUTES,
    *channels.ROUTES,
    *audit_log.ROUTES,
    *deliveries.ROUTES,
    *recoveries.ROUTES,
    *request_log.ROUTES,
    *request_reports.ROUTES,
    *introspection.ROUTES,
    *me.ROUTES,
    *operations.ROUTES,
)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
"""The ids of callers that are safe to repeat in headers and logs."""

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]
_METHODS = frozenset(HTTPMethod)
_PUBLISHING = frozenset(route.rule for route in events.PUBLISHING)


def create_app(parts: ApiParts) -> "Application":
    """Return the application. It does not own the parts: the caller closes them."""
    app = Application(parts)
    for route in ROUTES:
        app.serve(route)
    add_pages(app, parts, lambda: app.api_doc)
    app.register_error_handler(Exception, app.answer_error)
    return app


def openapi_document(version: str, public_url: str) -> Schema:
    """Return the OpenAPI document, without an application."""
    described = RingbackOpenAPI(version, [{"url": public_url}])
    for route in ROUTES:
        described.describe(route)
    document: Schema = described.api_doc
    return document


class RingbackOpenAPI(OpenAPI):
    """The routes as an OpenAPI document. Serves nothing."""

    def __init__(self, version: str, servers: Sequence[Schema]):
        info = Info(title="Ringback", version=version, description=openapi.DESCRIPTION)
        super().__init__("ringback", info=info, doc_ui=False, static_folder=None)
        self._servers = servers
        self._routes: dict[Route, Models] = {}

    def describe(self, route: Route) -> Models:
        """Add a route to the document. Returns the models that its view asks for."""
        summary, description = openapi.summary_and_description(route)
        _, _, path, query, form, body, _ = self._collect_openapi_info(
            route.rule,
            route.view,
            tags=[Tag(name=route.tag)],
            summary=summary,
            description=description,
            operation_id=route.name,
            responses=openapi.responses(route),
            security=openapi.security(route),
            openapi_extensions=openapi.extensions(route),
            method=route.method,
        )
        models = self._routes[route] = Models(path, query, cast("type[Body] | None", body), form)
        return models

    def generate_spec_json(self) -> None:
        """Complete the library's document."""
        super().generate_spec_json()  # type: ignore[no-untyped-call]  # the library's
        self.spec_json = openapi.completed(self.spec_json, self._routes, self._servers)


class Application(RingbackOpenAPI):
    """The WSGI application.

    A response is a list of one piece, except for downloads: granian passes iterators through more
    layers.
    """

    def __init__(self, parts: ApiParts):
        super().__init__(parts.version, [openapi.SAME_SERVER, {"url": parts.public_url}])
        self._parts = parts

    def serve(self, route: Route) -> None:
        """Bind a route, and add it to the document."""
        view = entry_point(self._parts, route, self.describe(route))
        self.add_url_rule(route.rule, route.name, view, methods=[route.method])

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Handle one request: set its id, join its response, drain a refused body, and add it to
        metrics and request log.
        """
        started_s = time.perf_counter()
        given = environ.get("HTTP_X_REQUEST_ID", "")
        context = add_context(environ, given if _REQUEST_ID.fullmatch(given) else new_request_id())
        status = 0

        def start(
            line: str, headers: list[tuple[str, str]], exc_info: _ExcInfo | None = None, /
        ) -> Callable[[bytes], object]:
            nonlocal status
            status = int(line[:3])
            headers.append(("X-Request-Id", context.request_id))
            headers.extend(context.limit_headers)
            return start_response(line, headers, exc_info)

        response = super().wsgi_app(environ, start)
        body = response if environ.get(STREAMS) else [_joined(response)]
        drain(environ)
        duration_s = time.perf_counter() - started_s
        method = environ["REQUEST_METHOD"]
        self._parts.observer.http_request(
            context.route or "unmatched",
            method if method in _METHODS else "other",
            status,
            duration_s,
        )
        log_request(self._parts, environ, status, duration_s)
        return body

    def answer_error(self, error: Exception) -> Response:
        """Return every error as a problem. An unexpected one is an internal error, and is logged
        with its traceback.
        """
        problem = error if isinstance(error, Problem) else _problem(error)
        context = context_of(request.environ)
        if isinstance(problem, InternalError):
            trace = "".join(traceback.format_exception(error))
            self._parts.observer.log(
                LogEvent.REQUEST_FAILED,
                request_id=context.request_id,
                error=repr(error),
                trace=trace,
            )
        if request.method == HTTPMethod.POST and context.route in _PUBLISHING:
            self._parts.observer.event_rejected(problem.slug)
        return problem_response(problem)


def _problem(error: Exception) -> Problem:
    if isinstance(error, StoreUnavailable):
        return Unavailable(
            "the database does not respond: retry later", headers={"Retry-After": "1"}
        )
    if not isinstance(error, HTTPException) or isinstance(error, InternalServerError):
        return InternalError(INTERNAL_ERROR)
    if error.code == NotFound.status:
        return NotFound("there is nothing at this address: check it")
    if error.code == MethodNotAllowed.status:
        allowed = ", ".join(getattr(error, "valid_methods", None) or ())
        return MethodNotAllowed(f"this address allows {allowed}", headers={"Allow": allowed})
    return Malformed(error.description or "the request cannot be read")


def _joined(response: Iterable[bytes]) -> bytes:
    try:
        return b"".join(response)
    finally:
        if close := getattr(response, "close", None):
            close()
