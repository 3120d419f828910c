"""The threads for everything that may block: look-ups of tokens, lists, files, pages. The event
loop hands work to them.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from schemas.errors import Unavailable

THREADS = 16
"""Requests handled at once. More: they only wait for the GIL, or for a connection to the database.
Fewer: a few tests of callbacks, which wait for their attempt, delay everything else.
"""

WAITING = 200
"""Requests that may wait for a thread. More: the last of them waits longer than its client does.
Fewer: short bursts are refused.
"""

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


class RequestThreads:
    """A bounded pool. Belongs to the event loop's thread."""

    def __init__(self, threads: int = THREADS, waiting: int = WAITING):
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="ringback-request")
        self._most = threads + waiting
        self._open = 0

    async def run(
        self, function: Callable[_Given, _Result], *given: _Given.args, **named: _Given.kwargs
    ) -> _Result:
        """Call a function in a thread. Raises Unavailable when too many calls wait already."""
        if self._open >= self._most:
            raise Unavailable(
                "too many requests wait to be handled: retry later", headers={"Retry-After": "1"}
            )
        return await self.go_on(function, *given, **named)

    async def go_on(
        self, function: Callable[_Given, _Result], *given: _Given.args, **named: _Given.kwargs
    ) -> _Result:
        """Call a function that continues a response which has begun: it is never refused."""
        self._open += 1
        try:
            return await asyncio.wrap_future(self._pool.submit(function, *given, **named))
        finally:
            self._open -= 1

    def close(self) -> None:
        """Take nothing more. What runs goes on to its end."""
        self._pool.shutdown(wait=False, cancel_futures=True)
