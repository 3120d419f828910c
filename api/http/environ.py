"""What the API knows of a request, kept in its WSGI environ.

The application adds a `RequestContext` to every environ. Routes, authentication and views fill it
in; metrics, the request log and response headers are made from it.
"""

from dataclasses import dataclass, field
from wsgiref.types import WSGIEnvironment

import msgspec

from schemas.ids import TokenId
from schemas.times import UnixMs
from schemas.tokens.permissions import Permission

_KEY = "ringback.request"


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


def add_context(environ: WSGIEnvironment, request_id: str) -> RequestContext:
    """Start the context of a request."""
    context = environ[_KEY] = RequestContext(request_id)
    return context


def context_of(environ: WSGIEnvironment) -> RequestContext:
    """Return the context that the application added to this environ."""
    context: RequestContext = environ[_KEY]
    return context
