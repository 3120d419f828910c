"""Reading requests from bytes: what they say, their limits, and that it does not matter how the
bytes are cut.
"""

import gc
import weakref
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import HeadTooLarge, InternalError, TooLarge
from tests.kit.reading_requests import Reading, only
from tests.kit.served import chunked, get, post
from web.server import heads
from web.server.limits import Limits
from web.server.reader import Phase


def test_a_request_is_read_as_wsgi_wants_it() -> None:
    """Decoded path, query as it is, names in lower case, Latin-1: what Flask expects."""
    request = only(get("/a%C3%A9%2f?x=%20&y#z", "X-Name:\t caf\xe9 \t", "Empty:"))

    assert (request.method, request.path, request.query) == ("GET", "/a\xc3\xa9/", "x=%20&y")
    assert (request.version, request.client, request.body) == ("1.1", "192.0.2.1", b"")
    assert request.headers == {"host": "test", "x-name": "caf\xe9", "empty": ""}


def test_repeated_headers_are_joined() -> None:
    """By a comma, but cookies by a semicolon (RFC 6265, section 5.4)."""
    request = only(get("/", "A: 1", "a: 2", "Cookie: x=1", "Cookie: y=2"))

    assert request.headers["a"] == "1, 2"
    assert request.headers["cookie"] == "x=1; y=2"


def test_names_with_an_underscore_are_dropped() -> None:
    """A proxy that removes `X-User` would let `X_User` pass, and WSGI reads both the same."""
    assert only(get("/", "X_User: root", "X-User: me")).headers == {"host": "test", "x-user": "me"}


@pytest.mark.parametrize("target", ["/a#b?c=d", "/a?#c=d"])
def test_a_fragment_belongs_to_neither_path_nor_query(target: str) -> None:
    """It is for the client alone (RFC 9110, section 4.2.5)."""
    request = only(get(target))

    assert (request.path, request.query) == ("/a", "")


def test_the_absolute_form_says_path_and_host() -> None:
    """Clients of a proxy send it, and its host replaces the header's (RFC 9112, section 3.2.2)."""
    request = only(get("http://other:81/a%20b?c"))

    assert (request.path, request.query, request.headers["host"]) == ("/a b", "c", "other:81")
    assert only(get("http://other")).path == "/"
    assert only(get("http://other?q")).query == "q"


def test_the_asterisk_form_is_a_path_of_its_own() -> None:
    """`OPTIONS *` asks the server: no route has this path."""
    assert only(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n").path == "*"


@pytest.mark.parametrize("host", ["", "x", "x:80", "[::1]:80", "a-b.example"])
def test_a_host_may_have_any_form_that_is_one(host: str) -> None:
    """Also the empty one, of a target without an authority."""
    assert only(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()).headers["host"] == host


@pytest.mark.parametrize("piece_bytes", [1, 100_000])
@pytest.mark.parametrize(
    "part", [b"3;" + b"a" * 1_000_000, b"3\r\nabc\r\n0\r\nA: " + b"b" * 300_000]
)
def test_extensions_and_trailers_without_end_are_refused(part: bytes, piece_bytes: int) -> None:
    """The parser keeps a trailer in memory until it is complete, which no limit of bodies counts."""
    reading = Reading(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    for start in range(0, min(len(part), piece_bytes * 70_000), piece_bytes):
        reading.reader.feed(part[start : start + piece_bytes])

    assert isinstance(reading.problem, HeadTooLarge)
    assert reading.memory.taken_bytes == 0


def test_many_small_chunks_keep_little_memory() -> None:
    """An object for each piece would take thirty times its bytes, which no limit counts."""
    reading = Reading()
    reading.application.limit_bytes = 1_000_000
    data = chunked(*[b"ab"] * 200_000)
    reading.reader.feed(data[:-5])

    kept = reading.reader._body
    assert (len(kept), reading.memory.taken_bytes) == (400_000, 400_000)
    assert isinstance(kept, bytearray)
    reading.reader.feed(data[-5:])
    assert reading.requests[0].body == b"ab" * 200_000


def test_a_request_for_another_protocol_is_read_with_its_body() -> None:
    """Java's client asks for HTTP/2 with its first request to every server: one that may be ignored
    (RFC 9110, section 7.8). The parser takes the body for the other protocol.
    """
    upgrade = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
    data = post(b"abc", "/1?q", *upgrade) + get("/2", *upgrade) + post(b"de", "/3", *upgrade)
    for reading in (Reading(data), Reading(*[bytes([byte]) for byte in data])):
        assert reading.problem is None
        assert [(request.path, request.body) for request in reading.requests] == [
            ("/1", b"abc"),
            ("/2", b""),
            ("/3", b"de"),
        ]
        assert reading.requests[0].query == "q"
        assert reading.requests[0].headers["http2-settings"] == "AAMAAABk"
        assert "upgrade" not in reading.requests[0].headers
        assert all(incoming.keeps_alive for incoming in reading.reader.ready)


def test_thousands_of_requests_for_another_protocol_are_read_one_by_one() -> None:
    """Each is read twice: not one within the other."""
    upgrade = get("/", "Connection: Upgrade", "Upgrade: h2c")

    assert len(Reading(upgrade * 3000).requests) == 3000


def test_connect_ends_the_reading() -> None:
    """What follows would be for the other host."""
    reading = Reading(b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n" + get("/2"))

    assert [(request.method, request.path) for request in reading.requests] == [
        ("CONNECT", "a:443")
    ]
    assert reading.reader.phase is Phase.OVER
    assert not reading.reader.ready[0].keeps_alive


@pytest.mark.parametrize("whole", [True, False])
def test_the_limit_of_the_head_is_exact(whole: bool) -> None:
    """A head at the limit is read, in whatever pieces it comes; one byte more is refused."""
    limits = Limits(head_bytes=200)
    fixed = len("/") + len("Hosttest") + 4 + len("A") + 4
    for size, refused in ((200 - fixed, False), (201 - fixed, True)):
        data = get("/", f"A: {'a' * size}")
        pieces = [data] if whole else [bytes([byte]) for byte in data]
        assert isinstance(Reading(*pieces, limits=limits).problem, HeadTooLarge) is refused


@pytest.mark.parametrize(
    "part", [b"GET /" + b"a" * 70_000, b"GET / HTTP/1.1\r\nA: " + b"a" * 70_000, b"\r\n" * 40_000]
)
def test_a_head_without_end_is_refused(part: bytes) -> None:
    """It must not take memory until its time is over."""
    reading = Reading(part)

    assert isinstance(reading.problem, HeadTooLarge)
    assert reading.reader.phase is Phase.OVER


def test_the_number_of_headers_is_limited() -> None:
    """Each costs more than its bytes."""
    assert Reading(get("/", *["A: b"] * 99)).problem is None
    assert isinstance(Reading(get("/", *["A: b"] * 100)).problem, HeadTooLarge)


@pytest.mark.parametrize("cut", [True, False])
def test_the_limit_of_the_body_is_exact(cut: bool) -> None:
    """With a length the refusal is known at once, in chunks only when they are read."""
    for make in (post, chunked):
        for size in (100, 101):
            reading = Reading()
            reading.application.limit_bytes = 100
            data = make(b"a" * size) + get("/2")
            for piece in [bytes([byte]) for byte in data] if cut else [data]:
                reading.reader.feed(piece)
            first, second = reading.requests
            assert isinstance(first.refusal, TooLarge) is (size == 101)
            assert first.body == (b"" if size == 101 else b"a" * 100)
            assert second.path == "/2"
            assert reading.memory.taken_bytes == (0 if size == 101 else 100)


def test_a_length_may_have_more_zeros_than_python_reads() -> None:
    """Python refuses numbers of more than 4300 digits: that is not a bug to report."""
    reading = Reading(
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"0" * 5000 + b"3\r\n\r\nabc"
    )

    assert [request.body for request in reading.requests] == [b"abc"]
    assert reading.application.errors == []


def test_an_error_of_the_application_is_reported_and_ends_the_reading() -> None:
    """The parser would call it a fault of the client."""
    reading = Reading(post(b"abc", "/raises"))

    (error,) = reading.application.errors
    assert str(error) == "a bug in body_limit"
    assert isinstance(reading.problem, InternalError)


def test_expectations_of_http_1_0_are_ignored() -> None:
    """That version has no `100 Continue` (RFC 9110, section 10.1.1)."""
    data = b"POST / HTTP/1.%d\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"

    assert Reading(data % 1).reader.wants_continue
    assert not Reading(data % 0).reader.wants_continue
    assert not Reading(data % 1 + b"abc").reader.wants_continue


def test_a_closed_reader_needs_no_garbage_collector() -> None:
    """A parser and its reader refer to each other: many connections would wait for it."""
    gc.disable()
    try:
        reading = Reading(post(b"abc") + post(b"def")[:-1])
        assert reading.memory.taken_bytes == 5
        reference = weakref.ref(reading.reader)
        reading.reader.close()
        assert reading.memory.taken_bytes == 0
        del reading.reader
        assert reference() is None
    finally:
        gc.enable()


def test_long_names_and_paths_are_not_remembered() -> None:
    """The memory that a hostile client fills must come back."""
    before = heads._cached_name.cache_info(), heads._cached_text.cache_info()
    request = only(get("/" + "a" * 50_000, "B" * 101 + ": c"))

    assert request.headers["b" * 101] == "c"
    names, paths = heads._cached_name.cache_info(), heads._cached_text.cache_info()
    assert names.currsize <= before[0].currsize + 1  # Host
    assert paths.currsize == before[1].currsize


STREAM = (
    get("/1", "A: b")
    + post(b"", "/2")
    + post(b"abcdef", "/3", "Connection: Upgrade", "Upgrade: h2c")
    + b"\r\n"
    + chunked(b"gh", b"i" * 300, path="/4")
    + post(b"j" * 2000, "/5")
    + b"HEAD /6 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    + b"POST /7 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;a\r\nb\r\n0\r\nC: d\r\n\r\n"
    + get("/8", "Connection: close")
)


def read(pieces: list[bytes]) -> list[tuple[object, ...]]:
    reading = Reading(limits=Limits(memory_bytes=10_000, unknown_memory_bytes=5_000))
    reading.application.limit_bytes = 1000
    for piece in pieces:
        reading.reader.feed(piece)
    return [
        (request.path, request.headers, request.body, str(request.refusal), incoming.keeps_alive)
        for incoming in reading.reader.ready
        if (request := incoming.request)
    ]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *places})
    return [data[start:end] for start, end in pairwise(edges)]


def test_bytes_one_by_one_are_the_same_requests() -> None:
    """Every cut at once."""
    whole = read([STREAM])

    assert [path for path, *_ in whole] == [f"/{number}" for number in range(1, 9)]
    assert read([bytes([byte]) for byte in STREAM]) == whole


@given(st.lists(st.integers(1, len(STREAM) - 1), max_size=12))
def test_any_cuts_give_the_same_requests(places: list[int]) -> None:
    """Networks cut where they like."""
    assert read(cut(STREAM, places)) == read([STREAM])


TOKENS = st.sampled_from(
    [
        *[bytes([byte]) for byte in b"\r\n\0 :;/#?%*,\x7f\x80\xff"],
        b"\r\n",
        b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n",
        b"POST /raises HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"Content-Length: 3\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n",
        b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
        b"Connection: close\r\n",
        b"Expect: 100-continue\r\n",
        b"3\r\nabc\r\n",
        b"0\r\n\r\n",
        b"0\r\n",
        b"a" * 300,
        post(b"abc"),
        chunked(b"abc"),
    ]
)


@given(st.lists(st.one_of(TOKENS, st.binary(max_size=20)), max_size=20), st.integers(0, 3))
def test_no_bytes_raise_and_none_are_kept(pieces: list[bytes], given_up: int) -> None:
    """Whatever a client sends costs at most its own connection, and no memory once it has gone."""
    reading = Reading(limits=Limits(head_bytes=400, header_lines=5))
    reading.application.limit_bytes = 200
    for number, piece in enumerate(pieces):
        reading.reader.feed(piece)
        if number == given_up:
            reading.reader.give_up(TooLarge("given up"))
    kept = sum(incoming.kept_bytes for incoming in reading.reader.ready)

    assert reading.memory.taken_bytes >= kept
    assert sum(incoming.problem is not None for incoming in reading.reader.ready) <= 1
    reading.reader.close()
    assert reading.memory.taken_bytes == 0
