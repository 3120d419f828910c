"""The threads of requests: each kind of work has its own, all are bounded."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from schemas.errors import Unavailable
from tests.kit.waiting import eventually
from web.server import threads as module
from web.server.threads import PAUSED, RequestThreads


@pytest.fixture
def threads() -> Iterator[RequestThreads]:
    made = RequestThreads(2)
    yield made
    made.close()


class Blocked:
    """So many requests that run, and wait until they are let go."""

    def __init__(self, threads: RequestThreads, count: int):
        self.free, self._threads, self._count = threading.Event(), threads, count
        self._tasks: list[asyncio.Task[bool]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.create_task(self._threads.handle(self.free.wait, 30))
            for _ in range(self._count)
        ]
        await asyncio.sleep(0.05)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.free.set()
        await asyncio.gather(*self._tasks)


async def test_lists_that_wait_for_the_database_keep_no_event_from_being_parsed(
    threads: RequestThreads,
) -> None:
    """Nor a token from being looked up, nor a download from going on."""
    async with Blocked(threads, 6):
        assert await threads.parse(len, b"abc") == 3
        assert await threads.look_up(len, "abcd") == 4
        assert await threads.download(lambda: 5) == 5


async def test_a_request_that_waits_too_long_is_refused(
    threads: RequestThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the database is silent, those that wait would take minutes."""
    monkeypatch.setattr(module, "PATIENCE_S", 0.1)
    async with Blocked(threads, 2):
        with pytest.raises(Unavailable, match="retry later"):
            await threads.handle(int)

    assert await threads.handle(int) == 0


async def test_more_than_some_may_not_wait(
    threads: RequestThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last of them would be answered after its client has gone."""
    monkeypatch.setattr(module, "WAITING", 1 - PAUSED)
    threads = RequestThreads(2)
    async with Blocked(threads, 2):
        waiting = asyncio.create_task(threads.handle(int))
        await asyncio.sleep(0.05)
        with pytest.raises(Unavailable):
            await threads.handle(int)
    assert await waiting == 0
    threads.close()


async def test_a_request_that_pauses_lets_another_run(threads: RequestThreads) -> None:
    """A test of a callback waits for seconds, and needs nothing meanwhile."""
    free = threading.Event()

    def pauses() -> None:
        with threads.pausing() as pause:
            while not free.is_set():
                pause(0.01)

    paused = [asyncio.create_task(threads.handle(pauses)) for _ in range(PAUSED)]
    await asyncio.sleep(0.1)

    assert await threads.handle(int) == 0
    with pytest.raises(Unavailable):
        await threads.handle(pauses)

    free.set()
    await asyncio.gather(*paused)
    assert await threads.handle(int) == 0


async def test_without_another_thread_those_that_run_do_the_work(
    threads: RequestThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that could not be started must not count: calls would wait for it for ever."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(Unavailable):
            await threads.handle(int)
    assert await threads.handle(int) == 0

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert await asyncio.gather(*(threads.handle(int) for _ in range(5))) == [0] * 5


def test_a_request_that_runs_does_not_keep_the_process() -> None:
    """A stop has a limit; a workbook may take a minute."""
    program = """
import asyncio, time
from web.server.threads import RequestThreads

async def main():
    threads = RequestThreads()
    asyncio.ensure_future(threads.handle(time.sleep, 60))
    await asyncio.sleep(0.2)
    threads.close()

asyncio.run(asyncio.wait_for(main(), 5))
"""
    began_s = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[2], timeout=30, check=False
    )

    assert done.returncode == 0
    assert time.monotonic() - began_s < 20


async def test_a_request_that_waits_for_another_server_lets_others_run(
    threads: RequestThreads,
) -> None:
    """As many may wait as may pause; what the server said, or why not, comes back."""
    free, waiting = threading.Event(), threading.Semaphore(0)

    def waits() -> str:
        waiting.release()
        assert free.wait(30)
        return "said"

    aside = [asyncio.create_task(threads.handle(threads.aside, waits)) for _ in range(PAUSED)]
    for _ in range(PAUSED):
        assert await asyncio.to_thread(waiting.acquire, timeout=30)

    assert await threads.handle(int) == 0
    with pytest.raises(Unavailable):
        await threads.handle(threads.aside, waits)

    free.set()
    assert await asyncio.gather(*aside) == ["said"] * PAUSED
    with pytest.raises(ZeroDivisionError):
        await threads.handle(threads.aside, lambda: 1 // 0)
    async with Blocked(threads, 1):
        assert await threads.handle(int) == 0, "every turn was given back"


async def test_passwords_are_hashed_one_after_the_other_while_others_run(
    threads: RequestThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crowd that signs in takes one core and 32 MiB, and delays no page."""
    free, running, most = threading.Event(), [0], [0]

    def hashes() -> None:
        running[0] += 1
        most[0] = max(most[0], running[0])
        assert free.wait(30)
        running[0] -= 1

    crowd = [asyncio.create_task(threads.handle(threads.compute, hashes)) for _ in range(4)]
    await eventually("one hashes", lambda: running[0])

    assert await threads.handle(int) == 0
    with monkeypatch.context() as patched:
        patched.setattr(module, "PATIENCE_S", 0.1)
        with pytest.raises(Unavailable):
            await threads.handle(threads.compute, hashes)

    free.set()
    await asyncio.gather(*crowd)
    assert most == [1]
