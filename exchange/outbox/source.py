"""Fetching events from the outbox table, under leases."""

import asyncio
import contextlib
from collections.abc import Sequence

from exchange.port import QueuedMessage
from store.engine.database import Connection, Database
from store.events import outbox

_POLL_S = 1.0
"""How late a message is fetched whose notification was lost, or whose lease lapsed. Shorter: more
queries that find nothing.
"""


class OutboxSource:
    """Leases rows. Rows that are deleted in the settling transaction are gone, and the others come
    again when their lease lapses.

    Receipts are row ids.
    """

    def __init__(self, database: Database):
        self._database = database
        self._loop: asyncio.AbstractEventLoop | None = None
        self._notified = asyncio.Event()
        self._more = True
        """Whether the last fetch may have left something, for which no notification comes."""

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._database.subscribe(outbox.NOTIFICATION, self._on_notification)

    async def wait(self) -> None:
        """Wait until `fetch` may find something."""
        if not self._more:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_S):
                    await self._notified.wait()
        self._notified.clear()

    def fetch(self, connection: Connection, limit: int) -> list[QueuedMessage]:
        """Lease at most `limit` rows, oldest first."""
        rows = outbox.lease(connection, limit, self._database.now(connection))
        self._more = len(rows) == limit
        return [QueuedMessage(row.body, row.accepted_at, row.message_id, 0, row.id) for row in rows]

    def put_back(self, messages: Sequence[QueuedMessage]) -> None:
        """Fetch again without waiting. The transaction that failed has undone the leases."""
        self._more = bool(messages)

    def delete(self, connection: Connection, receipts: Sequence[object]) -> None:
        """Delete rows that are settled in this transaction."""
        outbox.forget(connection, [row_id for row_id in receipts if isinstance(row_id, int)])

    def acknowledge(self, receipts: Sequence[object]) -> None:
        """Do nothing: the rows were deleted with the commit."""

    async def dead_letter(self, message: QueuedMessage, reason: str) -> None:
        """Turn a row into a dead letter."""
        await asyncio.to_thread(self._dead_letter, message, reason)

    def pause(self) -> None:
        """Do nothing: leases lapse by themselves."""

    def resume(self) -> None:
        """Do nothing: nothing was given back."""

    def connected(self) -> bool:
        """Return True: the connection is the database's."""
        return True

    async def close(self) -> None:
        """Ignore notifications from now on. Leases that are left lapse."""
        self._loop = None

    def _dead_letter(self, message: QueuedMessage, reason: str) -> None:
        assert isinstance(message.receipt, int)
        with self._database.write() as connection:
            outbox.dead_letter(connection, message.receipt, reason)

    def _on_notification(self) -> None:
        """Wake `wait`. Called in the thread that committed, or in the notification listener's."""
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # that loop has ended, and with it the waiting
                loop.call_soon_threadsafe(self._notified.set)
