"""Clients that want to keep a server busy at little cost to themselves: heads and bodies that stop
after a byte, downloads that are hardly read, and bodies of 2 GiB for a route that refuses them.

    python -m benchmarks.hostile_clients CROWD      a `Crowd` as JSON; SIGTERM ends it

It prints a tally of each kind as JSON when it ends. Every client connects again when it is closed.
Started by `hostile`, against servers on this machine only.
"""

import asyncio
import contextlib
import dataclasses
import json
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import cast

import uvloop

RAMP_S = 2.0
"""Seconds in which all have connected for the first time."""
_PAUSE_S = 0.25
"""From being closed to connecting again. Shorter: what is measured is how fast connections are
accepted.
"""
_PIECE = bytes(64 * 1024)
_PIECE_EVERY_S = 1 / 64
"""4 MiB/s a client. More: this process needs a core of its own."""
_HUGE = 2 * 1024**3
_READ_BYTES, _READ_EVERY_S = 1024, 1.0
_RECEIVE_BUFFER_BYTES = 4096
_HOST = "127.0.0.1"


@dataclasses.dataclass(frozen=True)
class Crowd:
    """How many clients of each kind, and for which server."""

    port: int
    token: str
    download: str
    """The path of a large download that the token may make."""
    limit_s: float
    """When they leave without SIGTERM too."""
    heads: int = 250
    bodies: int = 250
    downloads: int = 200
    sized: int = 30
    chunked: int = 30


@dataclasses.dataclass
class Tally:
    """What the clients of one kind did. `answers`: responses begun, by status."""

    connections: int = 0
    refused: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0
    answers: dict[str, int] = dataclasses.field(default_factory=dict)

    def answered(self, head: bytes) -> None:
        status = head[9:12].decode("latin-1")
        self.answers[status] = self.answers.get(status, 0) + 1


class Sender(asyncio.Protocol):
    """One connection. Sends `beginning`, then `piece` at a steady rate unless that is empty, and
    never more than the server reads.
    """

    def __init__(self, tally: Tally, beginning: bytes, piece: bytes) -> None:
        self._tally, self._beginning, self._piece = tally, beginning, piece
        self._loop = asyncio.get_running_loop()
        self._may_write = True
        self.closed = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)
        self._transport.set_write_buffer_limits(0)
        self._tally.connections += 1
        self._transport.write(self._beginning)
        if self._piece:
            self._send()

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"HTTP/1."):
            self._tally.answered(data)
        self._tally.received_bytes += len(data)

    def pause_writing(self) -> None:
        self._may_write = False

    def resume_writing(self) -> None:
        self._may_write = True

    def _send(self) -> None:
        if self._transport.is_closing():
            return
        if self._may_write:
            self._tally.sent_bytes += len(self._piece)
            self._transport.write(self._piece)
        self._loop.call_later(_PIECE_EVERY_S, self._send)


_Visit = Callable[[Tally], Awaitable[None]]
"""One connection from its beginning to its end. Raises OSError when it is refused or reset."""


def visits(crowd: Crowd) -> dict[str, tuple[int, _Visit]]:
    """Return how many clients of each kind there are, and what each does again and again."""
    post = f"POST /v1/events HTTP/1.1\r\nhost: {_HOST}:{crowd.port}\r\n"
    content = post + "content-type: application/json\r\n"
    allowed = content + f"authorization: Bearer {crowd.token}\r\n"
    chunk = b"%x\r\n%s\r\n" % (len(_PIECE), _PIECE)
    download = f"GET {crowd.download} HTTP/1.1\r\nhost: {_HOST}:{crowd.port}\r\n"
    download += f"authorization: Bearer {crowd.token}\r\n\r\n"

    def sends(beginning: str, piece: bytes = b"") -> _Visit:
        return lambda tally: _send(crowd.port, tally, beginning.encode(), piece)

    return {
        "heads": (crowd.heads, sends("P")),
        "bodies": (crowd.bodies, sends(allowed + "content-length: 100\r\n\r\n{")),
        "downloads": (
            crowd.downloads,
            lambda tally: _read_slowly(crowd.port, tally, download.encode()),
        ),
        "sized": (crowd.sized, sends(content + f"content-length: {_HUGE}\r\n\r\n", _PIECE)),
        "chunked": (crowd.chunked, sends(content + "transfer-encoding: chunked\r\n\r\n", chunk)),
    }


async def _send(port: int, tally: Tally, beginning: bytes, piece: bytes) -> None:
    loop = asyncio.get_running_loop()
    transport, sender = await loop.create_connection(
        lambda: Sender(tally, beginning, piece), _HOST, port
    )
    try:
        await sender.closed
    finally:
        transport.close()


async def _read_slowly(port: int, tally: Tally, request: bytes) -> None:
    """Read a little at a time, with so small a buffer that the server's fills."""
    loop = asyncio.get_running_loop()
    with socket.socket() as connection:
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        await loop.sock_connect(connection, (_HOST, port))
        tally.connections += 1
        await loop.sock_sendall(connection, request)
        is_first = True
        while data := await loop.sock_recv(connection, _READ_BYTES):
            if is_first:
                tally.answered(data)
            is_first = False
            tally.received_bytes += len(data)
            await asyncio.sleep(_READ_EVERY_S)


async def _client(wait_s: float, visit: _Visit, tally: Tally) -> None:
    """Visit again and again. A connection that fails before it is open counts as refused."""
    await asyncio.sleep(wait_s)
    while True:
        before = tally.connections
        try:
            await visit(tally)
        except OSError:
            tally.refused += tally.connections == before
        await asyncio.sleep(_PAUSE_S)


def _clients(crowd: Crowd, tallies: dict[str, Tally]) -> Iterator[asyncio.Task[None]]:
    every = [(kind, visit) for kind, (count, visit) in visits(crowd).items() for _ in range(count)]
    for number, (kind, visit) in enumerate(every):
        wait_s = RAMP_S * number / len(every)
        yield asyncio.create_task(_client(wait_s, visit, tallies[kind]))


async def _main(crowd: Crowd) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    began = time.perf_counter()
    tallies = {kind: Tally() for kind in visits(crowd)}
    tasks = list(_clients(crowd, tallies))
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), crowd.limit_s)
    cores = time.process_time() / (time.perf_counter() - began)
    for task in tasks:
        if task.done():
            task.result()  # a client never ends by itself, so this raises its error
        task.cancel()
    did = {kind: dataclasses.asdict(tally) for kind, tally in tallies.items()}
    print(json.dumps({"cores": cores, "kinds": did}))


if __name__ == "__main__":
    uvloop.run(_main(Crowd(**json.loads(sys.argv[1]))))
