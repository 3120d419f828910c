"""What needs no permission: the caller's own token, and what operations asks of a process."""

from flask import Response

from api.answers import HealthAnswer, TokenAnswer
from api.parts import ApiParts
from api.responses import json_response
from api.routes import Route
from api.showing import token_answer
from schemas.errors import Unavailable
from schemas.times import now_ms
from schemas.tokens import Token

_OPERATION = "Operation"


def show_me(caller: Token) -> Response:
    """Show the token that this request carries."""
    return json_response(token_answer(caller, now_ms()))


def healthz() -> Response:
    """Whether the process is alive."""
    return json_response(HealthAnswer("alive"))


def readyz(parts: ApiParts) -> Response:
    """Whether events can be accepted; names what is missing."""
    if missing := dict(parts.ready()):
        raise Unavailable(f"not ready: {', '.join(missing)}", headers={"Retry-After": "1"}, extra={"missing": missing})
    return json_response(HealthAnswer("ready"))


def metrics(parts: ApiParts) -> Response:
    """Metrics for Prometheus."""
    body, kind = parts.metrics()
    return Response(body, content_type=kind)


ROUTES = (
    Route("GET", "/v1/me", show_me, "Own token", answer=TokenAnswer),
    Route("GET", "/healthz", healthz, _OPERATION, answer=HealthAnswer, is_open=True),
    Route("GET", "/readyz", readyz, _OPERATION, answer=HealthAnswer, is_open=True, problems=frozenset({503})),
    Route("GET", "/metrics", metrics, _OPERATION, is_open=True, file="text/plain"),
)
