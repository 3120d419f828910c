"""Answers as bytes of HTTP/1.1. Pure."""

from functools import lru_cache
from http import HTTPStatus

from web.server.messages import Answer, Headers

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"

_BODYLESS = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})


def head(answer: Answer, date: str, *, keeps_alive: bool, is_chunked: bool) -> bytes:
    """Return the status line and headers of an answer."""
    return (
        f"{_status_line(answer.status)}{_lines(answer.headers)}date: {date}\r\n"
        f"{_length(answer, is_chunked=is_chunked)}"
        f"{'' if keeps_alive else 'connection: close' + chr(13) + chr(10)}\r\n"
    ).encode("latin-1", errors="replace")


def has_body(method: str, status: int) -> bool:
    """Return whether an answer has a body on the wire."""
    return method != "HEAD" and status not in _BODYLESS


def chunk(piece: bytes) -> bytes:
    """Return a piece of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)


@lru_cache
def _status_line(status: int) -> str:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n"


def _lines(headers: Headers) -> str:
    return "".join([f"{name}: {value}\r\n" for name, value in headers])


def _length(answer: Answer, *, is_chunked: bool) -> str:
    if answer.status in _BODYLESS:
        return ""
    if is_chunked:
        return "transfer-encoding: chunked\r\n"
    length = answer.length
    if length is None and isinstance(answer.body, bytes):
        length = len(answer.body)
    return "" if length is None else f"content-length: {length}\r\n"
