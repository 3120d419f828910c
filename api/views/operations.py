"""What operations asks of a process: open to everybody who reaches it."""

from flask import Response

from api.http.responses import json_response
from api.parts import ApiParts
from api.response_models import HealthAnswer
from api.routes import Route
from schemas.errors import Unavailable

_OPERATION = "Operation"


def healthz() -> Response:
    """Whether the process is alive."""
    return json_response(HealthAnswer("alive"))


def readyz(parts: ApiParts) -> Response:
    """Whether events can be accepted: while the broker or the database makes them durable. Names
    what is missing.
    """
    ready, lacking = parts.readiness()
    if not ready:
        raise Unavailable(
            f"not ready: {', '.join(lacking)}",
            headers={"Retry-After": "1"},
            extra={"missing": dict(lacking)},
        )
    return json_response(HealthAnswer("ready", dict(lacking)))


def metrics(parts: ApiParts) -> Response:
    """Metrics for Prometheus."""
    body, kind = parts.metrics()
    return Response(body, content_type=kind)


ROUTES = (
    Route("GET", "/healthz", healthz, _OPERATION, answer=HealthAnswer, is_open=True),
    Route(
        "GET",
        "/readyz",
        readyz,
        _OPERATION,
        answer=HealthAnswer,
        is_open=True,
        problems=frozenset({503}),
    ),
    Route("GET", "/metrics", metrics, _OPERATION, is_open=True, file="text/plain"),
)
