"""The WSGI application of a dispatcher: `/healthz` (alive), `/readyz` (can deliver, or what is
missing) and `/metrics`.

`ringback.processes.dispatch` serves it on `METRICS_LISTEN`. The API has its own routes for these.
"""

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from wsgiref.types import StartResponse, WSGIEnvironment

import orjson

Answer = tuple[HTTPStatus, str, bytes]
"""Status, content type and body."""

_PROBLEM = "application/problem+json"


class HealthApp:
    """The application. `missing` returns what keeps this process from its work, by part, in words;
    empty means nothing. `render` returns the metrics and their content type.
    """

    def __init__(
        self, missing: Callable[[], Mapping[str, str]], render: Callable[[], tuple[bytes, str]]
    ):
        self._missing, self._render = missing, render
        self._routes = {
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/metrics": self._metrics,
        }

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        status, content_type, body = self._answer(
            environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")
        )
        headers = [
            ("Content-Type", content_type),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
        ]
        start_response(f"{status.value} {status.phrase}", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def _answer(self, method: str, path: str) -> Answer:
        if path not in self._routes:
            return _problem(
                HTTPStatus.NOT_FOUND, "not-found", "the paths are /healthz, /readyz and /metrics"
            )
        if method not in ("GET", "HEAD"):
            return _problem(
                HTTPStatus.METHOD_NOT_ALLOWED, "method-not-allowed", "only GET and HEAD are allowed"
            )
        return self._routes[path]()

    def _healthz(self) -> Answer:
        return _json({"status": "alive"})

    def _readyz(self) -> Answer:
        if missing := self._missing():
            return _problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "unavailable",
                f"not ready: {', '.join(missing)}",
                missing=missing,
            )
        return _json({"status": "ready"})

    def _metrics(self) -> Answer:
        body, content_type = self._render()
        return HTTPStatus.OK, content_type, body


def _json(value: object) -> Answer:
    return HTTPStatus.OK, "application/json", orjson.dumps(value)


def _problem(status: HTTPStatus, slug: str, detail: str, **more: object) -> Answer:
    """Return a problem by RFC 9457, as the API does."""
    problem = {
        "type": f"/docs/problems/{slug}",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        **more,
    }
    return status, _PROBLEM, orjson.dumps(problem)
