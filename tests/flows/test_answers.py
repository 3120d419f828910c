"""Answers that are not as they should be: what counts is a whole head, whatever becomes of the rest
(docs/receivers.md).
"""

import ssl

import pytest
import trustme

from dispatcher.http.messages import HttpResponse
from schemas.deliveries.deliveries import Outcome
from tests.kit.blunt import End, blunt
from tests.kit.posting import Posting, answer_of
from tests.kit.receiver import Receiver

STATUSES = [200, 204, 301, 410, 429, 500, 503]
CHUNKED = b"transfer-encoding: chunked\r\n"


@pytest.fixture(scope="module")
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


def head(status: int, lines: bytes = b"", version: bytes = b"1.1") -> bytes:
    return b"HTTP/%b %d x\r\nretry-after: 7\r\nlocation: /moved\r\n%b\r\n" % (
        version,
        status,
        lines,
    )


async def answered(raw: bytes, end: End = End.CLOSED, timeout_s: float = 5) -> HttpResponse:
    async with blunt(raw, end) as server:
        return await answer_of(f"http://127.0.0.1:{server.port}/", timeout_s=timeout_s)


FLAWED = {
    "shorter than announced": (b"content-length: 100\r\n", b"half", End.CLOSED),
    "nothing of it": (b"content-length: 100\r\n", b"", End.CLOSED),
    "reset in it": (b"content-length: 100\r\n", b"half", End.RESET),
    "reset without a length": (b"", b"half", End.RESET),
    "no such chunk": (CHUNKED, b"zz\r\nhalf", End.CLOSED),
    "a chunk cut off": (CHUNKED, b"5\r\nab", End.CLOSED),
    "no last chunk": (CHUNKED, b"2\r\nok\r\n", End.CLOSED),
    "an endless chunk": (CHUNKED, b"f" * 30 + b"\r\nab", End.CLOSED),
    "a trailer that is none": (CHUNKED, b"2\r\nok\r\n0\r\nnonsense\r\n\r\n", End.CLOSED),
    "no such length": (b"content-length: abc\r\n", b"ok", End.CLOSED),
    "a length below nothing": (b"content-length: -1\r\n", b"ok", End.CLOSED),
    "two lengths": (b"content-length: 1\r\ncontent-length: 2\r\n", b"ok", End.CLOSED),
    "an encoding that was not asked for": (b"transfer-encoding: gzip\r\n", b"ok", End.CLOSED),
    "chunks within": (b"transfer-encoding: chunked, gzip\r\n", b"ok", End.CLOSED),
}


@pytest.mark.parametrize("status", [one for one in STATUSES if one != 204])
@pytest.mark.parametrize("flaw", FLAWED)
async def test_an_answer_whose_body_is_flawed_counts_by_its_head(flaw: str, status: int) -> None:
    """The receiver did its work: to send again would make it do so twice. A 410 disables, a 429
    puts off, as ever.
    """
    lines, body, end = FLAWED[flaw]

    answer = await answered(head(status, lines) + body, end)

    assert (answer.failure, answer.status_code) == (None, status)
    assert answer.error, "it is noted"
    assert (answer.retry_after, answer.location) == (
        (None, None) if status == 200 else ("7", "/moved")
    )


@pytest.mark.parametrize("status", STATUSES)
async def test_an_end_without_tls_goodbye_changes_nothing(
    status: int, tls: ssl.SSLContext, ca_file: str
) -> None:
    """HTTP/1.0, body until the end, and the socket simply closed: what many small servers do."""
    async with blunt(head(status, version=b"1.0") + b"until the end", End.RUDELY, tls) as server:
        answer = await answer_of(f"https://localhost:{server.port}/", ca_file=ca_file)

    assert (answer.failure, answer.status_code) == (None, status)
    assert answer.retry_after == (None if status < 300 else "7")
    assert status == 204 or "close_notify" in (answer.error or "")


@pytest.mark.parametrize("status", [200, 410, 503])
async def test_a_body_that_never_ends_in_time_is_noted(status: int) -> None:
    """What is too slow has said all that matters."""
    answer = await answered(head(status, b"content-length: 9\r\n") + b"x", End.NEVER, timeout_s=0.5)

    assert (answer.failure, answer.status_code, answer.body) == (None, status, b"x")
    assert answer.error == "its body did not end within 0.5 s"


async def test_a_body_that_drips_is_cut_off_long_before_the_timeout(receiver: Receiver) -> None:
    """Its slot is worth more than the rest of an answer that is judged already. What came of it is
    kept.
    """
    answer = await answer_of(receiver.url("/drip"), timeout_s=15)

    assert (answer.failure, answer.status_code) == (None, 200)
    assert answer.body.startswith(b"x")
    assert answer.error == "its body came too slowly, and the rest was not read"
    assert answer.duration_s < 10


@pytest.mark.parametrize(
    "raw",
    [
        head(200, version=b"1.0"), head(200, version=b"1.0") + b"until the end",
        head(200, b"content-length: 2\r\n") + b"ok",
        head(200, b"content-encoding: br\r\ncontent-length: 2\r\n") + b"ok",
        head(204, b"content-length: 5\r\n") + b"hello",
        b"HTTP/1.1 200\ncontent-length: 2\n\nok",
        head(200, b"content-length: 2\r\n") + b"ok and more",
        b"HTTP/1.1 103 x\r\nlink: a\r\n\r\n" + head(200, b"content-length: 0\r\n"),
        b"HTTP/1.1 100 x\r\n\r\n" * 9 + head(200),
    ],
)  # fmt: skip
async def test_an_answer_that_is_odd_but_whole_is_not_worth_a_word(raw: bytes) -> None:
    """Old servers, missing reasons, encodings that we never look into."""
    answer = await answered(raw)

    assert (answer.failure, answer.error) == (None, None)


CUT_OFF = [
    b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ncontent-ty",
    b"HTTP/1.1 200 OK\r\ncontent-type: text\r\n",
    b"HTTP/1.0 410 Gone\r\n", b"HTTP/1.1 103 x\r\nlink: a\r\n\r\n",
    b"HTTP/1.1 103 x\r\n\r\nHTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 103 x\r\n\r\nHTTP/1.1 200 OK\r\nx: y", b"HTTP/1.1 101 x\r\nupgrade: y\r\n\r\n", b"",
]  # fmt: skip


@pytest.mark.parametrize("end", [End.CLOSED, End.RESET])
@pytest.mark.parametrize("raw", CUT_OFF)
async def test_a_head_that_is_not_whole_is_no_answer(raw: bytes, end: End) -> None:
    """It may have been about to say anything. An interim answer is not the answer."""
    answer = await answered(raw, end)

    assert answer.failure is not None
    assert "." in (answer.error or ""), "what happened, and what to do"


@pytest.mark.parametrize("raw", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nx: y\r\n"])
async def test_a_head_that_does_not_end_in_time_is_too_slow(raw: bytes) -> None:
    """It began, so it is reported differently from silence."""
    answer = await answered(raw, End.NEVER, timeout_s=0.5)

    assert (answer.failure, answer.status_code) == (Outcome.TOO_SLOW, 200)


@pytest.mark.parametrize("raw", [b"", b"HTTP/1.1 103 x\r\nlink: a\r\n\r\n"])
async def test_silence_after_an_interim_answer_is_silence(raw: bytes) -> None:
    """Early hints are no answer to a webhook."""
    assert (await answered(raw, End.NEVER, timeout_s=0.5)).failure is Outcome.TIMEOUT


@pytest.mark.parametrize(
    "raw",
    [
        b"this is not HTTP\r\n\r\n", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 099 x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n",
        head(200, b"x: " + b"y" * 120_000 + b"\r\n"),
        head(200, b"x: y\r\n" * 6000), head(410, b"x: %b\r\n" % (b"y" * 1000) * 1000),
    ],
)  # fmt: skip
async def test_what_cannot_be_read_as_a_head_is_no_answer(raw: bytes) -> None:
    """No HTTP, or more of it than anybody should have to keep."""
    answer = await answered(raw)

    assert answer.failure is Outcome.PROTOCOL
    assert "libcurl" not in (answer.error or "")
    assert answer.raw_detail


async def test_trailers_are_no_headers() -> None:
    """They come behind the body, when the answer has long been judged."""
    answer = await answered(
        b"HTTP/1.1 503 x\r\n"
        + CHUNKED
        + b"\r\n2\r\nno\r\n0\r\nretry-after: 7\r\nlocation: /moved\r\n\r\n"
    )

    assert (answer.failure, answer.status_code, answer.retry_after, answer.location) == (
        None,
        503,
        None,
        None,
    )


@pytest.mark.parametrize("end", [End.CLOSED, End.NEVER])
async def test_an_answer_before_the_request_is_whole_counts(end: End) -> None:
    """A receiver that takes no events of this size says so at once, and reads no further."""
    async with blunt(head(413, b"content-length: 0\r\n"), end) as server:
        with Posting(timeout_s=2) as posting:
            answer = await posting.post(f"http://127.0.0.1:{server.port}/", b"x" * 4_000_000)

    assert (answer.failure, answer.status_code) == (None, 413)
