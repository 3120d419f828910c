"""Who is calling, and may they? From the bearer token to a Token of the directory, by one look into memory."""

from typing import Any, NoReturn

import msgspec

from api.parts import ApiParts
from schemas.errors import Forbidden, Unauthenticated
from schemas.ids import TokenId
from schemas.permissions import Permission
from schemas.times import UnixMs, now_ms
from schemas.tokens import Token, TokenState

ASKED = "ringback.asked"
"""Under this key the WSGI environ says what a token that we know asked for. It is there for the request log."""

_SCHEME = "bearer "


class Asked(msgspec.Struct, frozen=True):
    """Whose request it is and what permission it needs; `refused` says why it was not allowed, None that it was."""

    at: UnixMs
    token_id: TokenId
    permission: Permission | None
    refused: str | None


def authenticate(parts: ApiParts, environ: dict[str, Any], needs: Permission | None) -> Token:
    """The active token that the request carries. Raises Unauthenticated, Forbidden; StoreUnavailable for a token that we do
    not know and cannot look up."""
    secret = bearer(environ)
    if secret is None:
        _refuse(parts, "absent", "send the token as `Authorization: Bearer rbk_…`")
    now = now_ms()
    token = parts.directory.holder(secret, now)
    if token is None:
        _refuse(parts, "unknown", "this is not a token of ours: is it whole, and was it replaced?")
    state = token.state(now)
    if state is not TokenState.ACTIVE:
        environ[ASKED] = Asked(now, token.id, needs, state.value)
        _refuse(parts, state.value, f"the token is {state.value}")
    parts.directory.usage.used(token.id, now)
    if needs is not None and needs not in token.permissions:
        environ[ASKED] = Asked(now, token.id, needs, Forbidden.slug)
        raise Forbidden(f"the token lacks the permission {needs.value} ({needs.label})")
    environ[ASKED] = Asked(now, token.id, needs, None)
    return token


def bearer(environ: dict[str, Any]) -> str | None:
    """What the request carries as its token, whatever that is."""
    given: str = environ.get("HTTP_AUTHORIZATION", "")
    return given[len(_SCHEME) :].strip() if given[: len(_SCHEME)].lower() == _SCHEME else None


def _refuse(parts: ApiParts, reason: str, detail: str) -> NoReturn:
    """RFC 6750, section 3: a challenge, and an error code only when there were credentials."""
    parts.observer.auth_failed(reason)
    challenge = "Bearer" if reason == "absent" else 'Bearer error="invalid_token"'
    raise Unauthenticated(detail, headers={"WWW-Authenticate": challenge})
