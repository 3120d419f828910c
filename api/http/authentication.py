"""Who is calling, and may they? From the bearer token to a Token of the directory, by one look into
memory.
"""

from typing import Any, NoReturn

import msgspec

from api.http.environ import ASKED, LIMIT_FIELDS
from api.parts import ApiParts
from schemas.errors import Forbidden, TooManyRequests, Unauthenticated
from schemas.ids import TokenId
from schemas.times import UnixMs
from schemas.tokens.permissions import Permission
from schemas.tokens.tokens import Token, TokenState
from web.client_address import client_address
from web.rate_limits import RateLimit, in_seconds, one_caller

_SCHEME = "bearer "
_CHECKS = Permission.TOKENS_INTROSPECT


class Asked(msgspec.Struct, frozen=True):
    """Whose request it is and what permission it needs; `refused` says why it was not allowed, None
    that it was.
    """

    at: UnixMs
    token_id: TokenId
    permission: Permission | None
    refused: str | None


def authenticate(parts: ApiParts, environ: dict[str, Any], needs: Permission | None) -> Token:
    """The active token that the request carries, within its limit and with what it needs. Raises
    what `identify` and `admit` raise.
    """
    now = parts.directory.now()
    token = identify(parts, environ, now)
    admit(parts, environ, token, needs, now)
    return token


def identify(parts: ApiParts, environ: dict[str, Any], now: UnixMs) -> Token:
    """The token that the request carries, in whatever state. Raises Unauthenticated; for a token
    that we do not know TooManyRequests where many of those came from, StoreUnavailable when it
    cannot be looked up.
    """
    secret = bearer(environ)
    if secret is None:
        _refuse(parts, "absent", "send the token as `Authorization: Bearer rbk_…`")
    return parts.directory.known(secret, now) or _look_up(parts, environ, secret, now)


def bearer(environ: dict[str, Any]) -> str | None:
    """What the request carries as its token, whatever that is."""
    given: str = environ.get("HTTP_AUTHORIZATION", "")
    return given[len(_SCHEME) :].strip() if given[: len(_SCHEME)].lower() == _SCHEME else None


def admit(
    parts: ApiParts, environ: dict[str, Any], token: Token, needs: Permission | None, now: UnixMs
) -> None:
    """Raises TooManyRequests, whatever the token's state; Unauthenticated unless it is active;
    Forbidden. Leaves word of it for the request log.
    """
    state = token.state(now)
    is_active, held = state is TokenState.ACTIVE, needs is None or needs in token.permissions
    if is_active:
        parts.directory.usage.used(token.id, now)
    if parts.limits and not (
        is_active and needs is _CHECKS and held
    ):  # whoever checks the tokens of others speaks for all of them
        environ[ASKED] = Asked(now, token.id, needs, TooManyRequests.slug)
        _limit(parts.limits, environ, token, parts.clock_ns())
    if not is_active:
        environ[ASKED] = Asked(now, token.id, needs, state.value)
        _refuse(parts, state.value, f"the token is {state.value}")
    if needs is not None and not held:
        environ[ASKED] = Asked(now, token.id, needs, Forbidden.slug)
        raise Forbidden(f"the token lacks the permission {needs.value} ({needs.label})")
    environ[ASKED] = Asked(now, token.id, needs, None)


def _look_up(parts: ApiParts, environ: dict[str, Any], secret: str, now: UnixMs) -> Token:
    """It may be new. Not for an address that tries one after the other: nobody's token must cost
    the store a query each.
    """
    caller, now_ns = one_caller(client_address(environ, parts.trusted_proxies)), parts.clock_ns()
    if wait_ns := parts.damping.wait_ns(caller, now_ns):
        parts.observer.auth_failed("damped")
        detail = "too many tokens that are none of ours came from this address: check the token, and wait"
        raise TooManyRequests(detail, headers={"Retry-After": str(in_seconds(wait_ns))})
    token = parts.directory.holder(secret, now)
    if token is None:
        parts.damping.take(caller, now_ns)
        _refuse(parts, "unknown", "this is not a token of ours: is it whole, and was it replaced?")
    return token


def _limit(limits: RateLimit, environ: dict[str, Any], token: Token, now_ns: int) -> None:
    level, environ[LIMIT_FIELDS] = limits.take(token.id, now_ns)
    if level.wait_ns:
        detail = (
            f"this token may make {limits.per_second:g} requests a second: wait, and spread them"
        )
        raise TooManyRequests(detail, headers={"Retry-After": str(in_seconds(level.wait_ns))})


def _refuse(parts: ApiParts, reason: str, detail: str) -> NoReturn:
    """RFC 6750, section 3: a challenge, and an error code only when there were credentials."""
    parts.observer.auth_failed(reason)
    challenge = "Bearer" if reason == "absent" else 'Bearer error="invalid_token"'
    raise Unauthenticated(detail, headers={"WWW-Authenticate": challenge})
