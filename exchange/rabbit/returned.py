"""Events that the broker gave up are taken in again: from the queue `ringback.returned` into the
outbox.

A policy for all queues may have messages expire, or come back too seldom; the broker then moves
them to this queue. They go into the outbox, not back to the broker, which would only give them up
again. In the API's workers and in the dispatchers: as long as any of them runs, nothing stays there
long enough to expire once more. Lives on an event loop, with a connection of its own.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from exchange.port import Message
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
"""The broker's queue is no part of one."""


class _Returned(Message, frozen=True):
    """`given_up`: why, in the broker's words, and `place`: the queue that it was in. `by_itself`: it had a limit of its own, set by who
    published it. `reason`: of a dead letter, why it is no event.
    """

    reason: str | None
    given_up: str
    place: str
    by_itself: bool


class RabbitReturned:
    """Give it a running event loop with `start`. `told` hears why the broker gave up events, where
    that was a policy: not of dead letters, which somebody may want to expire, nor of an event that
    its backend gave so little time.
    """

    def __init__(
        self, url: str, database: Database, observer: Observer, told: Callable[[str], None]
    ):
        self._source = RabbitSource(
            url, observer, of=QueueSettings("returned", RETURNED_QUEUE, _read, buries=False)
        )
        self._database, self._observer, self._told = database, observer, told
        self._task: asyncio.Task[None] | None = None
        self._limit = BATCH

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
            await self._take_in(self._some())

    def _some(self) -> list[_Returned]:
        """Of what has arrived as much as goes into one transaction."""
        taken = [
            one
            for one in self._source.take(_NO_TRANSACTION, self._limit)
            if isinstance(one, _Returned)
        ]
        fit = fitting(taken)
        self._source.put_back(taken[fit:])
        return taken[:fit]

    async def _take_in(self, batch: Sequence[_Returned]) -> None:
        """Once more, and fewer, when it fails: nothing is given up, the broker keeps it."""
        try:
            left = await asyncio.to_thread(self._store, batch)
        except Exception as error:  # noqa: BLE001 - also a mistake of ours: a task that ended would keep from everybody what it holds
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
            self._stored([one for number, one in enumerate(batch) if number not in left])

    def _store(self, batch: Sequence[_Returned]) -> set[int]:
        """In a thread. What is refused as an event is a dead letter. Answers the places of those
        that cannot even be that: they are set aside, and come again with another connection.
        """
        left = set()
        for number, reason in store(self._database, [row(one, one.reason) for one in batch]):
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
        self._source.acknowledge([one.receipt for one in batch])
        for (reason, place), count in Counter((one.given_up, one.place) for one in batch).items():
            self._observer.log(LogEvent.EVENTS_RETURNED, messages=count, reason=reason, queue=place)
        for reason in {
            one.given_up for one in batch if one.place == DISPATCH_QUEUE and not one.by_itself
        }:
            self._told(reason)


def _read(body: bytes, properties: Properties, receipt: object) -> _Returned:
    """Any publisher may set the header with a reason: it says something of a dead letter only."""
    headers = properties.headers or {}
    death = _last_death(headers)
    place = str(death.get("queue"))
    reason = headers.get(REASON_HEADER) if place == DEAD_QUEUE else None
    one = message_from(body, properties, receipt)
    return _Returned(
        one.body,
        one.accepted_at,
        one.message_id,
        one.deliveries,
        one.receipt,
        None if reason is None else str(reason),
        str(death.get("reason")),
        place,
        "original-expiration" in death,
    )


def _last_death(headers: Mapping[str, object]) -> Mapping[str, object]:
    """The broker puts the last first. Empty for what was published to the queue itself: then
    anything may stand there.
    """
    deaths = headers.get("x-death")
    last = deaths[0] if isinstance(deaths, list) and deaths else None
    return last if isinstance(last, dict) else {}
