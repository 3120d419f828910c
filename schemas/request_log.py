"""The request log's values: what is stored of a request with a token, to Ringback or to the chat
platform's own API.

Never stores a header's value, a query or a body: those can hold secrets and personal data.
"""

import re
from dataclasses import dataclass

import msgspec

from schemas.ids import RequestId, TokenId
from schemas.texts import spelled_out
from schemas.times import UnixMs
from schemas.tokens.permissions import Permission

MAX_PATH, MAX_USER_AGENT, MAX_METHOD, MAX_ADDRESS, MAX_REASON = 1024, 512, 32, 64, 256
"""Characters that are stored of each text. More: a client that sends long texts fills the log.
Fewer: texts are cut that would help to find the cause of an error.
"""

_QUERY = re.compile(r"\?|%(?:25)*3[fF]")


class LoggedRequest(msgspec.Struct, frozen=True):
    """One row of the request log."""

    id: RequestId
    """Ringback's id of the row."""

    at: UnixMs
    """When the request came."""

    token_id: TokenId
    """The token that the request was made with."""

    request_id: str
    """The `X-Request-Id` of the response; equal to `id` for an introspected request."""

    method: str | None
    """The HTTP method; None: unknown."""

    path: str | None
    """The path without its query; None: unknown."""

    status: int | None
    """The status of the response; None until it is reported."""

    duration_ms: int | None
    """Milliseconds to the response; None until they are reported."""

    address: str | None
    """The client's IP address; None: unknown."""

    user_agent: str | None
    """The client's `User-Agent`; None: unknown."""

    permission: Permission | None
    """The permission that the request needs; None: none."""

    allowed: bool
    """Whether the token allowed the request."""

    reason: str | None = None
    """Why the token did not allow the request; None: it did."""

    count: int = 1
    """How many refused requests of the token the row stands for, including its own."""


def logged_request(
    request_id: RequestId,
    token_id: TokenId,
    at: UnixMs,
    *,
    public_id: str | None = None,
    method: str | None,
    path: str | None,
    status: int | None = None,
    duration_ms: int | None = None,
    address: str | None,
    user_agent: str | None,
    permission: Permission | None,
    allowed: bool,
    reason: str | None,
) -> LoggedRequest:
    """Return a row whose texts are cut and made safe for the log, and whose path has no query, not
    even an escaped one. `public_id` is the `X-Request-Id` of the response, where that is not
    `request_id`.
    """
    return LoggedRequest(
        id=request_id,
        at=at,
        token_id=token_id,
        request_id=public_id or request_id,
        method=method and _kept(method, MAX_METHOD),
        path=path and _kept(_QUERY.split(path, maxsplit=1)[0], MAX_PATH),
        status=status,
        duration_ms=duration_ms,
        address=(address and _kept(address, MAX_ADDRESS)) or None,
        user_agent=user_agent and _kept(user_agent, MAX_USER_AGENT),
        permission=permission,
        allowed=allowed,
        reason=reason and _kept(reason, MAX_REASON),
    )


def _kept(text: str, most: int) -> str:
    """Return a text of at most `most` characters, in which characters are escaped that a database
    refuses (NUL, half of a surrogate pair) or that would control a terminal.
    """
    return spelled_out(text[:most])[:most]


class Completion(msgspec.Struct, frozen=True):
    """The reported result of an introspected request. May come before the row it completes."""

    id: RequestId
    """The row to complete."""

    at: UnixMs
    """When the report came."""

    status: int
    """The status of the response."""

    duration_ms: int | None
    """Milliseconds to the response; None: not reported."""


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """The requests of a token that a list shows; None means any value."""

    since: UnixMs | None = None
    """The beginning of the time range, inclusive."""

    until: UnixMs | None = None
    """The end of the time range, exclusive."""

    status: int | None = None
    """The status of the response."""

    method: str | None = None
    """The HTTP method, in any case."""

    path: str | None = None
    """The beginning of the path."""

    allowed: bool | None = None
    """Whether the token allowed the request."""
