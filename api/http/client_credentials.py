"""Tokens in the places where OAuth 2.0 clients put theirs (RFC 6749, section 2.3.1), for
introspection: standard clients know no others.

The token is the password of HTTP Basic, or the form's `client_secret`. The client's name
(`client_id`) is ignored. Called by `routes`.
"""

import base64
from urllib.parse import unquote_plus
from wsgiref.types import WSGIEnvironment

from api.http.bodies import read_form
from schemas.errors import Problem

_BASIC = "basic "
_FIELD = "client_secret"


def as_bearer(environ: WSGIEnvironment) -> None:
    """Turn client credentials into a bearer token. Without valid ones the environ stays as it is,
    and authentication refuses the request as one without a token.
    """
    given: str = environ.get("HTTP_AUTHORIZATION", "")
    secret = None
    if given[: len(_BASIC)].lower() == _BASIC:
        secret = _password(given[len(_BASIC) :])
    elif not given:
        secret = _form_field(environ)
    if secret:
        environ["HTTP_AUTHORIZATION"] = f"Bearer {secret}"


def _password(encoded: str) -> str | None:
    """Return the password, which RFC 6749 encodes like a form field. The name may have any
    encoding, as it is ignored.
    """
    try:
        pair = base64.b64decode(encoded.strip(), validate=True).decode("latin-1")
    except ValueError:
        return None
    return unquote_plus(pair.partition(":")[2])


def _form_field(environ: WSGIEnvironment) -> str | None:
    """Return the secret in the form. Errors of the form are reported later, to authenticated
    callers only.
    """
    try:
        return read_form(environ).get(_FIELD)
    except Problem:
        return None
