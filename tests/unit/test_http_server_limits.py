"""The limits of the HTTP server: each is an answer, and then room again."""

import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.kit.served import Client, Serve, Served, chunked, get, post
from tests.kit.waiting import wait_for
from web.server import dropping

HALF_HEAD, HALF_BODY = get()[:-2], post(b"abc")[:-1]


def test_a_head_at_the_limit_is_answered_and_one_beyond_is_refused(serve: Serve) -> None:
    """431, however it comes."""
    served = serve(head_bytes=2000)
    for size, status in ((1900, 200), (2100, 431)):
        client = served.connect()
        reply = client.ask(get("/", f"A: {'a' * size}"))
        assert reply.status == status
    assert reply.headers["connection"] == "close"
    assert client.is_ended()

    assert served.connect().ask(get("/", *["A: b"] * 99)).status == 200
    assert served.connect().ask(get("/", *["A: b"] * 100)).status == 431


def test_a_head_without_end_is_refused_while_it_is_sent(serve: Serve) -> None:
    """The client gets the answer rather than a reset, and no more is read than that takes."""
    client = serve(linger_s=5).connect()
    client.send(b"GET / HTTP/1.1\r\nA: ")
    with suppress(ConnectionError):
        for _ in range(200):
            client.send(b"a" * 10_000)

    assert client.read().status == 431


@pytest.mark.parametrize("make", [post, chunked])
def test_a_body_at_the_limit_is_kept_and_one_beyond_is_refused(
    serve: Serve, make: Callable[[bytes], bytes]
) -> None:
    """413. It was read to its end, so the connection lives on."""
    served = serve()
    client, limit = served.connect(), served.application.limit_bytes

    assert client.ask(make(b"a" * limit)).status == 200
    assert client.ask(make(b"a" * (limit + 1))).status == 413
    assert client.ask(make(b"abc")).body == b"abc"


@pytest.mark.parametrize("make", [post, chunked])
def test_a_client_still_sending_gets_the_refusal_rather_than_a_reset(
    serve: Serve, make: Callable[[bytes], bytes]
) -> None:
    """20 MiB: most clients read nothing before they have sent everything."""
    client = serve(linger_s=5).connect()
    reply = client.ask(make(b"a" * 20 * 1024 * 1024))

    assert (reply.status, reply.headers["connection"]) == (413, "close")
    assert client.is_ended()


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 2000000000\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n77777777\r\n",
        b"Connection: close\r\nContent-Length: 3\r\n\r\nabc",
        b"nonsense\r\n",
    ],
)
def test_a_client_that_sends_without_end_is_ended(serve: Serve, head: bytes) -> None:
    """Whatever it was refused for."""
    served = serve(linger_s=0.2, dropped_bytes=1_000_000)
    client = served.connect()
    client.send(b"POST / HTTP/1.1\r\nHost: x\r\n" + head)

    with suppress(ConnectionError):
        while True:
            client.send(b"a" * 100_000)
    served.wait_until_empty()


@pytest.mark.parametrize(
    "chunk", [b"1\r\na\r\n", b"1;" + b"a" * 1000 + b"\r\na\r\n"], ids=["small", "extended"]
)
def test_a_body_of_more_framing_than_content_is_ended(serve: Serve, chunk: bytes) -> None:
    """What is between the chunks takes processor time, also while the body is within its limit."""
    served = serve(dropped_bytes=200_000, linger_s=5)
    served.application.limit_bytes = 10_000_000
    client = served.connect()
    client.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    client.send(chunk * (300_000 // len(chunk)))

    assert client.read().status == 413
    assert client.is_ended()


def test_refused_bodies_are_read_in_turns(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that send as fast as they can must leave the loop's turns to the others: a read takes
    one.
    """
    monkeypatch.setattr(dropping, "_TURN_S", 0.1)
    served = serve()
    client, other = served.connect(), served.connect()
    began_s = time.monotonic()
    client.send(post(b"a" * 8_000_000))

    assert other.ask(get()).status == 200
    assert client.read().status == 413
    # Some of it fits into the kernel's buffers; a read takes 256 KiB at most.
    assert time.monotonic() - began_s > 0.5


def test_chunks_of_one_byte_leave_turns_to_the_others(serve: Serve) -> None:
    """Each takes as much time as a large one: those of one read delayed the others by seconds."""
    served = serve()
    client = served.connect()
    wait_for("a connection", lambda: served.connected() == 1)
    (connection,) = served.server._connections

    def receive() -> int:
        connection.data_received(chunked(*[b"a"] * 50_000))
        return served.server.memory.taken_bytes

    assert served.thread.run(receive) < 3000
    assert client.read().body == b"a" * 50_000


def test_a_refused_body_of_small_chunks_is_ended_early(serve: Serve) -> None:
    """To drop 16 MiB of them would take seconds of the processor."""
    served = serve(linger_s=5)
    served.application.limit_bytes = 10
    client = served.connect()

    assert client.ask(chunked(*[b"a"] * 100_000)).headers["connection"] == "close"


@pytest.mark.parametrize(
    ("part", "limit"),
    [
        (b"G", "head_s"),
        (HALF_HEAD, "head_s"),
        (HALF_BODY, "body_s"),
        (chunked(b"abc")[:-7], "body_s"),
        (post(b"a" * 200_000)[:-1], "body_s"),
    ],
)
@pytest.mark.parametrize("behind", [b"", post(b"first")])
def test_a_half_request_is_refused_after_its_time(
    serve: Serve, part: bytes, limit: str, behind: bytes
) -> None:
    """408 — or 413, if that was decided — and then the connection ends."""
    served = serve(**{"head_s": 20, "body_s": 20} | {limit: 0.6})
    client = served.connect()
    if behind:
        assert client.ask(behind).body == b"first"
    client.send(part)
    assert client.is_quiet(0.15)

    reply = client.read()
    assert (reply.status, reply.headers["connection"]) == (
        413 if len(part) > 1000 else 408,
        "close",
    )
    assert client.is_ended()
    served.wait_until_empty()


def test_the_time_of_a_half_request_begins_with_its_connection_free(serve: Serve) -> None:
    """One that came behind another request is not late because the answer took long."""
    served = serve(head_s=0.2, body_s=0.2)
    client = served.connect()
    client.send(post(b"first") + HALF_HEAD)

    assert client.read().status == 200
    assert client.is_quiet(0.15)
    assert client.read().status == 408


def test_a_client_that_sends_byte_by_byte_is_late_as_well(serve: Serve) -> None:
    """The time is that of the whole head and of the whole body: no byte prolongs it."""
    served = serve(head_s=0.3, body_s=0.3)
    served.application.limit_bytes = 10
    for slow in (get("/", "A: " + "a" * 1000), post(b"a" * 1000), chunked(*[b"a"] * 100)):
        client = served.connect()
        began_s = time.monotonic()
        with suppress(ConnectionError):
            for byte in slow:
                client.send(bytes([byte]))
                if not client.is_quiet(0.01):
                    break
        assert client.read().status in {408, 413}
        assert time.monotonic() - began_s < 1


def test_an_idle_connection_is_closed_without_a_word(serve: Serve) -> None:
    """An answer would be taken for that of the next request. Every request starts the time again,
    and blank lines do not.
    """
    served = serve(idle_s=0.4)
    new, kept, blank = served.connect(), served.connect(), served.connect()
    for _ in range(3):
        assert kept.ask(get()).status == 200
        assert kept.is_quiet(0.2)
        with suppress(ConnectionError):
            blank.send(b"\r\n")

    assert new.is_ended()
    assert blank.is_ended()
    assert kept.is_ended()
    served.wait_until_empty()


def half_bodies(served: Served, count: int) -> list[Client]:
    clients = [served.connect() for _ in range(count)]
    for client in clients:
        client.send(post(b"a" * 5001)[:-1])
    return clients


def test_bodies_in_memory_are_limited_over_all_clients(serve: Serve) -> None:
    """503 with Retry-After, for those without a known token first. It passes with the bodies."""
    served = serve(memory_bytes=30_000, unknown_memory_bytes=20_000)
    half_bodies(served, 4)
    wait_for("memory taken", lambda: served.server.memory.taken_bytes == 20_000)
    client = served.connect()

    reply = client.ask(post(b"abc"))
    assert (reply.status, reply.headers["retry-after"]) == (503, "1")
    assert client.ask(get()).status == 200

    served.application.known = True
    assert client.ask(post(b"abc")).status == 200
    halves = half_bodies(served, 2)
    wait_for("memory taken", lambda: served.server.memory.taken_bytes == 30_000)
    assert client.ask(post(b"abc")).status == 503
    assert halves[0].ask(b"a").status == 503
    halves[1].close()
    wait_for("less memory taken", lambda: served.server.memory.taken_bytes == 20_000)
    assert client.ask(post(b"abc")).status == 200


def test_beyond_the_number_of_kept_connections_each_is_closed_after_its_answer(
    serve: Serve,
) -> None:
    """No client is refused. Those that have left do not count."""
    served = serve(kept_connections=2)
    first, second = served.connect(), served.connect()
    assert "connection" not in first.ask(get()).headers
    assert "connection" not in second.ask(get()).headers

    third = served.connect()
    assert third.ask(get()).headers["connection"] == "close"
    assert third.is_ended()
    first.close()
    wait_for("one less", lambda: served.connected() == 1)
    assert "connection" not in served.connect().ask(get()).headers


def test_beyond_the_descriptors_the_oldest_that_wait_are_closed(serve: Serve) -> None:
    """A new client may be the load balancer; one that waits may be hostile. One whose request is
    being answered stays.
    """
    served = serve()
    served.server._most = 3
    busy = served.busy_client()
    waiting = [served.connect(), served.connect()]
    wait_for("all", lambda: served.connected() == 3)
    newest = served.connect()

    assert newest.ask(get()).status == 200
    assert [client.is_ended() for client in waiting] == [True, True]
    served.release()
    assert busy.read().status == 200


def test_with_every_connection_busy_a_new_one_is_closed(serve: Serve) -> None:
    """And once one is free, the next is accepted."""
    served = serve()
    served.server._most = 1
    busy = served.busy_client()

    assert served.connect().is_ended()
    served.release()
    assert busy.read().status == 200
    assert served.connect().ask(get()).status == 200
