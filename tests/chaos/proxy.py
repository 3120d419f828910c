"""A TCP proxy that breaks connections on request: slow, silent, cut, refused. It stands between
Ringback and a service.

Knows nothing of what passes through it, but lets an `ear` listen. Lives on a thread and an event
loop of its own; all public methods may be called from any thread and return when the change holds.
"""

import asyncio
import concurrent.futures
import contextlib
import itertools
import socket
import struct
import threading
import time
from collections.abc import Callable, Coroutine
from enum import Enum
from typing import Any, Self

import uvloop

_PIECE_BYTES = 65_536
_ON_THE_WAY = 256
"""Pieces that may be under way in one direction of one connection. More: a delayed stream is not
slowed down, only late.
"""

_ABORTIVE = struct.pack("ii", 1, 0)  # SO_LINGER of no time: closing sends a reset (tcp(7))
_LIMIT_S = 10


class Way(Enum):
    """A direction, by who receives."""

    TO_SERVER = "to server"
    TO_CLIENT = "to client"


Ear = Callable[[int, Way, bytes], None]
"""Hears what passes: the connection's number, from 1, the direction, and the bytes. Called on the
proxy's thread.
"""


class FaultProxy:
    """A context manager: passes everything on, from `port` to `target_port` of 127.0.0.1, until it
    is configured otherwise.
    """

    def __init__(self, target_port: int, ear: Ear | None = None):
        self._target_port, self._ear = target_port, ear
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="fault proxy", daemon=True
        )
        self._listening = _bound(0)
        self.port = int(self._listening.getsockname()[1])
        self._server: asyncio.Server | None = None
        self._open: set[_Connection] = set()
        self._numbers = itertools.count(1)
        self._passing = asyncio.Event()
        self._delays_s = dict.fromkeys(Way, 0.0)
        self._bytes_per_s = float("inf")

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_LIMIT_S)
        self._loop.close()

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._open)

    def delay(self, seconds: float, *ways: Way) -> None:
        """Whatever is read from now on arrives so much later, in these directions or in both.
        Nothing is made slower by it.
        """
        self._do(self._set(lambda: self._delays_s.update(dict.fromkeys(ways or Way, seconds))))

    def throttle(self, bytes_per_s: float) -> None:
        """In each direction of each connection."""
        self._do(self._set(lambda: setattr(self, "_bytes_per_s", bytes_per_s)))

    def silence(self) -> None:
        """Connections stay open and new ones are taken, but nothing passes: a firewall that drops,
        a host that froze.
        """
        self._do(self._set(self._passing.clear))

    def strand(self) -> None:
        """The connections of now are silent for ever, new ones are well: a NAT that forgot, a host
        that was replaced. Half-open.
        """
        self._do(self._set(lambda: self._each(_Connection.strand)))

    def cut(self) -> None:
        """End every connection by a reset; new ones are well."""
        self._do(self._set(lambda: self._each(_Connection.reset)))

    def refuse(self) -> None:
        """End every connection and refuse new ones: the process behind the port is gone."""
        self._do(self._refuse())

    def lead_to(self, target_port: int) -> None:
        """New connections go there. Those of now are not cut: they stay with whom they have."""
        self._do(self._set(lambda: setattr(self, "_target_port", target_port)))

    def heal(self) -> None:
        """Pass everything on again, without delay. What was silent goes on where it stopped, what
        was stranded does not.
        """
        self._do(self._heal())

    async def _listen(self) -> None:
        self._listening.listen(1024)
        self._server = await asyncio.start_server(self._connected, sock=self._listening)
        self._passing.set()

    async def _refuse(self) -> None:
        await self._stop_listening()
        self._listening = _bound(
            self.port
        )  # bound but not listening: refused, and no other program gets the port
        self._each(_Connection.reset)

    async def _heal(self) -> None:
        self._delays_s = dict.fromkeys(Way, 0.0)
        self._bytes_per_s = float("inf")
        if self._server is None:
            await self._listen()
        self._passing.set()

    async def _close(self) -> None:
        await self._stop_listening()
        self._listening.close()
        tasks = [task for one in self._open for task in one.tasks]
        self._each(_Connection.reset)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            _reset(writer)
            return
        connection = _Connection(next(self._numbers), (reader, writer), (far_reader, far_writer))
        self._open.add(connection)
        try:
            await connection.run(self._hold, self._ear)
        finally:
            self._open.discard(connection)

    async def _hold(self, way: Way, read_s: float, size: int) -> None:
        """Until a piece that was read then may be written."""
        await asyncio.sleep(
            max(size / self._bytes_per_s, read_s + self._delays_s[way] - time.monotonic())
        )
        await self._passing.wait()

    def _each(self, change: "Callable[[_Connection], None]") -> None:
        for one in list(self._open):
            change(one)

    async def _set(self, change: Callable[[], object]) -> None:
        change()

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        future: concurrent.futures.Future[None] = asyncio.run_coroutine_threadsafe(what, self._loop)
        future.result(_LIMIT_S)


_Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_Hold = Callable[[Way, float, int], Coroutine[Any, Any, None]]


class _Connection:
    """Two directions of two tasks each: one reads what comes, the other writes it when its time has
    come.
    """

    def __init__(self, number: int, near: _Stream, far: _Stream):
        self._number, self._near, self._far = number, near, far
        self._stranded = False
        self.tasks: list[asyncio.Task[None]] = []

    async def run(self, hold: _Hold, ear: Ear | None) -> None:
        """Pass bytes on until one side has ended, and the other was notified."""
        ways = (
            (Way.TO_SERVER, self._near[0], self._far[1]),
            (Way.TO_CLIENT, self._far[0], self._near[1]),
        )
        for way, reader, writer in ways:
            pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_ON_THE_WAY)
            self.tasks += [
                asyncio.create_task(self._read(reader, pieces)),
                asyncio.create_task(self._write(writer, pieces, way, hold, ear)),
            ]
        await asyncio.wait(self.tasks[1::2], return_when=asyncio.FIRST_COMPLETED)
        self.reset()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def strand(self) -> None:
        self._stranded = True

    def reset(self) -> None:
        for task in self.tasks:
            task.cancel()
        _reset(self._near[1])
        _reset(self._far[1])

    async def _read(
        self, reader: asyncio.StreamReader, pieces: "asyncio.Queue[tuple[float, bytes]]"
    ) -> None:
        """The last piece is empty: the end."""
        while True:
            try:
                piece = await reader.read(_PIECE_BYTES)
            except ConnectionError:
                piece = b""
            await pieces.put((time.monotonic(), piece))
            if not piece:
                return

    async def _write(
        self,
        writer: asyncio.StreamWriter,
        pieces: "asyncio.Queue[tuple[float, bytes]]",
        way: Way,
        hold: _Hold,
        ear: Ear | None,
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                read_s, piece = await pieces.get()
                await hold(way, read_s, len(piece))
                if self._stranded:
                    await (
                        asyncio.get_running_loop().create_future()
                    )  # until the connection is reset
                if not piece:
                    return
                if ear is not None:
                    ear(self._number, way, piece)
                writer.write(piece)
                await writer.drain()


def _bound(port: int) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    return made


def _reset(writer: asyncio.StreamWriter) -> None:
    if (
        not writer.transport.is_closing()
    ):  # else its socket may be gone, and its descriptor another's
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORTIVE)
        writer.transport.abort()
