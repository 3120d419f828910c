"""Answers as bytes of HTTP/1.1. Pure."""

from functools import lru_cache
from http import HTTPStatus

from web.server.messages import Answer, Headers

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"

_BODYLESS = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})


def head(
    answer: Answer, date: str, version: str, length: int | None, *, keeps_alive: bool
) -> bytes:
    """Return the status line and headers of an answer to a client of this version. Without a length
    the body is chunked, in HTTP/1.0 it ends with the connection.
    """
    return (
        f"{_status_line(answer.status)}{_lines(answer.headers)}date: {date}\r\n"
        f"{_length(answer.status, version, length)}{_connection(version, keeps_alive=keeps_alive)}"
        "\r\n"
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


def _length(status: int, version: str, length: int | None) -> str:
    if status in _BODYLESS:
        return ""
    if length is not None:
        return f"content-length: {length}\r\n"
    return "transfer-encoding: chunked\r\n" if version != "1.0" else ""


def _connection(version: str, *, keeps_alive: bool) -> str:
    if not keeps_alive:
        return "connection: close\r\n"
    return "connection: keep-alive\r\n" if version == "1.0" else ""
