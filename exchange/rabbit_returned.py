"""Events that the broker gave up are taken in again: from the queue `ringback.returned` into the outbox.

A policy for all queues may have messages expire, or come back too seldom; the broker then moves them to this queue. They go into the
outbox, not back to the broker, which would only give them up again. In the API's workers and in the dispatchers: as long as any of
them runs, nothing stays there long enough to expire once more. Lives on an event loop, with a connection of its own.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

from exchange.port import Message
from exchange.rabbit_connection import Properties
from exchange.rabbit_source import Place, RabbitSource, message_from
from exchange.taking_in import row
from exchange.topology import REASON_HEADER, RETURNED_QUEUE
from schemas.errors import StoreRefused, StoreUnavailable
from schemas.reports import Observer
from store import outbox
from store.database import Connection, Database

BATCH = 1000
"""Messages of one transaction. More: the first of them waits longer. Fewer: more commits, while messages in the queue go on expiring."""

_AGAIN_S = 0.5
_NO_TRANSACTION = cast("Connection", None)
"""The broker's queue is no part of one."""


class _Returned(Message, frozen=True):
    """`given_up`: why, in the broker's words; `reason`: of a dead letter, why it is no event."""

    reason: str | None
    given_up: str


class RabbitReturned:
    """Give it a running event loop with `start`. `told` hears of each reason for which the broker gave something up."""

    def __init__(self, url: str, database: Database, observer: Observer, told: Callable[[str], None]):
        self._source = RabbitSource(url, observer, of=Place("returned", RETURNED_QUEUE, _read, buries=False))
        self._database, self._observer, self._told = database, observer, told
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._source.start()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """What is not in the outbox yet goes back to its queue."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._source.close()

    async def _run(self) -> None:
        while True:
            await self._source.wait()
            batch = [one for one in self._source.take(_NO_TRANSACTION, BATCH) if isinstance(one, _Returned)]
            try:
                await asyncio.to_thread(self._store, batch)
            except (StoreUnavailable, StoreRefused) as error:  # nothing is given up: the broker keeps it
                self._observer.note("returned messages not stored", messages=len(batch), reason=str(error))
                self._source.put_back(batch)
                await asyncio.sleep(_AGAIN_S)
            else:
                self._stored(batch)

    def _store(self, batch: Sequence[_Returned]) -> None:
        """In a thread. Without the outbox's bound: these were accepted once."""
        rows = [row(one, one.reason) for one in batch]
        with self._database.write() as connection:
            outbox.add(connection, rows)
            self._database.ring(connection, outbox.RING)

    def _stored(self, batch: Sequence[_Returned]) -> None:
        self._source.acknowledge([one.receipt for one in batch])
        for reason in {one.given_up for one in batch}:
            self._observer.note("taken in again: the broker gave it up", messages=len(batch), reason=reason)
            self._told(reason)


def _read(body: bytes, properties: Properties, receipt: object) -> _Returned:
    headers = properties.headers or {}
    reason = headers.get(REASON_HEADER)
    one = message_from(body, properties, receipt)
    return _Returned(
        one.body,
        one.accepted_at,
        one.message_id,
        one.deliveries,
        one.receipt,
        None if reason is None else str(reason),
        str(headers.get("x-first-death-reason")),
    )
