"""Who is calling, and may they? From the bearer token to a Token of the directory, by one look into memory."""

from typing import Any, NoReturn

from api.parts import ApiParts
from schemas.errors import Forbidden, Unauthenticated
from schemas.permissions import Permission
from schemas.times import now_ms
from schemas.tokens import Token, TokenState

_SCHEME = "bearer "


def authenticate(parts: ApiParts, environ: dict[str, Any], needs: Permission | None) -> Token:
    """The active token that the request carries. Raises Unauthenticated, Forbidden; StoreUnavailable for a token that we do
    not know and cannot look up."""
    given = environ.get("HTTP_AUTHORIZATION", "")
    if given[: len(_SCHEME)].lower() != _SCHEME:
        _refuse(parts, "absent", "send the token as `Authorization: Bearer rbk_…`")
    now = now_ms()
    token = parts.directory.holder(given[len(_SCHEME) :].strip(), now)
    if token is None:
        _refuse(parts, "unknown", "this is not a token of ours: is it whole, and was it replaced?")
    state = token.state(now)
    if state is not TokenState.ACTIVE:
        _refuse(parts, state.value, f"the token is {state.value}")
    parts.directory.usage.used(token.id, now)
    if needs is not None and needs not in token.permissions:
        raise Forbidden(f"the token lacks the permission {needs.value} ({needs.label})")
    return token


def _refuse(parts: ApiParts, reason: str, detail: str) -> NoReturn:
    """RFC 6750, section 3: a challenge, and an error code only when there were credentials."""
    parts.observer.auth_failed(reason)
    challenge = "Bearer" if reason == "absent" else 'Bearer error="invalid_token"'
    raise Unauthenticated(detail, headers={"WWW-Authenticate": challenge})
