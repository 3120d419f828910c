"""The threads for everything that may block: look-ups of tokens, lists, files, pages. The event
loop hands work to them.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from schemas.errors import Problem, Unavailable

RUNNING = 2
"""Requests that run at once. More: each thread that computes takes the GIL from the event loop for a
switch interval, again and again; with four, publishing took 70 ms while two hundred downloads
began, with two 20. Fewer: slow queries delay the other requests.
"""

PAUSED = 16
"""Requests that may pause at once in addition, such as a test of a callback that waits for its
attempt. More: threads that do nothing. Fewer: a few tests delay other requests.
"""

DOWNLOADS = 1
"""Pieces of downloads that are made at once: they mostly compute."""

WAITING = 200
"""Requests that may wait for a thread. More: the last of them waits longer than its client does.
Fewer: short bursts are refused.
"""

PATIENCE_S = 5.0
"""How long a request may wait for its turn. Longer: while the database is silent, those that wait
take minutes. Shorter: a burst is refused that would be over soon.
"""

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


class RequestThreads:
    """Bounded pools. Unless said otherwise, methods belong to the event loop's thread."""

    def __init__(self, running: int = RUNNING, waiting: int = WAITING):
        self._pool = ThreadPoolExecutor(running + PAUSED, "ringback-request")
        self._downloads = ThreadPoolExecutor(DOWNLOADS, "ringback-download")
        self._running = threading.Semaphore(running)
        self._most = running + waiting
        self._open = 0

    async def run(
        self, function: Callable[_Given, _Result], *given: _Given.args, **named: _Given.kwargs
    ) -> _Result:
        """Call a function in a thread. Raises Unavailable when too many calls wait already, or when
        it was not its turn within `PATIENCE_S`.
        """
        if self._open >= self._most:
            raise _too_busy()
        self._open += 1
        until_s = time.monotonic() + PATIENCE_S
        call = partial(function, *given, **named)
        try:
            return await _result_of(self._pool.submit(self._run, call, until_s))
        finally:
            self._open -= 1

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Let another request run while this one waits. For the thread of a request."""
        self._running.release()
        try:
            yield
        finally:
            self._running.acquire()

    async def go_on(
        self, function: Callable[_Given, _Result], *given: _Given.args, **named: _Given.kwargs
    ) -> _Result:
        """Call a function that continues a response which has begun: it is never refused. One that
        is cancelled while it runs ends first: what it works on could not be closed before.
        """
        return await _result_of(self._downloads.submit(function, *given, **named))

    def close(self) -> None:
        """Take nothing more. What runs goes on to its end."""
        for pool in (self._pool, self._downloads):
            pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, call: Callable[[], _Result], until_s: float) -> _Result:
        if not self._running.acquire(timeout=max(0.0, until_s - time.monotonic())):
            raise _too_busy()
        try:
            return call()
        finally:
            self._running.release()


def _too_busy() -> Problem:
    return Unavailable(
        "too many requests wait to be handled: retry later", headers={"Retry-After": "1"}
    )


async def _result_of(running: "Future[_Result]") -> _Result:
    try:
        return await asyncio.wrap_future(running)
    except asyncio.CancelledError:
        if not running.done():
            await asyncio.gather(asyncio.wrap_future(running), return_exceptions=True)
        raise
