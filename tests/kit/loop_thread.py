"""An event loop in a thread of its own, as a process has it, and a publisher that lives there.

Called by tests that are not on an event loop themselves, or must not block theirs.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar

import uvloop

from exchange.port import Outgoing, Publisher

T = TypeVar("T")
P = TypeVar("P", bound=Publisher)


class LoopThread:
    """Runs from the beginning until closed. `call` and `run` are for other threads."""

    loop: asyncio.AbstractEventLoop

    def __init__(self) -> None:
        self.loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="test-loop", daemon=True)
        self._thread.start()

    def call(self, coroutine: Coroutine[Any, Any, T], timeout_s: float = 30) -> T:
        """What the coroutine returns on the loop, or raises. It is cancelled when the time is
        over: that raises TimeoutError.
        """
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        try:
            return future.result(timeout_s)
        finally:
            future.cancel()

    def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """What the function returns on the loop, or raises."""

        async def ran() -> T:
            return function(*arguments)

        return self.call(ran())

    def close(self) -> None:
        """Cancel what still runs there, and end the thread. Idempotent."""
        if self.loop.is_closed():
            return
        self.call(_cancel_others())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(30)
        self.loop.close()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
    await asyncio.get_running_loop().shutdown_default_executor()


class FromThreads(Generic[P]):
    """A publisher for tests in threads: it starts, publishes and closes on a loop of its own.

    What only the adapter has is asked of `inner`.
    """

    def __init__(self, inner: P):
        self.inner, self.thread = inner, LoopThread()
        self._closed = False

    def start(self) -> None:
        self.thread.run(self.inner.start)

    def publish(self, outgoing: Sequence[Outgoing], **limits_s: float) -> None:
        self.thread.call(self.inner.publish(outgoing, **limits_s))

    def connected(self) -> bool:
        return self.inner.connected()

    def trouble(self) -> str | None:
        return self.inner.trouble()

    def close(self) -> None:
        """Close it, and end its loop. Idempotent."""
        if not self._closed:
            self._closed = True
            self.thread.call(self.inner.close())
            self.thread.close()
