"""The cookie that holds the secret of a session."""

from flask import Response
from werkzeug.wrappers import Request

_LIVES_S = 90 * 24 * 3600
"""As long as a session can live. The store ends it earlier."""


def read(request: Request, *, secure: bool) -> str | None:
    """Return the secret that the browser sent, or None."""
    return request.cookies.get(_name(secure=secure))


def write(response: Response, secret: str, *, secure: bool) -> None:
    """Have the browser keep the secret of a new session."""
    response.set_cookie(
        _name(secure=secure),
        secret,
        max_age=_LIVES_S,
        secure=secure,
        httponly=True,
        samesite="Lax",
    )


def forget(response: Response, *, secure: bool) -> None:
    """Have the browser forget the secret."""
    response.delete_cookie(_name(secure=secure), secure=secure, httponly=True, samesite="Lax")


def _name(*, secure: bool) -> str:
    """Return the cookie's name. Browsers accept `__Host-` only from this host, by https."""
    return "__Host-ringback" if secure else "ringback"
