"""Authenticate the caller and check its permission.

A bearer token is looked up in the directory's memory. Only a token that may be new costs a query.
"""

from typing import NoReturn
from wsgiref.types import WSGIEnvironment

from api.http.environ import Authorization, RequestContext, context_of
from api.parts import ApiParts
from schemas.errors import Forbidden, TooManyRequests, Unauthenticated
from schemas.times import UnixMs
from schemas.tokens.permissions import Permission
from schemas.tokens.tokens import Token, TokenState
from web.client_address import client_address
from web.rate_limits import RateLimit, client_network, in_seconds

_SCHEME = "bearer "
_INTROSPECT = Permission.TOKENS_INTROSPECT


def authenticate(parts: ApiParts, environ: WSGIEnvironment, needs: Permission | None) -> Token:
    """Return the active token of this request, within its limit and with the needed permission.
    Blocks while a token that may be new is looked up.

    Raises what `known_or_secret`, `look_up` and `admit` raise.
    """
    now = parts.directory.now()
    found = known_or_secret(parts, environ, now)
    token = look_up(parts, environ, found, now) if isinstance(found, str) else found
    admit(parts, environ, token, needs, now)
    return token


async def authenticate_on_loop(
    parts: ApiParts, environ: WSGIEnvironment, needs: Permission | None
) -> Token:
    """Do the same on the event loop: only a look-up takes a thread."""
    now = parts.directory.now()
    token = await identify(parts, environ, now)
    admit(parts, environ, token, needs, now)
    return token


async def identify(parts: ApiParts, environ: WSGIEnvironment, now: UnixMs) -> Token:
    """Return the token of this request, in whatever state it is.

    Raises what `known_or_secret` and `look_up` raise, and Unavailable when too many requests wait
    for a thread.
    """
    found = known_or_secret(parts, environ, now)
    if not isinstance(found, str):
        return found
    if not parts.directory.may_be_new(found):
        _refuse_unknown(parts, environ)
    return await parts.threads.look_up(look_up, parts, environ, found, now)


def known_or_secret(parts: ApiParts, environ: WSGIEnvironment, now: UnixMs) -> Token | str:
    """Return the token of this request, in whatever state it is, or its secret if it must be looked
    up. Raises Unauthenticated without one.
    """
    secret = bearer(environ)
    if secret is None:
        _refuse(parts, "absent", "send the token as `Authorization: Bearer rbk_…`")
    return parts.directory.known(secret, now) or secret


def bearer(environ: WSGIEnvironment) -> str | None:
    """Return the request's bearer token, unchecked; None without one."""
    given: str = environ.get("HTTP_AUTHORIZATION", "")
    return given[len(_SCHEME) :].strip() if given[: len(_SCHEME)].lower() == _SCHEME else None


def admit(
    parts: ApiParts, environ: WSGIEnvironment, token: Token, needs: Permission | None, now: UnixMs
) -> None:
    """Check limit, state and permission, in this order, and record the result for the request log.

    Raises TooManyRequests, Unauthenticated or Forbidden.
    """
    context, state = context_of(environ), token.state(now)
    is_active, is_permitted = (
        state is TokenState.ACTIVE,
        needs is None or needs in token.permissions,
    )
    if is_active:
        parts.directory.usage.used(token.id, now)
    # A caller that introspects tokens asks for all their owners: its requests are not limited.
    if parts.limits and not (is_active and needs is _INTROSPECT and is_permitted):
        context.authorization = Authorization(now, token.id, needs, TooManyRequests.slug)
        _limit(parts.limits, context, token, parts.clock_ns())
    if not is_active:
        context.authorization = Authorization(now, token.id, needs, state.value)
        _refuse(parts, state.value, f"the token is {state.value}")
    if needs is not None and not is_permitted:
        context.authorization = Authorization(now, token.id, needs, Forbidden.slug)
        raise Forbidden(f"the token lacks the permission {needs.value} ({needs.label})")
    context.authorization = Authorization(now, token.id, needs, None)


def look_up(parts: ApiParts, environ: WSGIEnvironment, secret: str, now: UnixMs) -> Token:
    """Ask the store for a token that may be new, unless its address tries one after the other:
    each unknown token would cost a query.

    Raises Unauthenticated for an unknown token, TooManyRequests when its address sent too many of
    them, and StoreUnavailable when it cannot be looked up.
    """
    _throttle_unknown(parts, environ)
    token = parts.directory.holder(secret, now)
    if token is None:
        _refuse_unknown(parts, environ)
    return token


def _throttle_unknown(parts: ApiParts, environ: WSGIEnvironment) -> str:
    """Return the network of the client. Raises TooManyRequests if it sent too many unknown
    tokens.
    """
    network = client_network(client_address(environ, parts.trusted_proxies))
    if wait_ns := parts.unknown_token_throttle.wait_ns(network, parts.clock_ns()):
        parts.observer.auth_failed("throttled")
        raise TooManyRequests(
            "too many unknown tokens came from this address: check the token, and wait",
            headers={"Retry-After": str(in_seconds(wait_ns))},
        )
    return network


def _refuse_unknown(parts: ApiParts, environ: WSGIEnvironment) -> NoReturn:
    """Refuse a token that does not exist, and count it for its client's network."""
    network = _throttle_unknown(parts, environ)
    parts.unknown_token_throttle.take(network, parts.clock_ns())
    _refuse(
        parts, "unknown", "the token is unknown: check that it is complete and was not replaced"
    )


def _limit(limits: RateLimit, context: RequestContext, token: Token, now_ns: int) -> None:
    level, context.limit_headers = limits.take(token.id, now_ns)
    if level.wait_ns:
        raise TooManyRequests(
            f"this token may make {limits.per_second:g} requests a second: wait, then send more"
            " slowly",
            headers={"Retry-After": str(in_seconds(level.wait_ns))},
        )


def _refuse(parts: ApiParts, reason: str, detail: str) -> NoReturn:
    """Raise Unauthenticated with a challenge, which names an error only if there were credentials
    (RFC 6750, section 3).
    """
    parts.observer.auth_failed(reason)
    challenge = "Bearer" if reason == "absent" else 'Bearer error="invalid_token"'
    raise Unauthenticated(detail, headers={"WWW-Authenticate": challenge})
