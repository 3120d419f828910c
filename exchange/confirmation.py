"""What a publish waits for while its messages become durable. No I/O; used by every publisher.

Belongs to the event loop's thread.
"""

import asyncio
import math

_EARLY_S = 0.001
"""libuv counts whole milliseconds, so its timers may fire that much too early."""


class Confirmation:
    """Whether the messages of one publish are durable. They are settled one by one, and awaited
    together.

    A wait takes one future and one timer, however many messages there are. Settling after the wait
    was given up does no harm.
    """

    __slots__ = ("_unsettled", "_waiter", "error", "sent_s", "unconfirmed")

    def __init__(self, count: int):
        self._unsettled = count
        self._waiter: asyncio.Future[None] | None = None
        self.unconfirmed = set(range(count))
        """The positions of the messages that are not known to be durable."""
        self.sent_s = math.inf
        """When the messages were sent, monotonic; infinite until then."""
        self.error: str | None = None
        """Why a message will not be known to be durable; None: there is no such message yet."""

    def settle(self, position: int, error: str | None) -> None:
        """Say that a message is durable, or why it is not known to be. Call it once for each."""
        if error is None:
            self.unconfirmed.discard(position)
        else:
            self.error = error
        self._unsettled -= 1
        if not self._unsettled and self._waiter is not None:
            _wake(self._waiter)

    async def wait(self, timeout_s: float) -> bool:
        """Wait until all messages are settled. Return whether all are durable: False also when the
        timeout comes first.

        May be called again after a timeout, by one task at a time.
        """
        if self._unsettled and timeout_s > 0:
            loop = asyncio.get_running_loop()
            self._waiter = waiter = loop.create_future()
            timer = loop.call_later(timeout_s + _EARLY_S, _wake, waiter)
            try:
                await waiter
            finally:
                timer.cancel()
                self._waiter = None
            if self._unsettled:
                # Something may have held up the loop, which fires timers before it reads: what has
                # arrived by now is in time.
                await asyncio.sleep(0)
        return not self.unconfirmed


def _wake(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
