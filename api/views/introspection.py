"""Checks of tokens, for the chat platform's own API and for gateways before it: by what is in
memory; only a token that may be new costs a query.

Each check of a token that we know becomes a row of its request log. What became of the request is
reported later, by the row's id.
"""

from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import quote, unquote_to_bytes

from flask import Response, request

from api.http.authentication import admit, identify
from api.http.environ import LOGGED
from api.http.responses import json_response
from api.parts import ApiParts
from api.response_models import IntrospectionAnswer
from api.routes import HeaderField, Route
from api.serializers import introspection_answer
from schemas.errors import Fault, Forbidden, Invalid, Problem
from schemas.ids import RequestId, new_request_id
from schemas.request_log import logged_request
from schemas.texts import from_bytes
from schemas.times import UnixMs
from schemas.tokens.permissions import Permission
from schemas.tokens.secrets import is_token, token_hash
from schemas.tokens.tokens import Token, TokenState
from web.client_address import bytes_of, client_address, is_from_proxy, text_of
from web.models.bodies import CheckToken

_TAG = "Checks"
_PERMISSION_FIELD, _NO_PERMISSION = "X-Required-Permission", "none"

_HANDED_ON = "introspection"
"""In place of an address: of those who send the guesses only the chat platform knows."""


class _Asked(NamedTuple):
    """What is known of the request that carried the token. `permission` is what it needs."""

    permission: Permission | None
    method: str | None
    path: str | None
    status: int | None
    address: str | None
    user_agent: str | None


def introspect(parts: ApiParts, form: CheckToken) -> Response:
    """Check a token (RFC 7662).

    Your own token comes as a bearer token; or, as OAuth 2.0 clients send theirs, as the password of
    HTTP Basic, or as `client_secret` in the form.

    Whatever is not active, for whatever reason, is answered `{"active":false}` and nothing else.
    `exp` is left out of a token that never ends.
    """
    now = parts.directory.now()
    token = parts.directory.known(form.token, now) or _look_up(parts, form.token, now)
    if token is None:
        parts.observer.auth_failed("unknown")
        return _inactive()
    state = token.state(now)
    allowed = form.permission is None or form.permission in token.permissions
    reason = state.value if state is not TokenState.ACTIVE else None if allowed else Forbidden.slug
    asked = _Asked(form.permission, form.method, form.path, form.status, form.ip, form.user_agent)
    request_id = _log(parts, now, token, asked, reason)
    if state is not TokenState.ACTIVE:
        parts.observer.auth_failed(state.value)
        return _inactive()
    parts.directory.usage.used(token.id, now)
    return json_response(
        introspection_answer(token, _ends_at(token, form.token), request_id, allowed=allowed)
    )


def authorize(parts: ApiParts) -> Response:
    """Check the token that this request carries, for a gateway.

    For the sub-request of nginx's `auth_request` and of Traefik's ForwardAuth. 204 names the token in `X-Ringback-Token-Id`, in
    `X-Ringback-Request-Id` what to report its status by, and in `X-Ringback-Channels` the channels whose data it may see: `*` for
    all, nothing for none, else their ids, percent-encoded and separated by commas. 422 tells a gateway that it does not say what
    the request needs, or asks for a permission that there is not: it is to let nobody through then.
    """
    environ, now = request.environ, parts.directory.now()
    token = identify(parts, environ, now)
    asked = _told_by_gateway(parts, environ)
    environ[LOGGED] = True
    try:
        asked = asked._replace(permission=_question(parts, environ, token, now))
        admit(parts, environ, token, asked.permission, now)
    except Problem as refusal:
        state = token.state(now)
        _log(parts, now, token, asked, refusal.slug if state is TokenState.ACTIVE else state.value)
        raise
    request_id = _log(parts, now, token, asked, None)
    told = {
        "X-Ringback-Token-Id": token.id,
        "X-Ringback-Channels": _channels(token),
        "X-Ringback-Request-Id": request_id,
    }
    return Response(status=HTTPStatus.NO_CONTENT, headers=told)


def _look_up(parts: ApiParts, secret: str, now: UnixMs) -> Token | None:
    """It may be new. Guesses of strangers are handed on to us too: past some hundred a minute the
    store is not asked any more, and a new token is known by the directory's own poll, a quarter of
    a second later.
    """
    if (
        is_token(secret)
        and parts.directory.fresh()
        and parts.damping.take(_HANDED_ON, parts.clock_ns()).wait_ns
    ):
        return None
    return parts.directory.holder(secret, now)


def _inactive() -> Response:
    return json_response(IntrospectionAnswer(active=False))


def _ends_at(token: Token, secret: str) -> UnixMs | None:
    """Of this secret: one that was replaced ends with its overlap."""
    ends = [token.expires_at]
    if len(token.hashes) > 1:
        digest = token_hash(secret)
        ends += [one.until for one in token.hashes if one.value == digest]
    return min((end for end in ends if end is not None), default=None)


def _question(
    parts: ApiParts, environ: dict[str, Any], token: Token, now: UnixMs
) -> Permission | None:
    """What the gateway asks. Raises Invalid; where the token would not do for any question, what
    `admit` raises.
    """
    try:
        return _required(environ)
    except Invalid:
        admit(parts, environ, token, None, now)
        raise


def _required(environ: dict[str, Any]) -> Permission | None:
    """None: the gateway asks for none. Raises Invalid where it does not ask, or not for one that
    there is: a gateway that lost its question must open nothing, and 403 would look as if the token
    lacked it. nginx answers its client 500 then, and notes why.
    """
    text = environ.get("HTTP_X_REQUIRED_PERMISSION", "")
    if text == _NO_PERMISSION:
        return None
    try:
        return Permission(text)
    except ValueError:
        fault = Fault(_fault(text), _PERMISSION_FIELD)
        raise Invalid(
            f"the gateway does not say what the request needs: correct its {_PERMISSION_FIELD}",
            faults=[fault],
        ) from None


def _fault(text: str) -> str:
    choice = (
        f"name one of {', '.join(Permission)}, or `{_NO_PERMISSION}` where any active token will do"
    )
    if not text:
        return f"there is none, or it is empty: {choice}"
    if "," in text:  # servers join what comes twice
        return f"{text[:100]!r} is more than one, or came twice: name one, and have the gateway remove what its client sends"
    return f"{text[:100]!r} is not a permission: {choice}"


def _told_by_gateway(parts: ApiParts, environ: dict[str, Any]) -> _Asked:
    """Method and address of the request are a gateway's word, and taken from nobody else. The
    permission is left open.
    """
    method = path = None
    if is_from_proxy(environ, parts.trusted_proxies):
        method = environ.get("HTTP_X_ORIGINAL_METHOD") or environ.get("HTTP_X_FORWARDED_METHOD")
        path = environ.get("HTTP_X_ORIGINAL_URI") or environ.get("HTTP_X_FORWARDED_URI")
        path = path and from_bytes(unquote_to_bytes(bytes_of(path.partition("?")[0])))
    agent = environ.get("HTTP_USER_AGENT")
    return _Asked(
        None,
        method,
        path,
        None,
        client_address(environ, parts.trusted_proxies),
        agent and text_of(agent),
    )


def _channels(token: Token) -> str:
    """Encoded, so that no id can end the line, pass for two, or be taken for `*`."""
    return (
        "*"
        if token.channels is None
        else ",".join(quote(channel, safe="") for channel in sorted(token.channels))
    )


def _log(
    parts: ApiParts, now: UnixMs, token: Token, asked: _Asked, reason: str | None
) -> RequestId:
    """The id of the row on which it counts. `reason` says why the request was not allowed; None: it
    was.
    """
    request_id = new_request_id()
    row = logged_request(
        request_id,
        token.id,
        now,
        method=asked.method,
        path=asked.path,
        status=asked.status,
        address=asked.address,
        user_agent=asked.user_agent,
        permission=asked.permission,
        allowed=reason is None,
        reason=reason,
    )
    if reason is not None:
        return parts.request_log.add_refused(row)
    parts.request_log.add(row)
    return request_id


_FORM = frozenset({400, 413, 415, 422})
_READ = (
    HeaderField(
        _PERMISSION_FIELD,
        f"What the checked request needs, named once; `{_NO_PERMISSION}`: any active token will do.",
        (*Permission, _NO_PERMISSION),
        required=True,
    ),
    HeaderField(
        "X-Original-Method",
        "Of the checked request, for the request log; from trusted proxies. `X-Forwarded-Method` does as well.",
    ),
    HeaderField("X-Original-URI", "Its path; a query is cut off. `X-Forwarded-Uri` does as well."),
)

ROUTES = (
    Route(
        "POST",
        "/v1/introspect",
        introspect,
        _TAG,
        answer=IntrospectionAnswer,
        needs=Permission.TOKENS_INTROSPECT,
        client_credentials=True,
        problems=_FORM,
    ),
    Route(
        "GET",
        "/v1/authorize",
        authorize,
        _TAG,
        HTTPStatus.NO_CONTENT,
        problems=frozenset({403, 422}),
        authenticates=True,
        headers=_READ,
    ),
)
