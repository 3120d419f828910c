"""The cookie that a browser keeps in which a person has signed in. It opens nothing: guesses from
elsewhere, at the account or from the same network, do not make this browser wait.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence

from flask import Response
from werkzeug.wrappers import Request

_LIVES_S = 365 * 24 * 3600
"""Longer: a person who comes back after a year is not kept out by someone else's guesses."""

_PURPOSE = b"a known browser: "


def write(response: Response, email: str, cookie_keys: Sequence[bytes], *, secure: bool) -> None:
    """Have the browser keep that this person has just signed in with it."""
    number = secrets.token_urlsafe(16)
    response.set_cookie(
        _name(secure=secure),
        f"{number}.{_signature(number, email, cookie_keys[-1])}",
        max_age=_LIVES_S,
        secure=secure,
        httponly=True,
        samesite="Lax",
    )


def read(request: Request, email: str, cookie_keys: Sequence[bytes], *, secure: bool) -> str | None:
    """Return the browser's number; None: this person has not signed in with it."""
    number, _, signature = request.cookies.get(_name(secure=secure), "").partition(".")
    given = signature.encode(errors="replace")
    for key in cookie_keys:
        if hmac.compare_digest(_signature(number, email, key).encode(), given):
            return number
    return None


def _signature(number: str, email: str, key: bytes) -> str:
    text = f"{number} {email}".encode(errors="replace")
    return hmac.new(key, _PURPOSE + text, hashlib.sha256).hexdigest()


def _name(*, secure: bool) -> str:
    """Return the cookie's name. Browsers accept `__Host-` only from this host, by https."""
    return "__Host-ringback-known" if secure else "ringback-known"
