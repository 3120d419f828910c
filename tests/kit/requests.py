"""Rows of the request log for tests, with what the test does not care about filled in."""

from schemas.ids import RequestId, TokenId, new_request_id
from schemas.request_log import LoggedRequest
from schemas.times import UnixMs
from schemas.tokens.permissions import Permission


def a_request(
    request_id: RequestId | None = None,
    token_id: str = "tok_1",
    *,
    at: int = 1_000,
    method: str = "GET",
    path: str = "/v1/me",
    status: int | None = 200,
    permission: Permission | None = None,
    allowed: bool = True,
    reason: str | None = None,
    address: str | None = "192.0.2.1",
) -> LoggedRequest:
    own = request_id or new_request_id()
    return LoggedRequest(
        id=own,
        at=UnixMs(at),
        token_id=TokenId(token_id),
        request_id=own,
        method=method,
        path=path,
        status=status,
        duration_ms=None if status is None else 3,
        address=address,
        user_agent="curl/8",
        permission=permission,
        allowed=allowed,
        reason=reason,
    )
