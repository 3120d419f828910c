"""A webhook receiver that remembers what it got and misbehaves on request: a real server on a
thread of its own.

The first part of a POST's path says how it is answered, the second is the behaviour's argument;
anything may follow:

    /ok            200, `ok`                           /garbage       bytes that are no HTTP
    /status/CODE   CODE                                /close         reads, closes without a word
    /fail/N        500 for the first N of each         /cut           announces more body than it
                   webhook-id, then 200                               sends, then closes
    /after/S       429 with `retry-after: S` for       /endless       a body without end, fast
                   the first of each webhook-id        /drip          200, then one byte of body now
    /slow/MS       200 after MS milliseconds                          and then, for ever
    /hang          reads, never answers                /large/N       200 with a body of N bytes
    /redirect      302 to /ok/redirected               /headers/N     200 with N bytes of headers
    /switch/NAME   200, or what `switch` last said     /interim       103 before the 200
    /busy/NAME/S   the same, with `retry-after: S`     /gzip          200 whose body is compressed
    /once          200; a second request there is      /leave         200, then closes the
                   closed on, unanswered                              connection, unannounced
    /raw/NAME      the bytes that `answer` was given
"""

import asyncio
import gzip
import ssl
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.kit.waiting import wait_for

_DRIP_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class Received:
    """One request. `connection` numbers the connections from 1, in the order they came; header
    names are in lower case. `at_s`: when its head had come, in unix seconds.
    """

    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    at_s: float = 0.0


class Receiver:
    """A context manager: listens on a free port of 127.0.0.1 while inside. All methods may be
    called from any thread.
    """

    def __init__(self, tls: ssl.SSLContext | None = None):
        self.port = 0
        self._tls = tls
        self._received: list[Received] = []
        self._switches: dict[str, int] = {}
        self._answers: dict[str, bytes] = {}
        self._connections = 0
        self._seen: Counter[tuple[str, str]] = Counter()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve()), name="receiver", daemon=True
        )
        self._up: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    def __enter__(self) -> Self:
        self._thread.start()
        self._up.result(timeout=10)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        loop, stop = self._up.result()
        loop.call_soon_threadsafe(stop.set)
        self._thread.join(timeout=10)

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{path}"

    @property
    def connections(self) -> int:
        """How many were made to it so far, whether or not a request came."""
        return self._connections

    def requests(self, path: str | None = None) -> list[Received]:
        """What came so far, at this path or at all, in the order of arrival."""
        return [one for one in list(self._received) if path in (None, one.path)]

    def wait_for(self, path: str, count: int = 1, limit_s: float = 10) -> list[Received]:
        """What came at this path, once that is `count` requests."""

        def enough() -> list[Received] | None:
            came = self.requests(path)
            return came if len(came) >= count else None

        return wait_for(f"{count} requests at {path}", enough, limit_s) or []

    def switch(self, name: str, status: int) -> None:
        """From now on, /switch/NAME answers `status`."""
        self._switches[name] = status

    def answer(self, name: str, raw: bytes) -> None:
        """From now on, /raw/NAME answers these bytes, and closes the connection."""
        self._answers[name] = raw

    async def _serve(self) -> None:
        stop = asyncio.Event()
        server = await asyncio.start_server(
            self._connected, "127.0.0.1", 0, ssl=self._tls, backlog=1024, limit=2**22
        )
        self.port = int(server.sockets[0].getsockname()[1])
        self._up.set_result((asyncio.get_running_loop(), stop))
        async with server:
            await stop.wait()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            async for request in _read(reader, self._connections):
                self._received.append(request)
                if await self._answer(request, writer):
                    break
        except (ConnectionError, asyncio.CancelledError):
            # the sender left, or the test is over (asyncio 3.11 would report a cancelled one as an
            # error)
            return
        finally:
            writer.close()

    async def _answer(self, request: Received, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection is to be closed now."""
        kind, _, rest = request.path[1:].partition("/")
        argument = rest.partition("/")[0]
        if kind == "hang":
            return False
        if kind == "raw":
            writer.write(self._answers[argument])
            return True
        if odd := _ODD.get(kind):
            await odd(writer, argument)
            return True
        if kind == "once" and any(
            one.connection == request.connection for one in self._received[:-1]
        ):
            return True
        status, more = self._status(kind, argument, request)
        writer.write(_answer(status, b"ok", more))
        await writer.drain()
        return kind == "leave"

    def _status(self, kind: str, argument: str, request: Received) -> tuple[int, str]:
        key = (request.path, request.headers.get("webhook-id", ""))
        self._seen[key] += 1
        match kind:
            case "status":
                return int(argument), ""
            case "fail":
                return (500 if self._seen[key] <= int(argument) else 200), ""
            case "after":
                return (429, f"Retry-After: {argument}\r\n") if self._seen[key] == 1 else (200, "")
            case "redirect":
                return 302, "Location: /ok/redirected\r\n"
            case "switch":
                return self._switches.get(argument, 200), ""
            case "busy":
                return self._switches.get(
                    argument, 200
                ), f"Retry-After: {request.path.split('/')[3]}\r\n"
            case _:
                return 200, ""


async def _read(reader: asyncio.StreamReader, connection: int) -> AsyncIterator[Received]:
    """The requests of one connection, until the sender closes it."""
    while True:
        try:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            at_s = time.time()
            headers = {
                name.lower(): value.strip()
                for name, _, value in (line.partition(":") for line in lines[1:] if line)
            }
            body = await reader.readexactly(int(headers.get("content-length", "0")))
        except asyncio.IncompleteReadError:
            return
        yield Received(lines[0].split(" ")[1], headers, body, connection, at_s)


def _answer(status: int, body: bytes, more: str = "") -> bytes:
    return f"HTTP/1.1 {status} x\r\n{more}content-length: {len(body)}\r\n\r\n".encode() + body


async def _slow(writer: asyncio.StreamWriter, milliseconds: str) -> None:
    await asyncio.sleep(int(milliseconds) / 1000)
    writer.write(_answer(200, b"ok", "connection: close\r\n"))


async def _drip(writer: asyncio.StreamWriter, _argument: str) -> None:
    writer.write(b"HTTP/1.1 200 x\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(_DRIP_EVERY_S)


async def _endless(writer: asyncio.StreamWriter, _argument: str) -> None:
    writer.write(b"HTTP/1.1 200 x\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"x" * 65_536)
        await writer.drain()


async def _gzip(writer: asyncio.StreamWriter, _argument: str) -> None:
    writer.write(_answer(200, gzip.compress(b"x" * 100_000), "content-encoding: gzip\r\n"))


def _writes(answer: Callable[[str], bytes]) -> "Odd":
    """A behaviour that is only a matter of bytes."""

    async def odd(writer: asyncio.StreamWriter, argument: str) -> None:
        writer.write(answer(argument))
        await writer.drain()

    return odd


Odd = Callable[[asyncio.StreamWriter, str], Coroutine[None, None, None]]
_ODD: dict[str, Odd] = {
    "slow": _slow,
    "drip": _drip,
    "endless": _endless,
    "gzip": _gzip,
    "garbage": _writes(lambda _: b"this is not HTTP\r\n\r\n"),
    "close": _writes(lambda _: b""),
    "cut": _writes(lambda _: b"HTTP/1.1 200 x\r\ncontent-length: 100\r\n\r\nhalf"),
    "large": _writes(lambda size: _answer(200, b"x" * int(size))),
    "headers": _writes(
        lambda size: _answer(200, b"ok", f"x-large: {'x' * 1000}\r\n" * (int(size) // 1000))
    ),
    "interim": _writes(
        lambda _: b"HTTP/1.1 103 Early Hints\r\nretry-after: 7\r\n\r\n" + _answer(503, b"")
    ),
}
