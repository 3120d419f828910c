"""A webhook receiver that is fast enough to measure any sender: it answers, counts, de-duplicates
and times. Nothing is verified.

    python -m benchmarks.receiver PORT

Any POST is answered 200. `bench_seq` (int) and `bench_sent` (Unix seconds) may be anywhere in the
body; see `events`. GET /count: how many different ones came. GET /stats: JSON of a `Stats`. GET
/reset: start from nothing. Started by `stage`.
"""

import asyncio
import dataclasses
import json
import re
import sys
import time
from typing import cast

import uvloop

_NUMBER = re.compile(rb'"bench_seq":(\d+)')
_SENT = re.compile(rb'"bench_sent":([0-9.]+)')
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@dataclasses.dataclass(frozen=True)
class Stats:
    """What came since the last reset. Times are Unix seconds, latencies (sent to received)
    milliseconds; 0 when nothing came.
    """

    count: int
    duplicates: int
    first_s: float
    last_s: float
    p50_ms: float
    p99_ms: float


class Tally:
    """A count of each number once per path: an event for ten callbacks counts ten times."""

    def __init__(self) -> None:
        self._seen: set[tuple[bytes, bytes]] = set()
        self._latencies_s: list[float] = []
        self._duplicates = 0
        self._first_s = self._last_s = 0.0

    def add(self, path: bytes, body: bytes) -> None:
        now = time.time()
        number, sent = _NUMBER.search(body), _SENT.search(body)
        key = path, number[1] if number else b""
        if key in self._seen:
            self._duplicates += 1
            return
        self._seen.add(key)
        self._first_s, self._last_s = self._first_s or now, now
        if sent:
            self._latencies_s.append(now - float(sent[1]))

    def count(self) -> int:
        return len(self._seen)

    def stats(self) -> Stats:
        ordered = sorted(self._latencies_s)
        p50_ms, p99_ms = (
            1000 * ordered[int(len(ordered) * part)] if ordered else 0.0 for part in (0.5, 0.99)
        )
        return Stats(self.count(), self._duplicates, self._first_s, self._last_s, p50_ms, p99_ms)


class Connection(asyncio.Protocol):
    """One keep-alive connection; requests with a content-length only."""

    tally = Tally()

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (head_end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head, body_start = self._buffer[:head_end], head_end + 4
            length = _LENGTH.search(head)
            end = body_start + (int(length[1]) if length else 0)
            if len(self._buffer) < end:
                return
            body, self._buffer = self._buffer[body_start:end], self._buffer[end:]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        method, path = head.split(b" ", 2)[:2]
        if method == b"POST":
            self._transport.write(_OK)
            Connection.tally.add(path, body)
            return
        text = json.dumps(_control(path)).encode()
        self._transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(text), text)
        )


def _control(path: bytes) -> object:
    if path == b"/reset":
        Connection.tally = Tally()
    if path == b"/stats":
        return dataclasses.asdict(Connection.tally.stats())
    return Connection.tally.count()


async def _main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(
        Connection, "127.0.0.1", port, backlog=4096
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_main(int(sys.argv[1])))
