"""The cookie that holds a supplier's link. It is sent to the pages of its token only, so that the
links of several tokens can be open in one browser.
"""

from flask import Response
from werkzeug.wrappers import Request

from schemas.ids import TokenId

FOLDER = "/supplier"
"""Where all pages of suppliers are."""


def home(token_id: TokenId) -> str:
    """Return the address of a token's page."""
    return f"{FOLDER}/{token_id}"


def read(request: Request, *, secure: bool) -> str | None:
    """Return the link that the browser sent, or None."""
    return request.cookies.get(_name(secure=secure))


def write(response: Response, token_id: TokenId, link: str, lives_s: int, *, secure: bool) -> None:
    """Have the browser keep a link for as long as it lives."""
    response.set_cookie(
        _name(secure=secure),
        link,
        max_age=lives_s,
        path=home(token_id),
        secure=secure,
        httponly=True,
        samesite="Lax",
    )


def _name(*, secure: bool) -> str:
    """Return the cookie's name. `__Host-` would need the path `/`."""
    return "__Secure-ringback-supplier" if secure else "ringback-supplier"
