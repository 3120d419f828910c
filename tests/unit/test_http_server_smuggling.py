"""Requests that two programs could read differently: the server refuses them, or reads them as every
proxy does.
"""

import pytest

from schemas.errors import Malformed
from tests.kit.reading_requests import Reading, only
from tests.kit.served import get
from web.server.reader import Phase


@pytest.mark.parametrize(
    "lines",
    [
        "A: b",
        "Host: a\r\nHost: b",
        "Host: a\r\nHost: a",
        "Host: a b",
        "Host: a/b",
        "Host: me@a",
    ],
)
def test_a_request_without_one_valid_host_is_refused(lines: str) -> None:
    """Two programs on the way would choose different ones (RFC 9112, section 3.2)."""
    assert isinstance(Reading(f"GET / HTTP/1.1\r\n{lines}\r\n\r\n".encode()).problem, Malformed)


def test_http_1_0_needs_no_host() -> None:
    """Health checks of old load balancers have none."""
    assert only(b"GET / HTTP/1.0\r\n\r\n").version == "1.0"


@pytest.mark.parametrize(
    "data",
    [
        b"GET /\r\n\r\n",
        b"GET / HTTP/0.9\r\nHost: x\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.2\r\nHost: x\r\n\r\n",
        b"get / HTTP/1.1\r\nHost: x\r\n\r\n",
        bytes.fromhex("1603010200010001fc0303"),
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\rA: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
        b"GET / HTTP/1.1\r\n Host: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: b\x01c\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA\0: b\r\n\r\n",
        b"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET a HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_what_is_not_http_1_is_refused(data: bytes) -> None:
    """What one program reads as a line end, a name or a version, another one does not."""
    reading = Reading(data)

    assert reading.requests == []
    assert isinstance(reading.problem, Malformed)
    assert reading.reader.phase is Phase.OVER


@pytest.mark.parametrize(
    "lines",
    [
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 3",
        "Content-Length: 3\r\nContent-Length: 3",
        "Content-Length: 3\r\nContent-Length: 4",
        "Content-Length: 3, 3",
        "Content-Length: +3",
        "Content-Length: -3",
        "Content-Length: 0x3",
        "Content-Length:",
        "Content-Length: 99999999999999999999999",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding:",
    ],
)
def test_a_body_whose_end_is_in_doubt_is_refused(lines: str) -> None:
    """A proxy that ends it elsewhere would take a part of it for the next client's request."""
    reading = Reading(f"POST / HTTP/1.1\r\nHost: x\r\n{lines}\r\n\r\n".encode() + b"0\r\n\r\n")

    assert reading.requests == []
    assert isinstance(reading.problem, Malformed)
    assert reading.reader.phase is Phase.OVER


def test_chunks_in_http_1_0_are_refused() -> None:
    """That version has none: a proxy of it would pass on something else (RFC 9112, section 6.1)."""
    reading = Reading(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")

    assert isinstance(reading.problem, Malformed)


@pytest.mark.parametrize(
    "chunks",
    [
        b"3\nabc\r\n0\r\n\r\n",
        b"3\r\nabc0\r\n\r\n",
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b"3 \r\nabc\r\n0\r\n\r\n",
        b"-3\r\nabc\r\n0\r\n\r\n",
        b"3;a\nabc\r\n0\r\n\r\n",
        b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    ],
)
def test_chunks_of_another_form_are_refused(chunks: bytes) -> None:
    """These have been used to hide a request from a proxy."""
    reading = Reading(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)

    assert reading.requests == []
    assert isinstance(reading.problem, Malformed)
    assert reading.memory.taken_bytes == 0


def test_extensions_and_trailers_of_chunks_are_ignored() -> None:
    """They must be read over, and a trailer must never count as a header: no proxy checked it."""
    data = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    first, second = Reading(
        data + b'3;a=b;c="d"\r\nabc\r\n0\r\nAuthorization: me\r\n\r\n' + get("/2")
    ).requests

    assert (first.body, first.headers.get("authorization")) == (b"abc", None)
    assert (second.path, second.headers) == ("/2", {"host": "test"})


def test_what_comes_behind_connection_close_is_not_read() -> None:
    """A program on the way that does so would take the second answer for another client's."""
    reading = Reading(get("/1", "Connection: close") + get("/2"), get("/3"))

    assert [request.path for request in reading.requests] == ["/1"]
    assert reading.reader.phase is Phase.OVER
    assert not reading.reader.ready[0].keeps_alive
    assert not reading.reader.is_whole
