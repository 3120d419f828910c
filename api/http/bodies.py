"""Request bodies: read within limits, and read on when they are refused. Never through Werkzeug,
whose `get_data` cuts a chunked body off at its limit without a word. Called by the routes and the
application.
"""

import contextlib
from typing import Any
from urllib.parse import parse_qsl, quote_from_bytes

from flask import request

from schemas.errors import Malformed, TooLarge, UnsupportedMediaType
from schemas.texts import shortened

MAX_BODY_BYTES = 256 * 1024
MAX_BATCH_BYTES = 8 * 1024 * 1024

_READ_ON_BYTES = 16 * 1024 * 1024
"""How much of a refused body is still read. Less: clients that are still sending get a broken pipe
instead of the answer.
"""

FORM = "application/x-www-form-urlencoded"

_MOST_FIELDS = 100
_ASCII = bytes(range(128))
_PIECE = 64 * 1024
_STARTED, _FORM_READ = "ringback.body_read", "ringback.form"

Environ = dict[str, Any]


def read_json_body(limit: int = MAX_BODY_BYTES) -> bytes:
    """The body of this request. Raises UnsupportedMediaType unless it is declared as plain JSON,
    TooLarge, Malformed.
    """
    environ = request.environ
    _require_json(environ)
    body = read_body(environ, limit)
    if not body:
        raise Malformed("the body is empty: JSON is expected")
    return body


def read_optional_json_body() -> bytes:
    """As `read_json_body`, but no body at all is fine, and then nothing has to be declared."""
    environ = request.environ
    body = read_body(environ, MAX_BODY_BYTES)
    if body:
        _require_json(environ)
    return body


def read_form() -> dict[str, str]:
    r"""The fields of this request's form, read once however often they are asked for. Bytes that are not UTF-8 stay to be seen, as
    `\xff`: what somebody's client wrote is handed on in them as it came, and must not make a check fail. Raises UnsupportedMediaType
    unless it is declared as a form, TooLarge, Malformed.
    """
    environ = request.environ
    if _FORM_READ not in environ:
        environ[_FORM_READ] = _form(environ)
    fields: dict[str, str] = environ[_FORM_READ]
    return fields


def _form(environ: Environ) -> dict[str, str]:
    kind = _declared(environ)
    if kind != FORM:
        raise UnsupportedMediaType(
            f"send a form, and say so with `Content-Type: {FORM}`; this came as {kind or 'nothing'}"
        )
    body = quote_from_bytes(
        read_body(environ, MAX_BODY_BYTES), safe=_ASCII
    )  # else `parse_qsl` takes no bytes beyond ASCII
    try:
        pairs = parse_qsl(
            body, keep_blank_values=True, errors="backslashreplace", max_num_fields=_MOST_FIELDS
        )
    except ValueError:
        raise Malformed(f"the form has more than {_MOST_FIELDS} fields") from None
    fields: dict[str, str] = {}
    for name, value in pairs:
        if (
            name in fields
        ):  # RFC 6749, section 3.1; whoever looks at the first would read another form than we do
            raise Malformed(
                f"the field {shortened(name)} comes twice: which of the two is meant cannot be told"
            )
        fields[name] = value
    return fields


def read_body(environ: Environ, limit: int) -> bytes:
    """At most `limit` bytes, whether their number was announced or they come in chunks. Raises
    TooLarge, Malformed.
    """
    announced = _announced(environ)
    if announced is not None and announced > limit:
        raise _too_large(limit)
    environ[_STARTED] = True
    body = _read(environ["wsgi.input"], limit + 1 if announced is None else announced)
    if len(body) > limit:
        environ[_STARTED] = False
        raise _too_large(limit)
    if announced is not None and len(body) < announced:
        raise Malformed(f"the body ended after {len(body)} of {announced} bytes")
    return body


def read_on(environ: Environ) -> None:
    """Take in what a refused request still sends. Free for requests whose body was read."""
    if environ.get(_STARTED) or environ["REQUEST_METHOD"] in {"GET", "HEAD"}:
        return
    with contextlib.suppress(Malformed):  # it was refused anyway
        left = min(
            _READ_ON_BYTES,
            _READ_ON_BYTES if (announced := _announced(environ)) is None else announced,
        )
        while left > 0 and (piece := _piece(environ["wsgi.input"], min(left, _PIECE))):
            left -= len(piece)


def _announced(environ: Environ) -> int | None:
    """The content length; None for a chunked body. Neither means that there is no body (RFC 9112,
    section 6.3).
    """
    text = environ.get("CONTENT_LENGTH")
    if text:
        if not (text.isascii() and text.isdigit()):
            raise Malformed("the Content-Length is not a number")
        return int(text)
    return (
        None
        if environ.get("wsgi.input_terminated")
        or "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower()
        else 0
    )


def _read(source: Any, wanted: int) -> bytes:
    """`wanted` bytes, or what there is before the end: one read of a socket may give less."""
    body = _piece(source, wanted)
    if len(body) == wanted or not body:
        return body
    pieces, left = [body], wanted - len(body)
    while left > 0 and (piece := _piece(source, left)):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def _piece(source: Any, size: int) -> bytes:
    try:
        return bytes(source.read(size)) if size else b""
    except (OSError, ValueError):  # gone, or its chunks are not chunks
        raise Malformed("the body cannot be read to its end") from None


def _require_json(environ: Environ) -> None:
    kind = _declared(environ)
    if kind != "application/json" and not (
        kind.startswith("application/") and kind.endswith("+json")
    ):
        raise UnsupportedMediaType(
            f"send JSON, and say so with `Content-Type: application/json`; this came as {kind or 'nothing'}"
        )


def _declared(environ: Environ) -> str:
    """The body's media type. Raises UnsupportedMediaType for a compressed one."""
    if environ.get("HTTP_CONTENT_ENCODING", "identity") != "identity":
        raise UnsupportedMediaType(
            "send the body without Content-Encoding: compressed bodies are not read"
        )
    return str(environ.get("CONTENT_TYPE", "")).partition(";")[0].strip().lower()


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the body is larger than {limit} bytes")
