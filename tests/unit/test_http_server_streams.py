"""Answers that are made while they are sent: no faster than the client reads, and closed in every
case.
"""

import time
from collections.abc import AsyncIterator, Callable

import pytest

from tests.kit.served import Body, Client, Serve, Served, get, post
from tests.kit.waiting import wait_for
from web.server.messages import Answer, Request

PIECE = b"x" * 50_000
ENDLESS = 1_000_000


def with_body(served: Served, body: Body, length: int | None = None) -> Body:
    async def answer(_request: Request) -> Answer:
        return Answer(200, [("content-type", "text/csv")], body.made_pieces(), length)

    served.application.handlers["/stream"] = answer
    return body


def closed(body: Body) -> None:
    wait_for("the body closed", lambda: body.is_closed)


def test_a_body_without_a_length_is_chunked_and_keeps_the_connection(serve: Serve) -> None:
    """Also one without pieces: an empty chunk would end it."""
    served = serve()
    client = served.connect()
    for pieces in (40, 1, 0):
        body = with_body(served, Body(PIECE, pieces))
        reply = client.ask(get("/stream"))
        assert reply.headers["transfer-encoding"] == "chunked"
        assert (reply.body, reply.is_whole) == (PIECE * pieces, True)
        closed(body)
    with_body(served, Body(b"", 3))
    assert client.ask(get("/stream")).is_whole
    assert client.ask(post(b"next")).body == b"next"


def test_http_1_0_reads_it_until_the_connection_ends(serve: Serve) -> None:
    """That version has no chunks. A client that wants to keep the connection cannot."""
    served = serve()
    for headers in ((), ("Connection: keep-alive",)):
        body = with_body(served, Body(PIECE, 40))
        reply = served.connect().ask(get("/stream", *headers, version="1.0"))
        assert (reply.headers["connection"], reply.body) == ("close", PIECE * 40)
        assert not {"transfer-encoding", "content-length"} & reply.headers.keys()
        assert reply.is_whole
        closed(body)


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_known_length_is_sent_and_keeps_the_connection(serve: Serve, version: str) -> None:
    """A client can show how much is left."""
    served = serve()
    client = served.connect()
    with_body(served, Body(PIECE, 40), len(PIECE) * 40)
    reply = client.ask(get("/stream", "Connection: keep-alive", version=version))

    assert reply.headers["content-length"] == str(len(PIECE) * 40)
    assert reply.body == PIECE * 40
    assert client.ask(post(b"next")).body == b"next"


def test_an_answer_to_head_makes_no_piece(serve: Serve) -> None:
    """It has the headers alone."""
    served = serve()
    body = with_body(served, Body(PIECE, 40))
    client = served.connect()

    assert client.ask(b"HEAD /stream HTTP/1.1\r\nHost: x\r\n\r\n", "HEAD").status == 200
    assert client.ask(post(b"next")).body == b"next"
    assert body.made == 0


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("length", [None, 1_000_000])
def test_an_error_in_the_middle_shows_that_it_is_not_whole(
    serve: Serve, version: str, length: int | None
) -> None:
    """A client that takes half of an export for all of it loses data. HTTP/1.0 without a length
    sees it only from a reset.
    """
    served = serve()
    body = with_body(served, Body(b"abc", 3, RuntimeError("the database has gone")), length)
    reply = served.connect().ask(get("/stream", version=version))

    assert (reply.status, reply.is_whole) == (200, False)
    assert [str(error) for error in served.application.errors] == ["the database has gone"]
    closed(body)


@pytest.mark.parametrize("length", [5, 9])
def test_a_body_of_another_length_than_announced_shows_that_too(serve: Serve, length: int) -> None:
    """A client would wait for the rest, or take what is too much for the next answer."""
    served = serve()
    body = with_body(served, Body(b"abcd", 2), length)
    reply = served.connect().ask(get("/stream"))

    assert not reply.is_whole
    (error,) = served.application.errors
    assert isinstance(error, ValueError)
    closed(body)


def standing_still(served: Served, version: str = "1.1") -> tuple[Client, Body]:
    """Return a client that reads nothing, and the body that stands still for it."""
    body = with_body(served, Body(PIECE, ENDLESS))
    client = served.connect(receive_bytes=10_000)
    client.send(get("/stream", version=version))
    made = -1

    def stands_still() -> bool:
        nonlocal made
        before, made = made, body.made
        return body.made == before > 1

    wait_for("a body that stands still", stands_still)
    return client, body


def test_a_client_that_reads_nothing_lets_the_body_stand_still(serve: Serve) -> None:
    """Each piece would be memory. The others are answered, and it goes on when the client does."""
    served = serve()
    client, body = standing_still(served)
    (connection,) = served.server._connections
    unsent_bytes = served.thread.run(connection._transport.get_write_buffer_size)
    made = body.made

    assert unsent_bytes <= 64 * 1024 + 2 * len(PIECE)
    assert made < 20  # the kernel keeps 4 MB of an answer, if it may
    assert served.connect().ask(post(b"other")).body == b"other"
    assert body.made == made
    while body.made < made + 100:
        assert client.file.read(100_000)


def test_a_client_that_reads_nothing_for_long_is_cut_off(serve: Serve) -> None:
    """And the body is closed: it holds a file, or rows of the database."""
    served = serve(stalled_s=0.2)
    _, body = standing_still(served)

    closed(body)
    served.wait_until_empty()
    assert served.application.errors == []


def test_a_client_that_reads_slowly_is_not_cut_off(serve: Serve) -> None:
    """It takes something now and then."""
    served = serve(stalled_s=1)
    body = with_body(served, Body(PIECE, ENDLESS))
    client = served.connect(receive_bytes=10_000)
    client.send(get("/stream"))
    made = body.made
    for _ in range(20):
        assert client.file.read(40_000)
        time.sleep(0.1)

    assert body.made > made
    assert not body.is_closed


@pytest.mark.parametrize("go", [Client.close, Client.reset, Client.end_sending])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_client_that_goes_ends_the_body(
    serve: Serve, go: Callable[[Client], None], version: str
) -> None:
    """No error to report: clients do that. One that only ends its sending still reads."""
    served = serve()
    client, body = standing_still(served, version)
    go(client)
    if go is Client.end_sending:
        for _ in range(50):
            assert client.file.read(100_000)
        client.close()

    closed(body)
    served.wait_until_empty()
    assert served.application.errors == []


def test_a_body_that_is_closed_with_an_error_is_reported_and_not_whole(serve: Serve) -> None:
    """Its last rows may be missing."""
    served = serve()

    class Broken:
        def __aiter__(self) -> "Broken":
            return self

        async def __anext__(self) -> bytes:
            raise StopAsyncIteration

        async def aclose(self) -> None:
            raise RuntimeError("closing")

    async def answer(_request: Request) -> Answer:
        return Answer(200, [], Broken())

    served.application.handlers["/stream"] = answer
    client = served.connect()
    client.send(get("/stream"))
    client.read()
    assert not client.is_ended()
    assert [str(error) for error in served.application.errors] == ["closing"]


def test_a_body_for_a_client_that_has_gone_meanwhile_is_closed(serve: Serve) -> None:
    """Making the answer took longer than the client waited."""
    served = serve()
    body, closings = with_body(served, Body(PIECE, ENDLESS)), list[str]()

    class Watched:
        def __aiter__(self) -> AsyncIterator[bytes]:
            return body.made_pieces()

        async def aclose(self) -> None:
            closings.append("closed")

    served.busy_body = Watched()  # type: ignore[assignment]  # iterable is enough
    client = served.busy_client()
    client.reset()
    wait_for("the client gone", lambda: served.gone() == 1)
    served.release()

    served.wait_until_empty()
    assert (body.made, closings) == (0, ["closed"])
    assert served.application.errors == []


def test_requests_behind_a_stream_are_answered_after_it(serve: Serve) -> None:
    """Their answers must not be mixed into it."""
    served = serve()
    with_body(served, Body(PIECE, 40))
    client = served.connect()
    client.send(get("/stream") + post(b"1") + post(b"2"))

    assert [client.read().body for _ in range(3)] == [PIECE * 40, b"1", b"2"]
