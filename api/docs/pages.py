"""The documentation's pages: Swagger UI, served from the package so that it works offline, the
document, the same as one file to download, and one page per problem.
"""

from collections.abc import Callable, Mapping
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import Any

from flask import Flask, Response, jsonify, request, send_from_directory

from api.docs.guide import guide
from api.docs.problems import described
from api.docs.templates import render
from api.http.environ import ROUTE
from api.http.responses import PROBLEM_PAGES
from api.parts import ApiParts
from schemas.errors import NotFound

_ASSETS = Path(str(files("flask_openapi3_swagger"))) / "templates" / "swagger"
_DOWNLOAD = "ringback-api.html"


def add_pages(app: Flask, parts: ApiParts, document: Callable[[], Mapping[str, Any]]) -> None:
    """`/docs`, `/docs/openapi.json`, `/docs/ringback-api.html`, `/docs/assets/…`,
    `/docs/problems/…`.
    """
    made = cache(
        lambda: guide(parts, document())
    )  # the same as long as the process runs; made when it is first asked for
    app.add_url_rule(
        "/docs",
        "docs",
        _labelled(lambda: _html(render("swagger.html", platform_docs_url=parts.platform_docs_url))),
    )
    app.add_url_rule("/docs/", "docs_below", _labelled(_to_docs))
    app.add_url_rule("/docs/openapi.json", "document", _labelled(lambda: jsonify(document())))
    app.add_url_rule(f"/docs/{_DOWNLOAD}", "guide", _labelled(lambda: _download(made())))
    app.add_url_rule(
        "/docs/assets/<path:name>",
        "assets",
        _labelled(lambda name: send_from_directory(_ASSETS, name)),
    )
    app.add_url_rule(PROBLEM_PAGES + "<slug>", "problem", _labelled(_problem_page))


def _labelled(view: Callable[..., Response]) -> Callable[..., Response]:
    def enter(**values: str) -> Response:
        request.environ[ROUTE] = request.url_rule.rule if request.url_rule else ""
        return view(**values)

    return enter


def _to_docs() -> Response:
    """The page names what is beside it. So does this: a proxy may have put us below a path."""
    answer = Response(status=HTTPStatus.PERMANENT_REDIRECT)
    answer.autocorrect_location_header = False
    answer.headers["Location"] = "../docs"
    return answer


def _problem_page(slug: str) -> Response:
    problem = described().get(slug)
    if problem is None:
        raise NotFound(f"there is no problem {slug}")
    return _html(render("problem.html", problem=problem))


def _download(page: str) -> Response:
    """A browser shows it, and knows what to call it when it is kept."""
    answer = _html(page)
    answer.headers["Content-Disposition"] = f'inline; filename="{_DOWNLOAD}"'
    return answer


def _html(page: str) -> Response:
    return Response(page, content_type="text/html; charset=utf-8")
