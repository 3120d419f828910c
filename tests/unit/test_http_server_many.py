"""Many hostile clients at once: they cost sockets and a bounded memory, and the others are served."""

import random
import threading
from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest

from tests.kit.served import Body, Client, Serve, Served, chunked, get, post
from tests.kit.waiting import wait_for
from web.server.messages import Answer, Request

MIB = 1024 * 1024


def answers_others(served: Served) -> None:
    """Assert that a client is served while the hostile ones are there. How quickly is measured by
    the benchmark `hostile`.
    """
    with Client(served.port) as client:
        for _ in range(20):
            assert client.ask(post(b"abc")).body == b"abc"


@pytest.mark.parametrize("half", [get()[:-2], post(b"a" * 50_000)[:-1]], ids=["heads", "bodies"])
def test_hundreds_of_half_requests_are_ended(serve: Serve, half: bytes) -> None:
    """Each after its time, with an answer."""
    served = serve(head_s=1, body_s=1)
    clients = [served.connect() for _ in range(500)]
    for client in clients:
        client.send(half)
    answers_others(served)

    assert {client.read().status for client in clients} == {408}
    assert all(client.is_ended() for client in clients)
    served.wait_until_empty()


def test_hundreds_of_slow_readers_cost_little_memory(serve: Serve) -> None:
    """None has more of its answer in memory than a few pieces, and each body is closed."""
    served = serve(stalled_s=1)
    bodies = list[Body]()

    async def stream(_request: Request) -> Answer:
        bodies.append(Body(b"x" * 256 * 1024, 1000))
        return Answer(200, [], bodies[-1].made_pieces())

    served.application.handlers["/stream"] = stream
    used_bytes = psutil.Process().memory_info().rss
    clients = [served.connect(receive_bytes=4096) for _ in range(200)]
    for client in clients:
        client.send(get("/stream"))
    answers_others(served)
    wait_for("all of them", lambda: len(bodies) == 200)

    assert psutil.Process().memory_info().rss - used_bytes < 250 * MIB
    wait_for("all closed", lambda: all(body.is_closed for body in bodies), 20)
    served.wait_until_empty()
    assert max(body.made for body in bodies) < 10


@pytest.fixture
def senders(serve: Serve) -> Iterator[Served]:
    """Sixty clients that send 2 GiB each, or as much as they can, again and again."""
    served = serve(linger_s=2)
    is_over = threading.Event()

    def send() -> None:
        while not is_over.is_set():
            with suppress(OSError), Client(served.port) as client:
                client.socket.settimeout(0.2)
                client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2147483648\r\n\r\n")
                while not is_over.is_set():
                    client.send(b"a" * 100_000)

    threads = [threading.Thread(target=send) for _ in range(60)]
    for thread in threads:
        thread.start()
    yield served
    is_over.set()
    for thread in threads:
        thread.join()


def test_dozens_of_endless_senders_cost_no_memory(senders: Served) -> None:
    """What they send is counted, never kept."""
    used_bytes = psutil.Process().memory_info().rss
    for _ in range(5):
        answers_others(senders)
        assert senders.server.memory.taken_bytes < MIB

    assert psutil.Process().memory_info().rss - used_bytes < 100 * MIB


PARTS = [
    *[bytes([byte]) for byte in b"\r\n\0 :;/*\xff0a"],
    b"\r\n\r\n",
    get(),
    get()[:-2],
    get("/", "Connection: close"),
    get("/", "Connection: Upgrade", "Upgrade: h2c"),
    post(b"abc"),
    post(b"a" * 20_000),
    post(b"a" * 200_000),
    chunked(*[b"a"] * 3000),
    chunked(b"a" * 20_000)[:-5],
    get() * 500,
    b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
    b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
]


@pytest.mark.parametrize("seed", range(5))
def test_any_bytes_cost_only_their_own_connection(serve: Serve, seed: int) -> None:
    """In any order, and whether the client waits, ends its sending, goes or resets."""
    chance = random.Random(seed)
    limits_s = {"head_s": 0.2, "body_s": 0.2, "idle_s": 0.2, "stalled_s": 0.2}
    served = serve(**limits_s, memory_bytes=400_000, unknown_memory_bytes=100_000)
    for _ in range(60):
        client = served.connect()
        with suppress(ConnectionError):
            for _ in range(chance.randrange(1, 8)):
                client.send(chance.choice(PARTS))
        with suppress(ConnectionError, OSError):
            chance.choice([Client.close, Client.reset, Client.end_sending, Client.is_ended])(client)
    with Client(served.port) as client:
        served.application.known = True
        assert client.ask(get()).status == 200

    assert served.application.errors == []
