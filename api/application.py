"""The Flask application: routes bound to views, errors turned into problems, one wide wrapper
around every request.

Whatever each request needs beside its view happens in `wsgi_app`, once, and not in a chain of
hooks: under threads each of Flask's costs more than the code in it.
"""

import re
import time
import traceback
from collections.abc import Iterable, Sequence
from http import HTTPMethod
from typing import Any, cast

from flask import Response, request
from flask_openapi3.models.info import Info
from flask_openapi3.models.tag import Tag
from flask_openapi3.openapi import OpenAPI
from werkzeug.exceptions import HTTPException, InternalServerError

from api.docs import openapi
from api.docs.pages import add_pages
from api.http.bodies import read_on
from api.http.environ import LIMIT_FIELDS, REQUEST_ID, ROUTE
from api.http.request_logging import log_request
from api.http.responses import problem_response
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

_REQUEST_ID = re.compile(
    r"[A-Za-z0-9._-]{1,128}"
)  # what may be taken over into headers and logs as it is
_METHODS = frozenset(HTTPMethod)
_PUBLISHING = frozenset(route.rule for route in events.PUBLISHING)


def create_app(parts: ApiParts) -> "Application":
    """The application on these parts. It owns none of them: who made them closes them."""
    app = Application(parts)
    for route in ROUTES:
        app.serve(route)
    add_pages(app, parts, lambda: app.api_doc)
    app.register_error_handler(Exception, app.answer_error)
    return app


def openapi_document(version: str, public_url: str) -> dict[str, Any]:
    """The document alone, for who has no parts."""
    described = RingbackOpenAPI(version, [{"url": public_url}])
    for route in ROUTES:
        described.describe(route)
    shown: dict[str, Any] = described.api_doc
    return shown


class RingbackOpenAPI(OpenAPI):
    """The routes as a document. Answers nothing."""

    def __init__(self, version: str, servers: Sequence[dict[str, str]]):
        info = Info(title="Ringback", version=version, description=openapi.DESCRIPTION)
        super().__init__("ringback", info=info, doc_ui=False, static_folder=None)
        self._servers = servers
        self._routes: dict[Route, Models] = {}

    def describe(self, route: Route) -> Models:
        """Put a route into the document."""
        summary, description = openapi.words(route)
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
        super().generate_spec_json()  # type: ignore[no-untyped-call]  # the library's
        self.spec_json = openapi.mended(self.spec_json, self._routes, self._servers)


class Application(RingbackOpenAPI):
    """A WSGI callable. Its answers, but for downloads, are lists of one piece: granian streams
    iterators through more hops.
    """

    def __init__(self, parts: ApiParts):
        super().__init__(parts.version, [openapi.BESIDE_THE_DOCUMENT, {"url": parts.public_url}])
        self._parts = parts

    def serve(self, route: Route) -> None:
        """Bind a route, and put it into the document."""
        view = entry_point(self._parts, route, self.describe(route))
        self.add_url_rule(route.rule, route.name, view, methods=[route.method])

    def wsgi_app(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """One request: its id, its answer in one piece, the rest of a refused body, its place in
        metrics and request log.
        """
        started_s = time.perf_counter()
        given = environ.get("HTTP_X_REQUEST_ID", "")
        request_id = environ[REQUEST_ID] = (
            given if _REQUEST_ID.fullmatch(given) else new_request_id()
        )
        status = 0

        def start(line: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            nonlocal status
            status = int(line[:3])
            headers.append(("X-Request-Id", request_id))
            headers.extend(environ.get(LIMIT_FIELDS, ()))
            return start_response(line, headers, exc_info)

        answer = super().wsgi_app(environ, start)
        body = answer if environ.get(STREAMS) else [_joined(answer)]
        read_on(environ)
        method = environ["REQUEST_METHOD"]
        route = environ.get(ROUTE, "unmatched")
        duration_s = time.perf_counter() - started_s
        self._parts.observer.http_request(
            route, method if method in _METHODS else "other", status, duration_s
        )
        log_request(self._parts, environ, request_id, status, duration_s)
        return body

    def answer_error(self, error: Exception) -> Response:
        """Every error as a problem. One that nobody raised on purpose is a mistake of ours: noted,
        with its trace.
        """
        problem = error if isinstance(error, Problem) else _problem(error)
        environ = request.environ
        if isinstance(problem, InternalError):
            trace = "".join(traceback.format_exception(error))
            self._parts.observer.log(
                LogEvent.REQUEST_FAILED,
                request_id=environ[REQUEST_ID],
                error=repr(error),
                trace=trace,
            )
        if request.method == HTTPMethod.POST and environ.get(ROUTE) in _PUBLISHING:
            self._parts.observer.event_rejected(problem.slug)
        return problem_response(problem)


def _problem(error: Exception) -> Problem:
    if isinstance(error, StoreUnavailable):
        return Unavailable("the database does not answer just now", headers={"Retry-After": "1"})
    if not isinstance(error, HTTPException) or isinstance(error, InternalServerError):
        return InternalError(
            "this is a mistake of ours; the log has it under this request's X-Request-Id"
        )
    if error.code == NotFound.status:
        return NotFound("there is nothing at this address")
    if error.code == MethodNotAllowed.status:
        allowed = ", ".join(getattr(error, "valid_methods", None) or ())
        return MethodNotAllowed(f"this address takes {allowed}", headers={"Allow": allowed})
    return Malformed(error.description or "the request cannot be read")


def _joined(answer: Iterable[bytes]) -> bytes:
    try:
        return b"".join(answer)
    finally:
        if close := getattr(answer, "close", None):
            close()
