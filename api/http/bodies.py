"""Request bodies: read within limits; the rest of a refused body is read and dropped.

Werkzeug is not used: its `get_data` silently cuts a chunked body off at the limit. Called by the
routes and the application.
"""

import contextlib
from urllib.parse import parse_qsl, quote_from_bytes
from wsgiref.types import InputStream, WSGIEnvironment

from flask import request

from api.http.responses import JSON
from schemas.errors import Malformed, TooLarge, UnsupportedMediaType
from schemas.texts import shortened

MAX_BODY_BYTES = 256 * 1024
MAX_BATCH_BYTES = 8 * 1024 * 1024

_MAX_DRAIN_BYTES = 16 * 1024 * 1024
"""How much of a refused body is still read. Smaller: clients that are still sending get a broken
pipe instead of the response.
"""

FORM = "application/x-www-form-urlencoded"

_MAX_FIELDS = 100
_ASCII = bytes(range(128))
_PIECE = 64 * 1024
_IS_READ, _FORM_FIELDS = "ringback.body_read", "ringback.form"


def read_json_body(limit: int = MAX_BODY_BYTES) -> bytes:
    """Return this request's body. Raises UnsupportedMediaType unless it is declared as JSON and not
    compressed, TooLarge, Malformed.
    """
    environ = request.environ
    _require_json(environ)
    body = read_body(environ, limit)
    if not body:
        raise Malformed("the body is empty: send JSON")
    return body


def read_optional_json_body() -> bytes:
    """Return this request's body, or b"" if there is none. Raises what `read_json_body` raises for
    a body that is not empty.
    """
    environ = request.environ
    body = read_body(environ, MAX_BODY_BYTES)
    if body:
        _require_json(environ)
    return body


def read_form() -> dict[str, str]:
    r"""Return the fields of this request's form, which is read once and then cached.

    Bytes that are not UTF-8 become `\xff`: values that another client wrote are passed on in a
    form, and must not make a check of a token fail. Raises UnsupportedMediaType unless the body is
    declared as a form, TooLarge, Malformed.
    """
    environ = request.environ
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
    """Return a body of at most `limit` bytes, with a Content-Length or in chunks. Raises TooLarge,
    Malformed.
    """
    announced = _announced(environ)
    if announced is not None and announced > limit:
        raise _too_large(limit)
    environ[_IS_READ] = True
    body = _read(environ["wsgi.input"], limit + 1 if announced is None else announced)
    if len(body) > limit:
        environ[_IS_READ] = False
        raise _too_large(limit)
    if announced is not None and len(body) < announced:
        raise Malformed(f"the body ended after {len(body)} of {announced} bytes")
    return body


def drain(environ: WSGIEnvironment) -> None:
    """Read and drop what a refused request still sends. Costs nothing when the body was read."""
    if environ.get(_IS_READ) or environ["REQUEST_METHOD"] in {"GET", "HEAD"}:
        return
    with contextlib.suppress(Malformed):  # the request was refused anyway
        announced = _announced(environ)
        left = _MAX_DRAIN_BYTES if announced is None else min(_MAX_DRAIN_BYTES, announced)
        while left > 0 and (piece := _piece(environ["wsgi.input"], min(left, _PIECE))):
            left -= len(piece)


def _announced(environ: WSGIEnvironment) -> int | None:
    """Return the Content-Length, or None for a chunked body. A request with neither has no body
    (RFC 9112, section 6.3).
    """
    text = environ.get("CONTENT_LENGTH")
    if text:
        if not (text.isascii() and text.isdigit()):
            raise Malformed("the Content-Length is not a number")
        return int(text)
    is_chunked = "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower()
    return None if environ.get("wsgi.input_terminated") or is_chunked else 0


def _read(source: InputStream, wanted: int) -> bytes:
    """Return `wanted` bytes, or fewer at the end of the body: one read of a socket may return less
    than asked for.
    """
    body = _piece(source, wanted)
    if len(body) == wanted or not body:
        return body
    pieces, left = [body], wanted - len(body)
    while left > 0 and (piece := _piece(source, left)):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def _piece(source: InputStream, size: int) -> bytes:
    try:
        return bytes(source.read(size)) if size else b""
    except (OSError, ValueError):  # a lost connection or broken chunks
        raise Malformed("the body cannot be read to its end") from None


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
