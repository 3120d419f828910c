"""The pages of the documentation: Swagger UI, the OpenAPI document, the guide, and one page per
problem. Assets are served from a package, so that the documentation works offline.
"""

from collections.abc import Callable
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path

from flask import Flask, Response, jsonify, request, send_from_directory

from api.docs.guide import guide
from api.docs.problems import documented_problems
from api.docs.templates import render
from api.http.environ import context_of
from api.http.responses import PROBLEM_PAGES
from api.parts import ApiParts
from schemas.errors import NotFound
from schemas.json_schema import Schema

_ASSETS = Path(str(files("flask_openapi3_swagger"))) / "templates" / "swagger"
_GUIDE = "ringback-api.html"


def add_pages(app: Flask, parts: ApiParts, document: Callable[[], Schema]) -> None:
    """Add `/docs`, `/docs/openapi.json`, `/docs/ringback-api.html`, `/docs/assets/…` and
    `/docs/problems/…`.
    """
    # Rendered at the first request. It stays the same for the life of the process.
    rendered = cache(lambda: guide(parts, document()))
    app.add_url_rule(
        "/docs",
        "docs",
        _labelled(lambda: _html(render("swagger.html", platform_docs_url=parts.platform_docs_url))),
    )
    app.add_url_rule("/docs/", "docs_below", _labelled(_to_docs))
    app.add_url_rule("/docs/openapi.json", "document", _labelled(lambda: jsonify(document())))
    app.add_url_rule(f"/docs/{_GUIDE}", "guide", _labelled(lambda: _guide(rendered())))
    app.add_url_rule(
        "/docs/assets/<path:name>",
        "assets",
        _labelled(lambda name: send_from_directory(_ASSETS, name)),
    )
    app.add_url_rule(PROBLEM_PAGES + "<slug>", "problem", _labelled(_problem_page))


def _labelled(view: Callable[..., Response]) -> Callable[..., Response]:
    """Set the route of the request, for the metrics."""

    def enter(**values: str) -> Response:
        context_of(request.environ).route = request.url_rule.rule if request.url_rule else ""
        return view(**values)

    return enter


def _to_docs() -> Response:
    """Redirect to the page. The location is relative, as Ringback may be below a path of a proxy."""
    response = Response(status=HTTPStatus.PERMANENT_REDIRECT)
    response.autocorrect_location_header = False
    response.headers["Location"] = "../docs"
    return response


def _problem_page(slug: str) -> Response:
    problem = documented_problems().get(slug)
    if problem is None:
        raise NotFound(f"there is no problem {slug}: /docs/{_GUIDE} lists them all")
    return _html(render("problem.html", problem=problem))


def _guide(page: str) -> Response:
    """Return a page that a browser shows, and saves under this name."""
    response = _html(page)
    response.headers["Content-Disposition"] = f'inline; filename="{_GUIDE}"'
    return response


def _html(page: str) -> Response:
    return Response(page, content_type="text/html; charset=utf-8")
