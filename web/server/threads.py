"""The threads for everything that may block or compute for long: look-ups of tokens, large bodies,
lists, files, pages. The event loop hands work to them.

Each kind of work has threads of its own: lists that wait for a silent database must not keep an
event from being parsed.
"""

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import ParamSpec, TypeVar

from schemas.errors import Problem, Unavailable

RUNNING = 2
"""Requests that run at once. More: each thread that computes takes the GIL from the event loop for
a switch interval, again and again; with four, publishing took 70 ms while two hundred downloads
began, with two 20. Fewer: slow queries delay the other requests.
"""

PAUSED = 16
"""Requests that may pause at once in addition, such as a test of a callback that waits for its
attempt. More: threads that do nothing. Fewer: tests are refused while others wait.
"""

COMPUTING = 1
"""Requests that hash a password at once. More: people who sign in, or guess, take processor time from
the event loop, and 32 MiB each. Fewer: none could.
"""

WAITING = 200
"""Requests that may wait for a thread. More: the last of them waits longer than its client does.
Fewer: short bursts are refused.
"""

PATIENCE_S = 5.0
"""How long a request may wait for its turn. Longer: while the database is silent, those that wait
take minutes. Shorter: a burst is refused that would be over soon.
"""

_LOOK_UPS, _PARSERS, _DOWNLOADS = 2, 1, 1

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")
_Pause = Callable[[float], None]


class RequestThreads:
    """The threads of one process. Unless said otherwise, methods belong to the event loop's
    thread. Those that call a function raise Unavailable when it was not its turn in time.
    """

    def __init__(self, running: int = RUNNING):
        self._requests = _Threads("request", running + PAUSED, WAITING)
        self._look_ups = _Threads("look-up", _LOOK_UPS, WAITING)
        self._parsers = _Threads("parser", _PARSERS, WAITING)
        self._downloads = _Threads("download", _DOWNLOADS, ends_first=True)
        self._running = threading.Semaphore(running)
        self._pauses = threading.Semaphore(PAUSED)
        self._computing = threading.Semaphore(COMPUTING)

    async def handle(
        self, function: Callable[_Given, _Result], *given: _Given.args, **named: _Given.kwargs
    ) -> _Result:
        """Handle a request."""
        until_s = time.monotonic() + PATIENCE_S
        return await self._requests.call(
            partial(self._in_turn, partial(function, *given, **named), until_s)
        )

    async def look_up(
        self, function: Callable[_Given, _Result], *given: _Given.args, **named: _Given.kwargs
    ) -> _Result:
        """Ask the database for a token."""
        return await self._look_ups.call(partial(function, *given, **named))

    async def parse(self, function: Callable[[bytes], _Result], body: bytes) -> _Result:
        """Parse a large body."""
        return await self._parsers.call(partial(function, body))

    async def download(self, function: Callable[[], _Result]) -> _Result:
        """Call a function that continues a response which has begun: it is never refused. One that
        is cancelled while it runs ends first: what it works on could not be closed before.
        """
        return await self._downloads.call(function)

    @contextlib.contextmanager
    def pausing(self) -> Iterator[_Pause]:
        """Give a request a way to pause for some seconds, in which another one runs. For the thread
        of a request. Raises Unavailable when too many pause already.
        """
        if not self._pauses.acquire(blocking=False):
            raise _too_busy()
        try:
            yield self._pause
        finally:
            self._pauses.release()

    def aside(self, function: Callable[[], _Result]) -> _Result:
        """Call a function that waits for another server, while another request runs. For the thread
        of a request. Raises Unavailable when too many wait already.
        """
        if not self._pauses.acquire(blocking=False):
            raise _too_busy()
        try:
            self._running.release()
            try:
                return function()
            finally:
                self._running.acquire()
        finally:
            self._pauses.release()

    def compute(self, function: Callable[[], _Result]) -> _Result:
        """Call a function that computes for long without the GIL, such as the hash of a password,
        while another request runs; `COMPUTING` at once. For the thread of a request. Raises
        Unavailable when it was not its turn in time.
        """
        return self.aside(lambda: self._one_by_one(function))

    def close(self) -> None:
        """Take nothing more. What runs goes on, but does not keep the process from ending."""
        for threads in (self._requests, self._look_ups, self._parsers, self._downloads):
            threads.close()

    def _pause(self, seconds: float) -> None:
        self._running.release()
        try:
            time.sleep(seconds)
        finally:
            self._running.acquire()

    def _one_by_one(self, function: Callable[[], _Result]) -> _Result:
        if not self._computing.acquire(timeout=PATIENCE_S):
            raise _too_busy()
        try:
            return function()
        finally:
            self._computing.release()

    def _in_turn(self, call: Callable[[], _Result], until_s: float) -> _Result:
        if not self._running.acquire(timeout=max(0.0, until_s - time.monotonic())):
            raise _too_busy()
        try:
            return call()
        finally:
            self._running.release()


class _Threads:
    """Some threads of one kind, started when they are needed first, and the calls that wait for
    them.

    Not the standard library's pool: the interpreter waits for its threads at the end, and a stop
    would take as long as the slowest download.
    """

    def __init__(
        self, kind: str, most: int, waiting: int | None = None, *, ends_first: bool = False
    ):
        """`waiting`: how many calls may wait; None: any number, for as long as it takes.
        `ends_first`: a call that is cancelled while it runs ends before its caller goes on.
        """
        self._kind, self._most, self._waiting = kind, most, waiting
        self._ends_first = ends_first
        self._started = self._open = 0
        self._is_closed = False
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

    async def call(self, function: Callable[[], _Result]) -> _Result:
        if self._is_closed:
            raise _too_busy()
        if self._waiting is not None and self._open >= self._most + self._waiting:
            raise _too_busy()
        if self._started < min(self._most, self._open + 1):
            self._start_one()
        self._open += 1
        until_s = None if self._waiting is None else time.monotonic() + PATIENCE_S
        result: Future[_Result] = Future()
        self._calls.put(partial(_settle, result, function, until_s))
        try:
            return await asyncio.wrap_future(result)
        except asyncio.CancelledError:
            if self._ends_first and result.running():
                await asyncio.wait([asyncio.wrap_future(result)])
            raise
        finally:
            self._open -= 1

    def _start_one(self) -> None:
        name = f"ringback-{self._kind}-{self._started + 1}"
        try:
            threading.Thread(target=self._run, name=name, daemon=True).start()
        except RuntimeError:  # the system gives no more threads
            if not self._started:
                raise _too_busy() from None
        else:
            self._started += 1

    def close(self) -> None:
        self._is_closed = True
        for _ in range(self._started):
            self._calls.put(None)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call()


def _settle(
    result: "Future[_Result]", function: Callable[[], _Result], until_s: float | None
) -> None:
    if not result.set_running_or_notify_cancel():
        return
    if until_s is not None and time.monotonic() > until_s:
        result.set_exception(_too_busy())
        return
    try:
        result.set_result(function())
    except BaseException as error:  # noqa: BLE001 - any: the caller gets it
        result.set_exception(error)


def _too_busy() -> Problem:
    return Unavailable(
        "too many requests wait to be handled: retry later", headers={"Retry-After": "1"}
    )
