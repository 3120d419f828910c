"""A webhook receiver for chaos, in a process of its own: fast, misbehaving by path, and it
remembers every request.

    python -m tests.chaos.receiver PORT

The first part of a POST's path says how it is answered, the second is the behaviour's argument;
anything may follow:

    /ok            200                          /hang          never
    /flaky/P       500 for P percent, by        /slow/MS       200 after MS milliseconds
                   chance, else 200             /switch/NAME   200, or what /.switch/NAME/CODE last
    /window/N      200 for N in each second,                   said; 0: never
                   else 429 with                /bucket/N      200 for a burst of N, then for N a
                   Retry-After: 1                              second, evenly; else 429 with
                                                               Retry-After: 1

GET /.log/N: all arrivals from the N-th on, as JSON. Used through `Receiver`, which starts it and
keeps what it tells.
"""

import asyncio
import json
import pathlib
import random
import re
import sys
import time
import urllib.request
from contextlib import ExitStack
from typing import ClassVar, NamedTuple, Self, cast

import uvloop

from benchmarks.children import FROM_CHECKOUT, running
from tests.kit.waiting import free_port, wait_for

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_ID = re.compile(rb"(?i)\r\nwebhook-id: *([^\r]+)")
_SLICE = 20_000


class Arrival(NamedTuple):
    """One request: where, which event, when (unix seconds), and the status it was answered; 0: none
    was.
    """

    path: str
    event_id: str
    at_s: float
    status: int


class Receiver:
    """A context manager around the process. `arrivals` is what has come, in that order."""

    def __init__(self, folder: pathlib.Path):
        self._folder, self._stack, self._arrivals = folder, ExitStack(), list[Arrival]()
        self._port = free_port()

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.chaos.receiver", str(self._port)]
        child = self._stack.enter_context(
            running(command, self._folder / "receiver.log", FROM_CHECKOUT)
        )
        self.pid = child.pid
        wait_for("the receiver answers", lambda: [self.arrivals()])
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self._port}{path}"

    def arrivals(self) -> list[Arrival]:
        while rows := self._get(f"/.log/{len(self._arrivals)}"):
            self._arrivals += [Arrival(*row) for row in rows]
        return self._arrivals

    def switch(self, name: str, status: int) -> None:
        """From now on, /switch/NAME answers `status`, or with 0 not at all."""
        self._get(f"/.switch/{name}/{status}")

    def _get(self, path: str) -> list[tuple[str, str, float, int]]:
        with urllib.request.urlopen(self.url(path), timeout=30) as answer:
            rows: list[tuple[str, str, float, int]] = json.load(answer)
        return rows


class _Connection(asyncio.Protocol):
    """One keep-alive connection; requests with a content-length only,
    answered one after the other.
    """

    log: ClassVar[list[Arrival]] = []
    switches: ClassVar[dict[str, int]] = {}
    room: ClassVar[dict[str, tuple[float, float]]] = {}

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (head_end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[: head_end + 2]
            length = _LENGTH.search(head)
            end = head_end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < end:
                return
            self._buffer = self._buffer[end:]
            self._take(head)

    def _take(self, head: bytes) -> None:
        path = head.split(b" ", 2)[1].decode()
        if path.startswith("/."):
            self._answer(200, json.dumps(_control(path)).encode())
            return
        status, after_s = _behaviour(path)
        found = _ID.search(head)
        self.log.append(Arrival(path, found[1].decode() if found else "", time.time(), status))
        if after_s:
            asyncio.get_running_loop().call_later(after_s, self._answer, status, b"ok")
        elif status:
            self._answer(status, b"ok")

    def _answer(self, status: int, body: bytes) -> None:
        more = b"retry-after: 1\r\n" if status == 429 else b""
        self._transport.write(
            b"HTTP/1.1 %d x\r\n%bcontent-length: %d\r\n\r\n%s" % (status, more, len(body), body)
        )


def _behaviour(path: str) -> tuple[int, float]:
    """The status, and after how many seconds."""
    kind, argument = path[1:].split("/", 2)[:2]
    match kind:
        case "hang":
            return 0, 0.0
        case "slow":
            return 200, int(argument) / 1000
        case "flaky":
            return (500 if random.random() * 100 < int(argument) else 200), 0.0
        case "switch":
            return _Connection.switches.get(argument, 200), 0.0
        case "window" | "bucket":
            return (200 if _has_room(path, kind, int(argument)) else 429), 0.0
        case _:
            return 200, 0.0


def _has_room(path: str, kind: str, most: int) -> bool:
    """One taken more, if there is room for it."""
    now_s = time.monotonic()
    room, at_s = _Connection.room.get(path, (float(most), now_s))
    if kind == "bucket":
        room = min(most, room + most * (now_s - at_s))
    elif int(now_s) > int(at_s):
        room = most
    _Connection.room[path] = (room - (room >= 1), now_s)
    return room >= 1


def _control(path: str) -> list[Arrival]:
    what, *arguments = path[2:].split("/")
    if what == "switch":
        _Connection.switches[arguments[0]] = int(arguments[1])
        return []
    first = int(arguments[0])
    return _Connection.log[first : first + _SLICE]


async def _main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(
        _Connection, "127.0.0.1", port, backlog=4096
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_main(int(sys.argv[1])))
