"""How connections end: by the client, by the server's stop, and with nothing left behind."""

import asyncio
import time
from contextlib import suppress

import pytest

from tests.kit.loop_thread import LoopThread
from tests.kit.served import Body, Client, Serve, get, post
from tests.kit.waiting import eventually, wait_for
from web.server.messages import Answer, Request
from web.server.sockets import listen, peer_address
from web.server.threads import RequestThreads


@pytest.mark.parametrize("go", [Client.close, Client.reset])
def test_a_client_that_goes_while_it_is_answered_cancels_nothing(serve: Serve, go: object) -> None:
    """Its event may be on the way already, and whether it is stored is no longer its business.
    The body counts as memory until then, and there is no error: the answer reaches no one.
    """
    served = serve()
    client = served.busy_client(b"a" * 1000)
    client.send(post(b"b" * 100) + post(b"c" * 10)[:-1])
    assert callable(go)
    go(client)
    if go is Client.reset:
        wait_for("the client gone", lambda: served.gone() == 1)
        assert served.server.memory.taken_bytes == 1000
    assert len(served.application.requests) == 1
    served.release()

    served.wait_until_empty()
    assert served.application.errors == []


def test_a_client_that_goes_with_requests_waiting_leaves_no_memory(serve: Serve) -> None:
    """Each of them counted its body."""
    served = serve()
    client = served.busy_client()
    client.send(post(b"b" * 1000) * 10 + post(b"b" * 1000)[:-1])
    wait_for("their bodies", lambda: served.server.memory.taken_bytes == 11_002)
    client.reset()
    wait_for("the client gone", lambda: served.gone() == 1)

    assert served.server.memory.taken_bytes == 3
    served.release()
    served.wait_until_empty()


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_requests_behind_an_answer_that_closes_leave_no_memory(serve: Serve, version: str) -> None:
    """They are not answered: their client sends them again elsewhere. It gets the answer before
    them, not a reset.
    """
    served = serve(kept_connections=0)
    client = served.busy_client()
    client.send(post(b"b" * 1000) * 10 + post(b"b" * 1000, version=version)[:-1])
    wait_for("their bodies", lambda: served.server.memory.taken_bytes == 11_002)
    served.release()

    assert client.read().headers["connection"] == "close"
    assert served.server.memory.taken_bytes == 0
    assert client.is_ended()
    client.close()
    served.wait_until_empty()


def test_a_request_that_is_cut_off_before_it_is_begun_leaves_no_memory(serve: Serve) -> None:
    """A task that is cancelled before its first step runs nothing, not even its `finally`."""
    served = serve()
    client = served.connect()
    wait_for("a connection", lambda: served.connected() == 1)
    (connection,) = served.server._connections

    def receive_and_abort() -> None:
        connection.data_received(post(b"a" * 1000))
        assert served.server.memory.taken_bytes == 1000
        connection.abort()
        connection.abort()

    served.thread.run(receive_and_abort)

    assert not client.is_ended()  # it is reset
    served.wait_until_empty()
    assert served.application.requests == []


def test_a_client_that_reads_no_answers_keeps_few_of_them_in_memory(serve: Serve) -> None:
    """It is not answered further, and cut off like one that does not read a download."""
    served = serve(stalled_s=0.3)

    async def big(_request: Request) -> Answer:
        return Answer(200, [], b"x" * 50_000)

    served.application.handlers["/big"] = big
    client = served.connect(receive_bytes=10_000)
    client.socket.setblocking(False)
    with suppress(BlockingIOError, ConnectionError):
        while True:
            client.send(get("/big") * 200)

    served.wait_until_empty()
    assert len(served.application.requests) < 60
    assert served.application.errors == []


def test_a_stop_closes_the_idle_and_finishes_what_is_being_answered(serve: Serve) -> None:
    """An event that was received is acknowledged; with `Connection: close`, so that the client goes
    to another process.
    """
    served = serve()
    served.connect().ask(get("/", "Connection: close"))  # one that has come and gone
    idle, kept = served.connect(), served.connect()
    kept.ask(get())
    busy, half = served.busy_client(), served.connect()
    half.send(post(b"half")[:-1])
    wait_for("all of them", lambda: served.server.memory.taken_bytes == 6)
    stopping = asyncio.run_coroutine_threadsafe(served.server.stop(), served.thread.loop)

    assert idle.is_ended()
    assert kept.is_ended()
    with pytest.raises(ConnectionError):
        served.connect()
    half.send(b"f")
    assert (half.read().body, half.is_ended()) == (b"half", True)
    assert not stopping.done()
    served.release()
    reply = busy.read()
    assert (reply.body, reply.headers["connection"]) == (b"abc", "close")
    assert busy.is_ended()
    stopping.result(5)


def test_a_stop_breaks_off_what_takes_too_long(serve: Serve) -> None:
    """Its client sees that, and it does not delay the next process. Bodies are closed first: what
    they use is closed after the server.
    """
    served = serve(stop_s=0.3)
    body = Body(b"x" * 50_000, 1_000_000)

    async def stream(_request: Request) -> Answer:
        return Answer(200, [], body.made_pieces())

    served.application.handlers["/stream"] = stream
    busy, half, reading = served.busy_client(), served.connect(), served.connect(10_000)
    half.send(post(b"half")[:-1])
    reading.send(get("/stream"))
    wait_for("all of them", lambda: served.server.memory.taken_bytes == 6 and body.made > 1)
    began_s = time.monotonic()
    served.stop()

    assert 0.3 <= time.monotonic() - began_s < 2
    assert body.is_closed
    assert served.connected() == 0
    assert not busy.is_ended()  # it is reset
    assert half.is_ended()
    assert not reading.read().is_whole
    served.wait_until_empty()
    assert served.application.errors == []


def test_a_stop_keeps_no_connection_that_was_answered_while_it_began(serve: Serve) -> None:
    """The head of its answer was sent before, without `Connection: close`."""
    served = serve(stop_s=60)
    body = Body(b"x" * 50_000, 60)

    async def stream(_request: Request) -> Answer:
        return Answer(200, [], body.made_pieces())

    served.application.handlers["/stream"] = stream
    client = served.connect(10_000)
    client.send(get("/stream") + post(b"next"))
    wait_for("its begin", lambda: body.made > 1)
    stopping = asyncio.run_coroutine_threadsafe(served.server.stop(), served.thread.loop)

    reply = client.read()
    assert (len(reply.body), reply.is_whole) == (3_000_000, True)
    assert client.is_ended()
    client.close()
    stopping.result(60)


def test_a_server_that_was_stopped_leaves_its_port(serve: Serve) -> None:
    """The next process listens there."""
    served = serve()
    served.connect().ask(get())
    served.stop()

    for bound in listen("127.0.0.1", served.port, "TEST"):
        bound.close()


def test_sockets_of_several_processes_share_a_port_that_the_kernel_chooses() -> None:
    """Each would listen at another one."""
    bound = listen("127.0.0.1", 0, "TEST", 3)

    assert len({made.getsockname() for made in bound}) == 1
    for made in bound:
        made.close()


def test_a_call_that_is_cancelled_ends_first() -> None:
    """A body whose next piece is being made in a thread could not be closed: Python refuses it."""
    thread, threads = LoopThread(), RequestThreads(1)
    steps = list[str]()

    def work() -> None:
        steps.append("begun")
        time.sleep(0.2)
        steps.append("ended")

    async def cancelled() -> None:
        task = asyncio.ensure_future(threads.download(work))
        await eventually("its begin", lambda: steps)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        steps.append("cancelled")

    thread.call(cancelled())
    assert steps == ["begun", "ended", "cancelled"]
    threads.close()
    thread.close()


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        (("192.0.2.1", 1), "192.0.2.1"),
        (("::ffff:192.0.2.1", 1, 0, 0), "192.0.2.1"),
        (("2001:db8::1", 1, 0, 0), "2001:db8::1"),
        (None, ""),
    ],
)
def test_a_client_of_ipv4_has_the_same_address_everywhere(peer: object, address: str) -> None:
    """A socket that also takes IPv6 shows it in that form. A client that has gone has none."""

    class Transport(asyncio.BaseTransport):
        def get_extra_info(self, name: str, default: object = None) -> object:
            return {"peername": peer}[name]

    assert peer_address(Transport()) == address
