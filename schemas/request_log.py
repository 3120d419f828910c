"""The request log's shapes: what is remembered of a request that was made with a token, here or at
the chat platform's own API.

Never a header's value, a query or a body: those can hold secrets and other people's data.
"""

import re
from dataclasses import dataclass

import msgspec

from schemas.ids import RequestId, TokenId
from schemas.texts import spelled_out
from schemas.times import UnixMs
from schemas.tokens.permissions import Permission

MAX_PATH, MAX_USER_AGENT, MAX_METHOD, MAX_ADDRESS, MAX_REASON = 1024, 512, 32, 64, 256
"""Characters that are kept. More: a client that sends long ones fills the log."""

_QUERY = re.compile(r"\?|%(?:25)*3[fF]")


class LoggedRequest(msgspec.Struct, frozen=True):
    """One row. `id` is ours, `request_id` the `X-Request-Id` of the answer; for a request that was
    only introspected they are one.

    `status` and `duration_ms` are None until they are reported. `permission` is what the request asked for; `reason` says why it
    was not allowed. `count`: for how many refused requests of the token it stands, itself among them.
    """

    id: RequestId
    at: UnixMs
    token_id: TokenId
    request_id: str
    method: str | None
    path: str | None
    status: int | None
    duration_ms: int | None
    address: str | None
    user_agent: str | None
    permission: Permission | None
    allowed: bool
    reason: str | None = None
    count: int = 1


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
    """With the texts that others wrote as the log keeps them, and the path without a query, also one that was escaped into it.
    `public_id`: the answer's, where that is another one.
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
    """Cut, and each character spelled out that a database refuses (NUL, half of a surrogate pair)
    or that would do something to a terminal.
    """
    return spelled_out(text[:most])[:most]


class Completion(msgspec.Struct, frozen=True):
    """What became of a request that was introspected. It may come before the row that it completes.
    """

    id: RequestId
    at: UnixMs
    status: int
    duration_ms: int | None


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """Which of a token's requests a list shows; None: any. `since` is inclusive, `until` exclusive; `method` whatever its case,
    `path` is how the path begins.
    """

    since: UnixMs | None = None
    until: UnixMs | None = None
    status: int | None = None
    method: str | None = None
    path: str | None = None
    allowed: bool | None = None
