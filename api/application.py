"""The Flask application: routes bound to views, errors turned into problems, and one wrapper around
every request.

What every request needs in addition to its view is done by `wsgi_app` in a thread, and by
`answer_on_loop` on the event loop. Flask's hooks are not used for that: each costs more than the
code in it.
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
from flask.typing import ResponseReturnValue
from flask_openapi3.models.info import Info
from flask_openapi3.models.tag import Tag
from flask_openapi3.openapi import OpenAPI

from api.docs import openapi
from api.docs.pages import add_pages
from api.editions import changed_meanwhile
from api.http.bodies import MAX_BODY_BYTES
from api.http.environ import RequestContext, add_context, context_of
from api.http.request_logging import log_request
from api.http.responses import problem_response
from api.parts import ApiParts
from api.routes import EntryPoint, Models, Route
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
    stats,
    token_export,
    tokens,
)
from schemas.errors import InternalError, Problem
from schemas.ids import new_request_id
from schemas.json_schema import Schema
from schemas.log_events import LogEvent
from store.tokens.rows import ChangedMeanwhile
from web.exports.streaming import STREAMS
from web.models.bodies import Body
from web.problems import as_problem, no_such_address

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
    *stats.ROUTES,
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
    app.register_error_handler(Exception, lambda error: app.answer_error(error, request.environ))
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
    """The WSGI application, and the views that run on the event loop."""

    def __init__(self, parts: ApiParts):
        super().__init__(parts.version, [openapi.SAME_SERVER, {"url": parts.public_url}])
        self.url_map.merge_slashes = False
        self._parts = parts
        self.loop_entries: dict[tuple[str, str], EntryPoint] = {}
        """How the views that run on the event loop are called, by method and path."""
        self.body_limits: dict[tuple[str, str], int] = {}
        """How large a body may be, by method and rule."""

    def serve(self, route: Route) -> None:
        """Bind a route, and add it to the document."""
        # Both are looked up by the path of a request.
        assert "<" not in route.rule or not (
            route.runs_on_loop or route.max_bytes != MAX_BODY_BYTES
        ), route.rule
        entry = EntryPoint(self._parts, route, self.describe(route))
        self.add_url_rule(route.rule, route.name, entry.call_in_thread, methods=[route.method])
        self.body_limits[route.method, route.rule] = route.max_bytes
        if route.runs_on_loop:
            self.loop_entries[route.method, route.rule] = entry
            if route.method == HTTPMethod.GET:
                self.loop_entries[HTTPMethod.HEAD, route.rule] = entry

    async def answer_on_loop(
        self, environ: WSGIEnvironment, entry: EntryPoint
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Handle one request on the event loop. Return status, headers and body."""
        started_s = time.perf_counter()
        context = _begin(environ)
        try:
            response = await entry.call_on_loop(environ)
        except Exception as error:  # noqa: BLE001 - any: it is answered
            response = self.answer_error(error, environ)
        status = response.status_code
        headers = _completed(response.headers.to_wsgi_list(), context)
        self._finish(environ, status, started_s)
        return status, headers, response.get_data()

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Handle one request in a thread. A response is a list of one piece, except for
        downloads.
        """
        started_s = time.perf_counter()
        context = _begin(environ)
        status = 0

        def start(
            line: str, headers: list[tuple[str, str]], exc_info: _ExcInfo | None = None, /
        ) -> Callable[[bytes], object]:
            nonlocal status
            status = int(line[:3])
            return start_response(line, _completed(headers, context), exc_info)

        response = super().wsgi_app(environ, start)
        body = response if environ.get(STREAMS) else [_joined(response)]
        self._finish(environ, status, started_s)
        return body

    def dispatch_request(self) -> ResponseReturnValue:
        """Call the view. An address with a doubled slash is another one, which Werkzeug would take
        for the one without: a proxy in front may have judged it differently.
        """
        if "//" in request.environ["PATH_INFO"]:
            raise no_such_address()
        return super().dispatch_request()

    def answer_error(self, error: Exception, environ: WSGIEnvironment) -> Response:
        """Return every error as a problem. An unexpected one is an internal error, and is logged
        with its traceback.
        """
        problem = self._problem(error)
        context = context_of(environ)
        if isinstance(problem, InternalError):
            self.report(error, context.request_id)
        if environ["REQUEST_METHOD"] == HTTPMethod.POST and context.route in _PUBLISHING:
            self._parts.observer.event_rejected(problem.slug)
        return problem_response(problem)

    def _problem(self, error: Exception) -> Problem:
        if isinstance(error, ChangedMeanwhile):
            return changed_meanwhile(error.current, self._parts.directory.now())
        return as_problem(error)

    def report(self, error: Exception, request_id: str | None = None) -> None:
        """Log an unexpected error with its traceback."""
        self._parts.observer.log(
            LogEvent.REQUEST_FAILED,
            request_id=request_id,
            error=repr(error),
            trace="".join(traceback.format_exception(error)),
        )

    def _finish(self, environ: WSGIEnvironment, status: int, started_s: float) -> None:
        """Add a handled request to metrics and request log."""
        duration_s = time.perf_counter() - started_s
        method = environ["REQUEST_METHOD"]
        self._parts.observer.http_request(
            context_of(environ).route or "unmatched",
            method if method in _METHODS else "other",
            status,
            duration_s,
        )
        log_request(self._parts, environ, status, duration_s)


def _begin(environ: WSGIEnvironment) -> RequestContext:
    given = environ.get("HTTP_X_REQUEST_ID", "")
    return add_context(environ, given if _REQUEST_ID.fullmatch(given) else new_request_id())


def _completed(headers: list[tuple[str, str]], context: RequestContext) -> list[tuple[str, str]]:
    return [*headers, ("X-Request-Id", context.request_id), *context.limit_headers]


def _joined(response: Iterable[bytes]) -> bytes:
    try:
        return b"".join(response)
    finally:
        if close := getattr(response, "close", None):
            close()
