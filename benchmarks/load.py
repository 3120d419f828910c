"""The load generator: posts events, or another request again and again, over a few connections, as
fast as they are answered or at a steady rate, then ends.

    python -m benchmarks.load < PLAN      a `Plan` as JSON; prints a `Report` as JSON

It is a separate process, so that nothing else is measured with it. Started by `stage`.
"""

import asyncio
import contextlib
import dataclasses
import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import cast

import uvloop

from benchmarks import events

_CONNECT_TRIES, _CONNECT_PAUSE_S = 100, 0.1


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to send."""

    port: int
    token: str
    count: int
    """How many events or requests."""
    connections: int
    rate: float = 0.0
    """Events a second. 0: each connection posts again as soon as it is answered."""
    first: int = 0
    """The number of the first event."""
    request: str = ""
    """A whole request to send instead of an event."""
    expected: int = 202
    """The status of every answer."""
    limit_s: float = 0.0
    """For a steady rate, against a server in trouble: what is not answered by then, counted from
    the first event, is answered 0, and connections are opened when they are needed. 0: no limit.
    """


@dataclasses.dataclass(frozen=True)
class Report:
    """The result of a plan. `started_s` is Unix seconds; latencies run from the moment an event
    should have been posted to its answer.
    """

    started_s: float
    took_s: float
    p50_ms: float
    p99_ms: float
    answers: dict[str, int]


class Connection(asyncio.Protocol):
    """One keep-alive connection with one request in flight. A lost connection answers 0."""

    def __init__(self) -> None:
        self._buffer = b""
        self._answer: asyncio.Future[int] | None = None
        self.open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self.open = cast("asyncio.WriteTransport", transport), True

    def connection_lost(self, _error: Exception | None) -> None:
        self.open = False
        self._resolve(0)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if complete(self._buffer):
            status, self._buffer = int(self._buffer[9:12]), b""
            self._resolve(status)

    def post(self, request: bytes) -> asyncio.Future[int]:
        """Send a request and return the status code of its answer."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def _resolve(self, status: int) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_result(status)


def complete(answer: bytes) -> bool:
    """Return whether an HTTP answer is complete."""
    head_end = answer.find(b"\r\n\r\n")
    if head_end < 0:
        return False
    head = answer[:head_end].lower()
    at = head.find(b"content-length:")
    if at >= 0:
        return len(answer) >= head_end + 4 + int(head[at + 15 :].split(b"\r\n", 1)[0])
    return b"chunked" not in head or answer.endswith(b"0\r\n\r\n")


class Load:
    """One run of a plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._numbers = iter(range(plan.first, plan.first + plan.count))
        self._latencies_s: list[float] = []
        self._unanswered: dict[int, float] = {}
        self._answers: Counter[str] = Counter()
        self._head = (
            f"POST /v1/events HTTP/1.1\r\nhost: 127.0.0.1:{plan.port}\r\n"
            f"authorization: Bearer {plan.token}\r\n"
            "content-type: application/json\r\ncontent-length: "
        ).encode()

    async def run(self) -> Report:
        connections = [await self._first_connection() for _ in range(self._plan.connections)]
        started_s, started = time.time(), time.perf_counter()
        if self._plan.rate:
            await self._within_limit(connections)
        else:
            await asyncio.gather(*(self._closed_loop(connection) for connection in connections))
        took_s = time.perf_counter() - started
        ordered = sorted(self._latencies_s)
        p50_ms, p99_ms = (1000 * ordered[int(len(ordered) * part)] for part in (0.5, 0.99))
        return Report(started_s, took_s, p50_ms, p99_ms, dict(self._answers))

    async def _closed_loop(self, connection: Connection) -> None:
        for number in self._numbers:
            connection = await self._post(connection, number, time.time())

    async def _within_limit(self, connections: list[Connection]) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._plan.limit_s or None):
                await self._paced(connections)
        for due_s in self._unanswered.values():
            self._count(0, due_s)

    async def _paced(self, connections: list[Connection]) -> None:
        """Post at a steady rate. A due event waits for a free connection with its clock running, so
        that a stall is not hidden.
        """
        idle: asyncio.Queue[Connection] = asyncio.Queue()
        for connection in connections:
            idle.put_nowait(connection)

        async def post(number: int, due_s: float) -> None:
            idle.put_nowait(await self._post(await idle.get(), number, due_s))
            del self._unanswered[number]

        async with asyncio.TaskGroup() as tasks:
            for number, due_s in zip(self._numbers, _ticks(self._plan.rate), strict=False):
                await asyncio.sleep(max(0.0, due_s - time.time()))
                self._unanswered[number] = due_s
                tasks.create_task(post(number, due_s))

    async def _post(self, connection: Connection, number: int, due_s: float) -> Connection:
        """Post, and return the connection to use next."""
        if not connection.open:
            connection = await self._connect()
        status = await connection.post(self._plan.request.encode() or self._event(number, due_s))
        self._count(status, due_s)
        return connection

    def _count(self, status: int, due_s: float) -> None:
        self._latencies_s.append(time.time() - due_s)
        self._answers[str(status)] += 1

    def _event(self, number: int, due_s: float) -> bytes:
        body = events.posted(number, due_s)
        return b"%s%d\r\n\r\n%s" % (self._head, len(body), body)

    async def _first_connection(self) -> Connection:
        return Connection() if self._plan.limit_s else await self._connect()

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        for _ in itertools.count() if self._plan.limit_s else range(_CONNECT_TRIES):
            try:
                return (await loop.create_connection(Connection, "127.0.0.1", self._plan.port))[1]
            except OSError:
                await asyncio.sleep(_CONNECT_PAUSE_S)
        raise SystemExit(f"nothing listens on port {self._plan.port}")


def _ticks(rate: float) -> Iterator[float]:
    start_s = time.time()
    return (start_s + tick / rate for tick in itertools.count())


if __name__ == "__main__":
    print(json.dumps(dataclasses.asdict(uvloop.run(Load(Plan(**json.load(sys.stdin))).run()))))
