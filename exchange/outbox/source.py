"""Taking events from the outbox table, under leases."""

import asyncio
import contextlib
from collections.abc import Sequence

from exchange.port import Message
from store.engine.database import Connection, Database
from store.events import outbox

_POLL_S = 1.0
"""The safety net under the doorbell, and how soon lapsed leases are noticed."""


class OutboxSource:
    """Takes rows under a lease; what is forgotten in the settling transaction is gone, the rest
    comes again.

    Receipts are row ids. Its loop methods belong to the event loop that `start` was called on.
    """

    def __init__(self, database: Database):
        self._database = database
        self._loop: asyncio.AbstractEventLoop | None = None
        self._notified = asyncio.Event()
        self._more = True
        """Whether the last take may have left something: then nobody rings for it."""

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._database.subscribe(outbox.NOTIFICATION, self._on_notification)

    async def wait(self) -> None:
        if not self._more:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_S):
                    await self._notified.wait()
        self._notified.clear()

    def take(self, connection: Connection, limit: int) -> list[Message]:
        rows = outbox.take(connection, limit, self._database.now(connection))
        self._more = len(rows) == limit
        return [Message(row.body, row.accepted_at, row.message_id, 0, row.id) for row in rows]

    def put_back(self, messages: Sequence[Message]) -> None:
        """The failed transaction undid the lease."""
        self._more = bool(messages)

    def forget(self, connection: Connection, receipts: Sequence[object]) -> None:
        outbox.forget(connection, [one for one in receipts if isinstance(one, int)])

    def acknowledge(self, receipts: Sequence[object]) -> None:
        """Nothing is left to say: the row went with the commit."""

    async def bury(self, message: Message, reason: str) -> None:
        await asyncio.to_thread(self._bury, message, reason)

    def pause(self) -> None:
        """Without the store nothing is held: leases lapse by themselves."""

    def resume(self) -> None:
        """Nothing was given up."""

    def connected(self) -> bool:
        return True

    async def close(self) -> None:
        """Leases that are left lapse."""
        self._loop = None

    def _bury(self, message: Message, reason: str) -> None:
        assert isinstance(message.receipt, int)
        with self._database.write() as connection:
            outbox.bury(connection, message.receipt, reason)

    def _on_notification(self) -> None:
        """From the thread that committed, or the doorbell's."""
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # that loop has ended: nobody waits
                loop.call_soon_threadsafe(self._notified.set)
