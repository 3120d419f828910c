"""Checks of tokens, for the chat platform's own API and for gateways in front of it. A token is
looked up in memory; only one that may be new costs a query.

Each check of a known token becomes a row of its request log. The result of the request is reported
later, by the id of the row.
"""

from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes
from wsgiref.types import WSGIEnvironment

from flask import Response

from api.http.authentication import admit, identify
from api.http.environ import context_of
from api.http.responses import json_response
from api.parts import ApiParts
from api.routes import HeaderField, Route
from api.serializers import introspection_answer
from api.token_models import IntrospectionAnswer
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

_THROTTLE_KEY = "introspection"
"""The key in the throttle of unknown tokens, instead of an address: only the chat platform knows
the clients that send guessed tokens.
"""


class _CheckedRequest(NamedTuple):
    """The request that carried the token, as far as it is known."""

    permission: Permission | None
    """The permission that it needs."""
    method: str | None
    path: str | None
    status: int | None
    address: str | None
    user_agent: str | None


async def introspect(parts: ApiParts, form: CheckToken) -> Response:
    """Check a token (RFC 7662).

    Send your own token as a bearer token. OAuth 2.0 clients may send theirs as the password of HTTP
    Basic, or as `client_secret` in the form.

    The response for an inactive or unknown token is `{"active":false}`, whatever the reason. A
    token that never expires has no `exp`.
    """
    now = parts.directory.now()
    token = parts.directory.known(form.token, now) or await _look_up(parts, form.token, now)
    if token is None:
        parts.observer.auth_failed("unknown")
        return _inactive()
    state = token.state(now)
    allowed = form.permission is None or form.permission in token.permissions
    reason = state.value if state is not TokenState.ACTIVE else None if allowed else Forbidden.slug
    checked = _CheckedRequest(
        form.permission, form.method, form.path, form.status, form.ip, form.user_agent
    )
    request_id = _log(parts, now, token, checked, reason)
    if state is not TokenState.ACTIVE:
        parts.observer.auth_failed(state.value)
        return _inactive()
    parts.directory.usage.used(token.id, now)
    return json_response(
        introspection_answer(token, _ends_at(token, form.token), request_id, allowed=allowed)
    )


async def authorize(parts: ApiParts, environ: WSGIEnvironment) -> Response:
    """Check the token that this request carries, for a gateway.

    It serves the sub-requests of nginx's `auth_request` and of Traefik's ForwardAuth.

    204 has three headers. `X-Ringback-Token-Id` is the id of the token. `X-Ringback-Request-Id`
    names the request when its status is reported. `X-Ringback-Channels` holds the channels whose
    data the token may see: `*` for all, empty for none, otherwise their ids, percent-encoded and
    separated by commas.

    422 means that the gateway does not state the permission that the request needs, or states one
    that does not exist. It must refuse the request then.
    """
    now = parts.directory.now()
    token = await identify(parts, environ, now)
    checked = _forwarded(parts, environ)
    context_of(environ).is_logged = True
    try:
        checked = checked._replace(permission=_permission(parts, environ, token, now))
        admit(parts, environ, token, checked.permission, now)
    except Problem as refusal:
        state = token.state(now)
        _log(
            parts, now, token, checked, refusal.slug if state is TokenState.ACTIVE else state.value
        )
        raise
    request_id = _log(parts, now, token, checked, None)
    headers = {
        "X-Ringback-Token-Id": token.id,
        "X-Ringback-Channels": _channels(token),
        "X-Ringback-Request-Id": request_id,
    }
    return Response(status=HTTPStatus.NO_CONTENT, headers=headers)


async def _look_up(parts: ApiParts, secret: str, now: UnixMs) -> Token | None:
    """Ask the store for a token that may be new. The chat platform passes guessed tokens on, too:
    after some hundred unknown tokens a minute the store is not asked, and a new token becomes known
    with the directory's next poll, a quarter of a second later.
    """
    if (
        is_token(secret)
        and parts.directory.fresh()
        and parts.unknown_token_throttle.take(_THROTTLE_KEY, parts.clock_ns()).wait_ns
    ):
        return None
    if not parts.directory.may_be_new(secret):
        return None
    return await parts.threads.look_up(parts.directory.holder, secret, now)


def _inactive() -> Response:
    return json_response(IntrospectionAnswer(active=False))


def _ends_at(token: Token, secret: str) -> UnixMs | None:
    """Return when this secret stops being valid. One that was replaced ends with its overlap."""
    ends = [token.expires_at]
    if len(token.hashes) > 1:
        digest = token_hash(secret)
        ends += [known.until for known in token.hashes if known.value == digest]
    return min((end for end in ends if end is not None), default=None)


def _permission(
    parts: ApiParts, environ: WSGIEnvironment, token: Token, now: UnixMs
) -> Permission | None:
    """Return the permission that the gateway asks about. Raises Invalid; for a token that would be
    refused in any case, what `admit` raises.
    """
    try:
        return _required(environ)
    except Invalid:
        admit(parts, environ, token, None, now)
        raise


def _required(environ: WSGIEnvironment) -> Permission | None:
    """Read the permission header; None: any active token will do.

    Raises Invalid if it is absent or wrong. A gateway that lost the header must let no request
    through, and 403 would look as if the token lacked the permission. nginx responds 500 to its
    client then, and logs why.
    """
    text = environ.get("HTTP_X_REQUIRED_PERMISSION", "")
    if text == _NO_PERMISSION:
        return None
    try:
        return Permission(text)
    except ValueError:
        fault = Fault(_fault(text), _PERMISSION_FIELD)
        raise Invalid(
            f"the gateway does not state what the request needs: correct its {_PERMISSION_FIELD}",
            faults=[fault],
        ) from None


def _fault(text: str) -> str:
    choice = (
        f"name one of {', '.join(Permission)}, or `{_NO_PERMISSION}` if any active token will do"
    )
    if not text:
        return f"the header is missing or empty: {choice}"
    if "," in text:  # servers join repeated headers
        return (
            f"{text[:100]!r} is more than one value, or the header came twice: name one, and let"
            " the gateway remove the header that its client sends"
        )
    return f"{text[:100]!r} is not a permission: {choice}"


def _forwarded(parts: ApiParts, environ: WSGIEnvironment) -> _CheckedRequest:
    """Return the request that the gateway checks. Method and path are read only if a trusted proxy
    sent them. The permission is added later.
    """
    method = path = None
    if is_from_proxy(environ, parts.trusted_proxies):
        method = environ.get("HTTP_X_ORIGINAL_METHOD") or environ.get("HTTP_X_FORWARDED_METHOD")
        path = environ.get("HTTP_X_ORIGINAL_URI") or environ.get("HTTP_X_FORWARDED_URI")
        path = path and from_bytes(unquote_to_bytes(bytes_of(path.partition("?")[0])))
    agent = environ.get("HTTP_USER_AGENT")
    return _CheckedRequest(
        None,
        method,
        path,
        None,
        client_address(environ, parts.trusted_proxies),
        agent and text_of(agent),
    )


def _channels(token: Token) -> str:
    """Return the visible channels, encoded so that no id can end the line, look like two ids, or be
    mistaken for `*`.
    """
    return (
        "*"
        if token.channels is None
        else ",".join(quote(channel, safe="") for channel in sorted(token.channels))
    )


def _log(
    parts: ApiParts, now: UnixMs, token: Token, checked: _CheckedRequest, reason: str | None
) -> RequestId:
    """Log the checked request. Returns the id of the row that counts it. `reason` says why it was
    not allowed; None: it was.
    """
    request_id = new_request_id()
    row = logged_request(
        request_id,
        token.id,
        now,
        method=checked.method,
        path=checked.path,
        status=checked.status,
        address=checked.address,
        user_agent=checked.user_agent,
        permission=checked.permission,
        allowed=reason is None,
        reason=reason,
    )
    if reason is not None:
        return parts.request_log.add_refused(row)
    parts.request_log.add(row)
    return request_id


_FORM_PROBLEMS = frozenset({400, 413, 415, 422})
_HEADERS = (
    HeaderField(
        _PERMISSION_FIELD,
        f"The permission that the checked request needs. `{_NO_PERMISSION}`: any active token will"
        " do.",
        (*Permission, _NO_PERMISSION),
        required=True,
    ),
    HeaderField(
        "X-Original-Method",
        "The method of the checked request, for the request log. Read from trusted proxies only."
        " `X-Forwarded-Method` works, too.",
    ),
    HeaderField(
        "X-Original-URI",
        "The path of the checked request, for the request log; a query is cut off. Read from"
        " trusted proxies only. `X-Forwarded-Uri` works, too.",
    ),
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
        problems=_FORM_PROBLEMS,
    ),
    Route(
        "GET",
        "/v1/authorize",
        authorize,
        _TAG,
        status=HTTPStatus.NO_CONTENT,
        problems=frozenset({403, 422}),
        authenticates=True,
        headers=_HEADERS,
    ),
)
