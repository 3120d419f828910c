"""The HTTP server over real sockets: requests, answers, and what keeps a connection."""

import asyncio
import re
import socket
from collections.abc import Callable

import pytest

from tests.kit.served import Serve, chunked, get, post
from tests.kit.waiting import wait_for
from web.server.messages import Answer, Request

EXPECTING = b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"


def test_an_answer_says_its_length_and_date_and_keeps_the_connection(serve: Serve) -> None:
    """A connection per event would double the latency."""
    client = serve().connect()
    for body in (b"abc", b"", b"x" * 100_000):
        reply = client.ask(post(body))
        assert (reply.status, reply.body) == (200, body)
        assert reply.headers["content-length"] == str(len(body))
        assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", reply.headers["date"])
        assert "connection" not in reply.headers


def test_a_small_answer_comes_in_one_piece(serve: Serve) -> None:
    """A second write would cost another system call, and another packet."""
    client = serve().connect()
    for _ in range(20):
        client.send(post(b"small"))
        assert client.socket.recv(4096).endswith(b"\r\n\r\nsmall")


@pytest.mark.parametrize("make", [post, chunked])
def test_bodies_cut_at_every_byte_arrive_whole(serve: Serve, make: Callable[..., bytes]) -> None:
    """Networks cut where they like."""
    client, data = serve().connect(), make(b"abcdef")
    client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for place in range(1, len(data)):
        client.send(data[:place])
        client.send(data[place:])
        assert client.read().body == b"abcdef"
    for byte in data:
        client.send(bytes([byte]))
    assert client.read().body == b"abcdef"


def test_the_application_sees_the_address_of_the_client(serve: Serve) -> None:
    """Logs and limits need it."""
    served = serve()
    served.connect().ask(get())

    assert served.application.requests[0].client == "127.0.0.1"


def test_pipelined_requests_are_answered_in_their_order(serve: Serve) -> None:
    """Also when the first takes longest."""
    served = serve()

    async def slow(_request: Request) -> Answer:
        await asyncio.sleep(0.05)
        return Answer(200, [], b"slow")

    served.application.handlers["/slow"] = slow
    client = served.connect()
    client.send(get("/slow") + post(b"1") + chunked(b"2") + get("/slow") + post(b"3"))

    assert [client.read().body for _ in range(5)] == [b"slow", b"1", b"2", b"slow", b"3"]


def test_thousands_of_requests_in_one_piece_are_answered(serve: Serve) -> None:
    """They wait as bytes: as requests they would take forty times the memory."""
    served = serve()
    held = list[int]()

    async def watched(_request: Request) -> Answer:
        (connection,) = served.server._connections
        held.append(len(connection._reader.ready))
        return Answer(200, [], b"")

    served.application.handlers["/w"] = watched
    client = served.connect()
    client.send(b"GET /w HTTP/1.1\r\nHost:\r\n\r\n" * 9000)

    assert all(client.read().status == 200 for _ in range(9000))
    assert max(held) < 350
    assert client.ask(post(b"next")).body == b"next"


def test_a_refusal_is_answered_after_the_requests_before_it(serve: Serve) -> None:
    """A client that counts answers would take it for that of another request."""
    client = serve().connect()
    client.send(post(b"1") + get() + b"nonsense\r\n\r\n" + get())

    assert [client.read().status for _ in range(3)] == [200, 200, 400]
    assert client.is_ended()


def test_a_client_that_expects_it_is_asked_for_the_body(serve: Serve) -> None:
    """curl waits for it before it sends a batch."""
    client = serve().connect()

    assert client.ask(EXPECTING % 3).status == 100
    assert client.ask(b"abc").body == b"abc"
    assert client.ask(EXPECTING % 3 + b"def").body == b"def"


def test_a_client_that_expects_it_behind_another_request_is_asked_in_turn(serve: Serve) -> None:
    """Before the answer it would belong to the other request; never, and the client waits."""
    served = serve()
    release = served.thread.run(asyncio.Event)

    async def slow(_request: Request) -> Answer:
        await release.wait()
        return Answer(200, [], b"slow")

    served.application.handlers["/slow"] = slow
    for data in (get("/slow") + EXPECTING % 3,), (get("/slow"), EXPECTING % 3):
        client = served.connect()
        for piece in data:
            client.send(piece)
            wait_for("a request", lambda: len(served.application.requests))
        assert client.is_quiet(0.05)
        served.thread.run(release.set)
        assert client.read().body == b"slow"
        assert client.read().status == 100
        assert client.ask(b"abc").body == b"abc"
        served.thread.run(release.clear)
        served.application.requests.clear()


def test_a_client_that_expects_to_send_too_much_is_refused_at_once(serve: Serve) -> None:
    """That is what it asked for. It may or may not send the body, so the connection ends."""
    served = serve()
    client = served.connect()
    reply = client.ask(EXPECTING % (served.application.limit_bytes + 1))

    assert (reply.status, reply.headers["connection"]) == (413, "close")
    assert client.is_ended()


def test_answers_without_a_body_have_none(serve: Serve) -> None:
    """A client would take it for the next answer."""
    served = serve()

    async def empty(request: Request) -> Answer:
        return Answer(int(request.query), [("a", "b")], b"dropped")

    served.application.handlers["/empty"] = empty
    client = served.connect()
    for status in (204, 304):
        reply = client.ask(get(f"/empty?{status}"))
        assert reply.status == status
        assert "content-length" not in reply.headers
    assert client.ask(post(b"next")).body == b"next"


def test_head_has_the_headers_of_get(serve: Serve) -> None:
    """With the length, and no body."""
    served = serve()

    async def known(_request: Request) -> Answer:
        return Answer(200, [], b"", length=1234)

    served.application.handlers["/known"] = known
    client = served.connect()
    for path, length in (("/known", "1234"), ("/", "0")):
        head = b"HEAD %b HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode()
        assert client.ask(head, "HEAD").headers["content-length"] == length
    client.send(b"HEAD / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
    assert client.read("HEAD").headers["content-length"] == "3"
    assert client.ask(post(b"next")).body == b"next"


def test_http_1_0_is_closed_unless_the_client_keeps_it(serve: Serve) -> None:
    """nginx speaks it to upstreams by default. A client that wants to keep must see that it may:
    `ab -k` does.
    """
    served = serve()
    client = served.connect()
    reply = client.ask(get(version="1.0"))
    assert (reply.status, reply.headers["connection"]) == (200, "close")
    assert client.is_ended()

    client = served.connect()
    for _ in range(2):
        reply = client.ask(get("/", "Connection: keep-alive", version="1.0"))
        assert (reply.status, reply.headers["connection"]) == (200, "keep-alive")


def test_a_client_may_close_after_its_request(serve: Serve) -> None:
    """It says so, and so does the answer."""
    client = serve().connect()

    assert client.ask(get("/", "Connection: close")).headers["connection"] == "close"
    assert client.is_ended()


def test_a_client_may_end_its_sending_and_wait(serve: Serve) -> None:
    """`nc -N` and some libraries do, also behind several requests."""
    served = serve()

    async def slow(_request: Request) -> Answer:
        await asyncio.sleep(0.05)
        return Answer(200, [], b"slow")

    served.application.handlers["/slow"] = slow
    client = served.connect()
    client.send(get("/slow") + post(b"1") + get("/slow") + post(b"half")[:-1])
    client.end_sending()

    assert [client.read().body for _ in range(3)] == [b"slow", b"1", b"slow"]
    assert client.is_ended()


@pytest.mark.parametrize("data", [b"", b"GET / HT", post(b"abc")[:-1], EXPECTING % 3])
def test_a_client_that_ends_its_sending_in_the_middle_is_closed(serve: Serve, data: bytes) -> None:
    """There is nothing to answer, and nothing will come."""
    served = serve()
    client = served.connect()
    client.send(data)
    if data == EXPECTING % 3:
        assert client.read().status == 100
    client.end_sending()

    assert client.is_ended()
    served.wait_until_empty()


def test_a_request_for_another_protocol_is_answered_in_this_one(serve: Serve) -> None:
    """Java's client asks for HTTP/2 first, with the body of its request."""
    client = serve().connect()
    upgrade = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")

    assert client.ask(post(b"abc", "/", *upgrade)).body == b"abc"
    assert client.ask(post(b"def")).body == b"def"


def test_connect_is_answered_and_closed(serve: Serve) -> None:
    """What follows is for another host, and is read by no one."""
    client = serve().connect()
    reply = client.ask(b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n" + get())

    assert reply.headers["connection"] == "close"
    assert client.is_ended()


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\n\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        chunked(b"abc")[:-5] + b"x\r\n",
        bytes.fromhex("1603010200010001fc0303"),
    ],
)
def test_what_is_not_http_is_refused_by_the_application(serve: Serve, data: bytes) -> None:
    """As a problem like every other, and the connection ends: what follows cannot be found."""
    client = serve().connect()
    client.send(data + get())
    reply = client.read()

    assert (reply.status, reply.headers["connection"]) == (400, "close")
    assert reply.headers["content-type"] == "application/problem+json"
    assert client.is_ended()


def test_an_error_of_the_application_costs_one_connection(serve: Serve) -> None:
    """It is reported once, and the client does not take anything for an answer."""
    served = serve()

    async def broken(_request: Request) -> Answer:
        raise RuntimeError("a bug")

    async def cancelled(_request: Request) -> Answer:
        raise asyncio.CancelledError

    served.application.handlers |= {"/broken": broken, "/cancelled": cancelled}
    other = served.connect()
    for path in ("/broken", "/cancelled"):
        client = served.connect()
        client.send(post(b"abc", path))
        assert not client.is_ended()  # it is reset
    assert other.ask(post(b"abc")).body == b"abc"
    assert [str(error) for error in served.application.errors] == ["a bug"]

    reply = served.connect().ask(post(b"abc", "/raises"))
    assert (reply.status, reply.headers["connection"]) == (500, "close")
    assert len(served.application.errors) == 2
