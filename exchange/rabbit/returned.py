"""Events that the broker gave up are taken in again: from the queue `ringback.returned` into the
outbox.

A policy for all queues may have messages expire, or come back too seldom; the broker then moves
them to this queue. They go into the outbox, not back to the broker, which would only give them up
again. This runs in the API's workers and in the dispatchers: while any of them runs, nothing stays
in the queue long enough to expire once more. Lives on an event loop, with a connection of its own.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from exchange.port import QueuedMessage
from exchange.rabbit.connection import Properties
from exchange.rabbit.into_outbox import fitting, row, store
from exchange.rabbit.source import QueueSettings, RabbitSource, message_from
from exchange.topology import DEAD_QUEUE, DISPATCH_QUEUE, REASON_HEADER, RETURNED_QUEUE
from schemas.log_events import LogEvent
from schemas.observer import Observer
from store.engine.database import Connection, Database

BATCH = 1000
"""Messages of one transaction. More: the first of them waits longer. Fewer: more commits, while
messages in the queue go on expiring.
"""

_AGAIN_S = 0.5
_NO_TRANSACTION = cast("Connection", None)
"""The broker's queue is part of no transaction."""


class _Returned(QueuedMessage, frozen=True):
    """A message that the broker gave up."""

    reason: str | None
    """Why it is not an event; None unless it is a dead letter."""
    given_up: str
    """Why the broker gave it up, in the broker's words."""
    queue: str
    """The queue that it was in."""
    has_own_limit: bool
    """Whether its publisher limited its time."""


class RabbitReturned:
    """Moves what the broker gave up into the outbox.

    `on_given_up` gets the reason why the broker gave up events because of a policy. It is not
    called for dead letters, which may be meant to expire, nor for an event whose publisher limited
    its time.
    """

    def __init__(
        self, url: str, database: Database, observer: Observer, on_given_up: Callable[[str], None]
    ):
        self._source = RabbitSource(
            url,
            observer,
            queue=QueueSettings("returned", RETURNED_QUEUE, _read, dead_letters=False),
        )
        self._database, self._observer, self._on_given_up = database, observer, on_given_up
        self._task: asyncio.Task[None] | None = None
        self._limit = BATCH

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._source.start()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Stop. What is not in the outbox yet goes back to its queue."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._source.close()

    async def _run(self) -> None:
        while True:
            await self._source.wait()
            await self._take_in(self._some())

    def _some(self) -> list[_Returned]:
        """Return as much of what has arrived as goes into one transaction."""
        fetched = [
            message
            for message in self._source.fetch(_NO_TRANSACTION, self._limit)
            if isinstance(message, _Returned)
        ]
        fit = fitting(fetched)
        self._source.put_back(fetched[fit:])
        return fetched[:fit]

    async def _take_in(self, batch: Sequence[_Returned]) -> None:
        """Store a batch. If that fails, try fewer: nothing is lost, the broker keeps it."""
        try:
            left = await asyncio.to_thread(self._store, batch)
        except Exception as error:  # noqa: BLE001 - also a bug: the task must go on
            self._observer.log(
                LogEvent.RETURNED_WRITE_FAILED,
                messages=len(batch),
                reason=str(error) or repr(error),
            )
            self._limit = max(1, len(batch) // 2)
            self._source.put_back(batch)
            await asyncio.sleep(_AGAIN_S)
        else:
            self._limit = min(BATCH, self._limit * 2)
            self._stored([message for number, message in enumerate(batch) if number not in left])

    def _store(self, batch: Sequence[_Returned]) -> set[int]:
        """Store a batch, in a thread. What is refused as an event becomes a dead letter. Return the
        positions of those that cannot even be that: they are set aside, and come again with another
        connection.
        """
        left = set()
        rows = [row(message, message.reason) for message in batch]
        for number, reason in store(self._database, rows):
            refused = store(self._database, [row(batch[number], reason)])
            if refused:
                left.add(number)
            self._observer.log(
                LogEvent.RETURNED_SET_ASIDE if refused else LogEvent.DEAD_LETTER,
                message_id=batch[number].message_id,
                reason=reason,
            )
        return left

    def _stored(self, batch: Sequence[_Returned]) -> None:
        self._source.acknowledge([message.receipt for message in batch])
        counts = Counter((message.given_up, message.queue) for message in batch)
        for (reason, queue), count in counts.items():
            self._observer.log(LogEvent.EVENTS_RETURNED, messages=count, reason=reason, queue=queue)
        by_policy = {
            message.given_up
            for message in batch
            if message.queue == DISPATCH_QUEUE and not message.has_own_limit
        }
        for reason in by_policy:
            self._on_given_up(reason)


def _read(body: bytes, properties: Properties, receipt: object) -> _Returned:
    """Make a message of what was returned. Any publisher may set the header with a reason, so it
    counts for a dead letter only.
    """
    headers = properties.headers or {}
    death = _last_death(headers)
    queue = str(death.get("queue"))
    reason = headers.get(REASON_HEADER) if queue == DEAD_QUEUE else None
    message = message_from(body, properties, receipt)
    return _Returned(
        message.body,
        message.accepted_at,
        message.message_id,
        message.deliveries,
        message.receipt,
        None if reason is None else str(reason),
        str(death.get("reason")),
        queue,
        "original-expiration" in death,
    )


def _last_death(headers: Mapping[str, object]) -> Mapping[str, object]:
    """Return the last entry of `x-death`, which the broker puts first. It is empty for a message
    that was published to the queue itself, where the header may hold anything.
    """
    deaths = headers.get("x-death")
    last = deaths[0] if isinstance(deaths, list) and deaths else None
    return last if isinstance(last, dict) else {}
