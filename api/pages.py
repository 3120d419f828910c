"""The documentation's pages: Swagger UI, served from the package so that it works offline, the document, and one page per problem."""

from collections.abc import Callable, Mapping
from html import escape
from importlib.resources import files
from pathlib import Path

from flask import Flask, Response, jsonify, request, send_from_directory

from api.responses import PROBLEM_PAGES
from api.routes import ROUTE
from schemas import errors
from schemas.errors import NotFound, Problem

_ASSETS = Path(str(files("flask_openapi3_swagger"))) / "templates" / "swagger"

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title} · Ringback</title>{head}</head>
<body>{body}</body>
</html>
"""
_STYLE = "<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:42rem;margin:3rem auto;padding:0 1rem}</style>"
_SWAGGER_HEAD = '<link rel="stylesheet" href="/docs/assets/css/swagger-ui.css"><style>body{margin:0}</style>'
_SWAGGER_BODY = """<div id="swagger-ui"></div>
<script src="/docs/assets/js/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({url: "/docs/openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null})</script>"""


def problems() -> dict[str, type[Problem]]:
    """Every problem that the API answers, by slug."""
    known = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, Problem) and one is not Problem]
    return {one.slug: one for one in known}


def add_pages(app: Flask, document: Callable[[], Mapping[str, object]]) -> None:
    """`/docs`, `/docs/openapi.json`, `/docs/assets/…`, `/docs/problems/…`."""
    app.add_url_rule("/docs", "docs", _labelled(lambda: _page("API", _SWAGGER_HEAD, _SWAGGER_BODY)))
    app.add_url_rule("/docs/openapi.json", "document", _labelled(lambda: jsonify(document())))
    app.add_url_rule("/docs/assets/<path:name>", "assets", _labelled(lambda name: send_from_directory(_ASSETS, name)))
    app.add_url_rule(PROBLEM_PAGES + "<slug>", "problem", _labelled(_problem_page))


def _labelled(view: Callable[..., Response]) -> Callable[..., Response]:
    def enter(**values: str) -> Response:
        request.environ[ROUTE] = request.url_rule.rule if request.url_rule else ""
        return view(**values)

    return enter


def _problem_page(slug: str) -> Response:
    problem = problems().get(slug)
    if problem is None:
        raise NotFound(f"there is no problem {slug}")
    text = escape(problem.__doc__ or "").replace("`", "")
    body = f'<h1>{escape(problem.title)}</h1><p>Status {problem.status}</p><p>{text}</p><p><a href="/docs">API documentation</a></p>'
    return _page(problem.title, _STYLE, body)


def _page(title: str, head: str, body: str) -> Response:
    return Response(_PAGE.format(title=escape(title), head=head, body=body), content_type="text/html; charset=utf-8")
