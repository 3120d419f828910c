"""From a request that was made with a token to its row of the request log. Called once per request,
by the application.

It is on the way of every event: a struct and an append, no lock and no system call. Those that are refused again and again share rows. Whose request it is was found out by
`authentication`; headers' values, queries and bodies are never looked at.
"""

from http import HTTPStatus
from typing import Any

from api.http.authentication import Asked, bearer
from api.http.environ import ASKED, LOGGED, ROUTE
from api.parts import ApiParts
from schemas.ids import new_request_id
from schemas.request_log import logged_request
from schemas.tokens.secrets import token_hash
from schemas.tokens.tokens import TokenState
from web.client_address import client_address, text_of

_API = "/v1/"


def log_request(
    parts: ApiParts, environ: dict[str, Any], request_id: str, status: int, duration_s: float
) -> None:
    """Nothing for a request without a token that we know, for one that is open to everybody, and
    for a check, which has its row.
    """
    if LOGGED in environ:
        return
    asked: Asked | None = environ.get(ASKED) or _asked_for_nothing(parts, environ)
    if asked is None:
        return
    agent = environ.get("HTTP_USER_AGENT")
    row = logged_request(
        new_request_id(),
        asked.token_id,
        asked.at,
        public_id=request_id,
        method=environ["REQUEST_METHOD"],
        path=text_of(environ.get("PATH_INFO", "")),
        status=status,
        duration_ms=round(duration_s * 1000),
        address=client_address(environ, parts.trusted_proxies),
        user_agent=text_of(agent) if agent else None,
        permission=asked.permission,
        allowed=asked.refused is None,
        reason=asked.refused,
    )
    if status // 100 == HTTPStatus.BAD_REQUEST // 100:
        parts.request_log.add_refused(row)
    else:
        parts.request_log.add(row)


def _asked_for_nothing(parts: ApiParts, environ: dict[str, Any]) -> Asked | None:
    """A mistyped address or method: no route, so nobody authenticated it. By what is in memory, as
    a stranger's token must not cost more here than where it is asked for.
    """
    if ROUTE in environ or not environ.get("PATH_INFO", "").startswith(_API):
        return None
    secret, now = bearer(environ), parts.directory.now()
    token = parts.directory.snapshot.by_hash(token_hash(secret), now) if secret else None
    if token is None:
        return None
    state = token.state(now)
    return Asked(now, token.id, None, None if state is TokenState.ACTIVE else state.value)
