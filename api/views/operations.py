"""Health, readiness and metrics of a process. Anyone who reaches it may ask."""

from flask import Response

from api.http.responses import json_response
from api.parts import ApiParts
from api.response_models import HealthAnswer
from api.routes import Route
from schemas.errors import Unavailable

_TAG = "Operation"


async def healthz() -> Response:
    """Say that the process is alive."""
    return json_response(HealthAnswer("alive"))


async def readyz(parts: ApiParts) -> Response:
    """Say whether events can be accepted, and what is missing.

    They can while the broker or the database is available to store them durably.
    """
    ready, missing = parts.readiness()
    if not ready:
        raise Unavailable(
            f"not ready: {', '.join(missing)}",
            headers={"Retry-After": "1"},
            extra={"missing": dict(missing)},
        )
    return json_response(HealthAnswer("ready", dict(missing)))


def metrics(parts: ApiParts) -> Response:
    """Return metrics for Prometheus."""
    body, content_type = parts.metrics()
    return Response(body, content_type=content_type)


ROUTES = (
    Route("GET", "/healthz", healthz, _TAG, answer=HealthAnswer, is_open=True),
    Route(
        "GET",
        "/readyz",
        readyz,
        _TAG,
        answer=HealthAnswer,
        is_open=True,
        problems=frozenset({503}),
    ),
    Route("GET", "/metrics", metrics, _TAG, is_open=True, file="text/plain"),
)
