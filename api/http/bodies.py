"""Request bodies: read within limits, and checked for their declared type.

Werkzeug is not used: its `get_data` silently cuts a chunked body off at the limit. Called by the
routes and the views.
"""

from urllib.parse import parse_qsl, quote_from_bytes
from wsgiref.types import WSGIEnvironment

from api.http.responses import JSON
from schemas.errors import (
    Invalid,
    InvalidEvent,
    Malformed,
    Problem,
    TooLarge,
    UnsupportedMediaType,
)
from schemas.texts import shortened
from web.environ import body_refusal

MAX_BODY_BYTES = 256 * 1024
MAX_BATCH_BYTES = 8 * 1024 * 1024

FORM = "application/x-www-form-urlencoded"

_MAX_FIELDS = 100
_ASCII = bytes(range(128))
_FORM_FIELDS = "ringback.form"


def read_json_body(environ: WSGIEnvironment, limit: int = MAX_BODY_BYTES) -> bytes:
    """Return this request's body. Raises UnsupportedMediaType unless it is declared as JSON and not
    compressed, TooLarge, Malformed.
    """
    _require_json(environ)
    body = read_body(environ, limit)
    if not body:
        raise Malformed("the body is empty: send JSON")
    return body


def read_optional_json_body(environ: WSGIEnvironment) -> bytes:
    """Return this request's body, or b"" if there is none. Raises what `read_json_body` raises for
    a body that is not empty.
    """
    body = read_body(environ, MAX_BODY_BYTES)
    if body:
        _require_json(environ)
    return body


def read_form(environ: WSGIEnvironment) -> dict[str, str]:
    r"""Return the fields of this request's form, which is read once and then cached.

    Bytes that are not UTF-8 become `\xff`: values that another client wrote are passed on in a
    form, and must not make a check of a token fail. Raises UnsupportedMediaType unless the body is
    declared as a form, TooLarge, Malformed.
    """
    if _FORM_FIELDS not in environ:
        environ[_FORM_FIELDS] = _form(environ)
    fields: dict[str, str] = environ[_FORM_FIELDS]
    return fields


def _form(environ: WSGIEnvironment) -> dict[str, str]:
    media_type = _media_type(environ)
    if media_type != FORM:
        raise UnsupportedMediaType(
            f"send a form with the header `Content-Type: {FORM}`; this request has"
            f" {media_type or 'none'}"
        )
    # Bytes beyond ASCII are quoted: `parse_qsl` cannot decode them as they are.
    body = quote_from_bytes(read_body(environ, MAX_BODY_BYTES), safe=_ASCII)
    try:
        pairs = parse_qsl(
            body, keep_blank_values=True, errors="backslashreplace", max_num_fields=_MAX_FIELDS
        )
    except ValueError:
        raise Malformed(f"the form has more than {_MAX_FIELDS} fields") from None
    fields: dict[str, str] = {}
    for name, value in pairs:
        # RFC 6749, section 3.1. A program that uses the first of two values would read another
        # form than Ringback.
        if name in fields:
            raise Malformed(f"duplicate form field {shortened(name)}: send it once")
        fields[name] = value
    return fields


def read_body(environ: WSGIEnvironment, limit: int) -> bytes:
    """Return a body of at most `limit` bytes. Raises TooLarge, Malformed, and the problem with
    which the server refused the body.
    """
    if refusal := body_refusal(environ):
        raise refusal
    announced = _announced(environ)
    if announced is not None and announced > limit:
        raise _too_large(limit)
    body = bytes(environ["wsgi.input"].read(limit + 1 if announced is None else announced))
    if len(body) > limit:
        raise _too_large(limit)
    if announced is not None and len(body) < announced:
        raise Malformed(f"the body ended after {len(body)} of {announced} bytes")
    return body


def problem_of(error: InvalidEvent, detail: str) -> Problem:
    """Return the problem that an invalid event is; `detail` says what is invalid."""
    if error.malformed:
        return Malformed(str(error))
    return Invalid(detail, faults=error.faults)


def _announced(environ: WSGIEnvironment) -> int | None:
    """Return the Content-Length, or None for a body that ends by itself. A request with neither has
    no body (RFC 9112, section 6.3).
    """
    text = environ.get("CONTENT_LENGTH")
    if text:
        if not (text.isascii() and text.isdigit()):
            raise Malformed("the Content-Length is not a number")
        return int(text)
    return None if environ.get("wsgi.input_terminated") else 0


def _require_json(environ: WSGIEnvironment) -> None:
    media_type = _media_type(environ)
    if media_type == JSON or (
        media_type.startswith("application/") and media_type.endswith("+json")
    ):
        return
    raise UnsupportedMediaType(
        f"send JSON with the header `Content-Type: {JSON}`; this request has {media_type or 'none'}"
    )


def _media_type(environ: WSGIEnvironment) -> str:
    """Return the body's declared media type. Raises UnsupportedMediaType for a compressed body."""
    if environ.get("HTTP_CONTENT_ENCODING", "identity") != "identity":
        raise UnsupportedMediaType(
            "send the body without Content-Encoding: compressed bodies are not supported"
        )
    return str(environ.get("CONTENT_TYPE", "")).partition(";")[0].strip().lower()


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the body is larger than {limit} bytes: send less")
