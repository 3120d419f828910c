"""The row of the request log for a request that was made with a token. Called once per request, by
the application.

This is part of the hot path: a struct and an append, no lock and no system call. Refused requests
that repeat share rows. Authentication found out whose request it is. Header values, queries and
bodies are never read.
"""

from http import HTTPStatus
from wsgiref.types import WSGIEnvironment

from api.http.authentication import bearer
from api.http.environ import Authorization, context_of
from api.parts import ApiParts
from schemas.ids import new_request_id
from schemas.request_log import logged_request
from schemas.tokens.secrets import token_hash
from schemas.tokens.tokens import TokenState
from web.client_address import client_address, text_of

_API = "/v1/"


def log_request(parts: ApiParts, environ: WSGIEnvironment, status: int, duration_s: float) -> None:
    """Add a row for this request. Requests without a known token and requests to open routes get
    none; a check of a token has its own row already.
    """
    context = context_of(environ)
    if context.is_logged:
        return
    authorization = context.authorization or _unrouted(parts, environ)
    if authorization is None:
        return
    agent = environ.get("HTTP_USER_AGENT")
    row = logged_request(
        new_request_id(),
        authorization.token_id,
        authorization.at,
        public_id=context.request_id,
        method=environ["REQUEST_METHOD"],
        path=text_of(environ.get("PATH_INFO", "")),
        status=status,
        duration_ms=round(duration_s * 1000),
        address=client_address(environ, parts.trusted_proxies),
        user_agent=text_of(agent) if agent else None,
        permission=authorization.permission,
        allowed=authorization.refused is None,
        reason=authorization.refused,
    )
    if status // 100 == HTTPStatus.BAD_REQUEST // 100:
        parts.request_log.add_refused(row)
    else:
        parts.request_log.add(row)


def _unrouted(parts: ApiParts, environ: WSGIEnvironment) -> Authorization | None:
    """Identify the token of a request with a mistyped address or method, which no route
    authenticated. Only memory is asked: an unknown token must not cost more here than on a route.
    """
    if context_of(environ).route or not environ.get("PATH_INFO", "").startswith(_API):
        return None
    secret, now = bearer(environ), parts.directory.now()
    token = parts.directory.snapshot.by_hash(token_hash(secret), now) if secret else None
    if token is None:
        return None
    state = token.state(now)
    refused = None if state is TokenState.ACTIVE else state.value
    return Authorization(now, token.id, None, refused)
