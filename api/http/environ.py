"""A request as a WSGI environ (PEP 3333), on the event loop and in threads, and what Ringback knows
of it.

The application adds a `RequestContext` to every environ. Routes, authentication and views fill it
in; metrics, the request log and response headers are made from it.
"""

import sys
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO
from wsgiref.types import WSGIEnvironment

import msgspec

from schemas.errors import Problem
from schemas.ids import TokenId
from schemas.times import UnixMs
from schemas.tokens.permissions import Permission
from web.server.messages import Request

_KEY, _REFUSAL = "ringback.request", "ringback.refusal"


class Authorization(msgspec.Struct, frozen=True):
    """The result of checking a known token, for the request log."""

    at: UnixMs
    token_id: TokenId
    permission: Permission | None
    """The permission that the request needs, or None."""
    refused: str | None
    """The state of the token or the slug of the problem; None if the request was allowed."""


@dataclass(slots=True)
class RequestContext:
    """Facts about one request, filled in while it is handled."""

    request_id: str
    """The `X-Request-Id` of the response, which log lines repeat."""
    route: str | None = None
    """The matched rule, used as a metrics label. None while no rule matched."""
    authorization: Authorization | None = None
    """None if no known token was checked."""
    is_logged: bool = False
    """Whether a view has written the request's row of the request log already."""
    limit_headers: list[tuple[str, str]] = field(default_factory=list)
    """Response headers that describe the token's rate limit. Empty without a limit."""


def environ_of(request: Request) -> WSGIEnvironment:
    """Return the environ of a request that the server has read."""
    headers = request.headers
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": request.path,
        "QUERY_STRING": request.query,
        "SERVER_NAME": "localhost",  # the header Host says more
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": f"HTTP/{request.version}",
        "REMOTE_ADDR": request.client,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(request.body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in headers.items():
        environ[_key(name)] = value
    if request.refusal is not None:
        environ[_REFUSAL] = request.refusal
    return environ


def body_refusal(environ: WSGIEnvironment) -> Problem | None:
    """Return why the server did not keep the body; None: it did, or another server read it."""
    refusal: Problem | None = environ.get(_REFUSAL)
    return refusal


@lru_cache(1024)
def _key(name: str) -> str:
    key = name.upper().replace("-", "_")
    return key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"


def add_context(environ: WSGIEnvironment, request_id: str) -> RequestContext:
    """Start the context of a request."""
    context = environ[_KEY] = RequestContext(request_id)
    return context


def context_of(environ: WSGIEnvironment) -> RequestContext:
    """Return the context that the application added to this environ."""
    context: RequestContext = environ[_KEY]
    return context
