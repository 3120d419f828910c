"""A token in the places where OAuth 2.0 clients put theirs (RFC 6749, section 2.3.1), for
introspection: standard clients know no others.

The token is the password, or `client_secret`; what stands for the client's name (`client_id`) is
not looked at. Called by `routes`.
"""

import base64
from typing import Any
from urllib.parse import unquote_plus

from api.http.bodies import read_form
from schemas.errors import Problem

_BASIC = "basic "
_FIELD = "client_secret"


def as_bearer(environ: dict[str, Any]) -> None:
    """Spell what came as a bearer token, where it is one. Nothing is wrong with what is none: it is
    refused as a token that is absent.
    """
    given: str = environ.get("HTTP_AUTHORIZATION", "")
    secret = (
        _password(given[len(_BASIC) :])
        if given[: len(_BASIC)].lower() == _BASIC
        else None
        if given
        else _in_form()
    )
    if secret:
        environ["HTTP_AUTHORIZATION"] = f"Bearer {secret}"


def _password(encoded: str) -> str | None:
    """Both halves are spelled as in a form, by that section. The name may be of any encoding, as
    nobody looks at it.
    """
    try:
        pair = base64.b64decode(encoded.strip(), validate=True).decode("latin-1")
    except ValueError:
        return None
    return unquote_plus(pair.partition(":")[2])


def _in_form() -> str | None:
    """What is wrong with the form is said to who has shown a token."""
    try:
        return read_form().get(_FIELD)
    except Problem:
        return None
