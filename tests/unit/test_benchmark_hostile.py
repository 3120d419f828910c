"""The hostile clients, and what the benchmark says about a server among them. The server's own
figures are measured, not tested.
"""

import asyncio
import contextlib
import dataclasses
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from benchmarks.children import FROM_CHECKOUT, environment
from benchmarks.comparison import Row
from benchmarks.hostile import Memory, Seen, Window, rows
from benchmarks.hostile_clients import Crowd, Tally, visits
from benchmarks.load import Plan, Report
from benchmarks.probing import LIMIT_S, Prober, Probes
from tests.kit.waiting import eventually

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
ALIVE = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"


@contextlib.asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[int]:
    """A server on a free port; every connection is closed when its handler ends."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("kind", "beginning"),
    [
        ("heads", b"P"),
        ("bodies", b"content-length: 100\r\n\r\n{"),
        ("sized", b"content-length: 2147483648\r\n\r\n\0"),
        ("chunked", b"transfer-encoding: chunked\r\n\r\n10000\r\n\0"),
        ("downloads", b"GET /requests.csv HTTP/1.1\r\n"),
    ],
)
async def test_a_client_sends_what_its_kind_says(kind: str, beginning: bytes) -> None:
    """A request that is refused for another reason would show nothing."""
    came = bytearray()

    async def handler(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        while beginning not in came:
            came.extend(await reader.read(1024))

    async with serving(handler) as port:
        _, visit = visits(Crowd(port, "rbk_1", "/requests.csv", 1.0))[kind]
        with contextlib.suppress(ConnectionResetError):
            await asyncio.wait_for(visit(tally := Tally()), 10)

    assert (b"authorization" in came) is (kind in {"bodies", "downloads"})
    assert tally.connections == 1


async def test_a_huge_body_waits_for_a_server_that_does_not_read() -> None:
    """Pieces that pile up in the client would be its memory, not a load for the server."""
    stop = asyncio.Event()

    async def handler(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await stop.wait()

    tally = Tally()

    async def sent_until_full() -> int:
        before = tally.sent_bytes
        await asyncio.sleep(0.2)
        return before if before and before == tally.sent_bytes else 0

    async with serving(handler) as port:
        _, visit = visits(Crowd(port, "", "", 1.0))["sized"]
        sending = asyncio.ensure_future(visit(tally))
        async with asyncio.timeout(10):
            while not (sent := await sent_until_full()):
                pass
        stop.set()
        with contextlib.suppress(ConnectionResetError):
            await sending

    assert sent < 32 * 2**20


async def test_a_client_connects_again_when_it_is_closed(tmp_path: Path) -> None:
    """One visit each would be over after a second."""
    visitors = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visitors.append(await reader.read(1))
        writer.write(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n")

    async with serving(handler) as port:
        crowd = Crowd(port, "", "", 30.0, heads=1, bodies=0, downloads=0, sized=0, chunked=0)
        words = json.dumps(dataclasses.asdict(crowd))
        process = await _module("hostile_clients", words, cwd=tmp_path)
        await eventually("it comes again", lambda: len(visitors) >= 2)
        process.terminate()
        printed = json.loads((await process.communicate())[0])

    heads = printed["kinds"]["heads"]
    assert heads["connections"] >= 2
    assert heads["answers"]["408"] >= 2
    assert printed["kinds"]["bodies"]["connections"] == 0


async def test_events_that_are_never_answered_are_counted_with_their_wait(tmp_path: Path) -> None:
    """Left out, a server that hangs would look as fast as its last answer."""

    async def handler(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        while await reader.read(1024):
            pass

    async with serving(handler) as port:
        plan = Plan(port, "", 10, connections=2, rate=100.0, limit_s=0.5)
        process = await _module("load", cwd=tmp_path)
        out, _ = await process.communicate(json.dumps(dataclasses.asdict(plan)).encode())

    report = Report(**json.loads(out))
    assert report.answers == {"0": 10}
    assert report.p99_ms > 400


@pytest.mark.parametrize(("answer", "failed"), [(ALIVE, 0), (UNAVAILABLE, 1)])
async def test_a_probe_that_is_not_answered_200_counts_as_the_slowest(
    answer: bytes, failed: int
) -> None:
    """A quick refusal must not look like health."""
    stop = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await reader.read()  # until the prober closes, which has counted the probe by then
        stop.set()

    async with serving(handler) as port:
        probes = await asyncio.wait_for(Prober(port).run(stop), 10)

    assert bool(probes.failed) is bool(failed)
    assert (probes.slowest_ms >= 1000 * LIMIT_S) is bool(failed)


async def _module(name: str, *words: str, cwd: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"benchmarks.{name}",
        *words,
        cwd=cwd,
        env=environment(FROM_CHECKOUT),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )


def test_the_rows_compare_with_the_backend_alone() -> None:
    """A slow machine must not fail the server, and memory counts from before the clients came."""
    seen = Seen(
        alone=Window(Report(0, 20, 2, 6, {"202": 2000}), Probes(400, 0, 2, 4)),
        together=Window(
            Report(0, 60, 3, 11, {"202": 5990, "503": 9, "0": 1}), Probes(1200, 2, 5, 99)
        ),
        memory=Memory(before_mb=120, peak_mb=190, after_mb=130),
        clients={"cores": 0.25, "kinds": {"heads": {"connections": 250}}},
    )

    found = rows("hostile, api", seen)

    assert _met(found, "/healthz, the slowest") == (99, True)
    assert _met(found, "p99 of publishing") == (11, True)
    assert _met(found, "events not answered 202") == (10, False)
    assert _met(found, "its growth at the peak") == (70, False)
    assert _met(found, "its growth afterwards") == (10, True)
    assert _met(found, "connections of heads") == (250, None)


def _met(found: list[Row], beginning: str) -> tuple[float, bool | None]:
    (row,) = (row for row in found if row.what.startswith(beginning))
    return row.figure, row.met
