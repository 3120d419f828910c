"""Optimistic saving over HTTP: the `ETag` of a token, `If-Match` of a change, and the 412 with what
stands there now (RFC 9110, section 13.1.1). Called by the views of tokens and of callbacks.
"""

from collections.abc import Container
from wsgiref.types import WSGIEnvironment

from flask import Response
from werkzeug.http import parse_etags

from api.routes import HeaderField
from api.serializers import token_answer
from schemas.errors import PreconditionFailed
from schemas.times import UnixMs
from schemas.tokens.editions import edition
from schemas.tokens.tokens import Token

IF_MATCH = HeaderField(
    "If-Match",
    "The `ETag` of the token as you read it: if someone else has changed the token or a callback of"
    " it since, nothing is done, and the response is 412. `*`: whatever stands there.",
)


def with_etag(response: Response, token: Token) -> Response:
    """Return the response with the strong entity tag of a token."""
    response.set_etag(edition(token))
    return response


def expected_editions(environ: WSGIEnvironment) -> Container[str] | None:
    """Return the editions of a token that `If-Match` allows; None: any. Weak tags match none."""
    value = environ.get("HTTP_IF_MATCH")
    return None if value is None else parse_etags(value)


def changed_meanwhile(current: Token, now: UnixMs) -> PreconditionFailed:
    """Return the problem with the token as it is now."""
    return PreconditionFailed(
        "the token was changed since you read it: `current` is what stands there now",
        extra={"current": token_answer(current, now)},
    )
