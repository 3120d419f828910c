"""Events that the broker gave up are taken in again: from the queue `ringback.returned` into the outbox.

A policy for all queues may have messages expire, or come back too seldom; the broker then moves them to this queue. They go into the
outbox, not back to the broker, which would only give them up again. In the API's workers and in the dispatchers: as long as any of
them runs, nothing stays there long enough to expire once more. Lives on an event loop, with a connection of its own.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

import msgspec

from exchange.port import Message
from exchange.rabbit_connection import Channel, Properties
from exchange.rabbit_link import Link
from exchange.rabbit_source import message_from
from exchange.topology import REASON_HEADER, RETURNED_QUEUE
from schemas.errors import InvalidEvent, StoreRefused, StoreUnavailable
from schemas.events import parse_event
from schemas.reports import Observer
from schemas.times import now_ms
from store import outbox
from store.database import Database

PREFETCH = 200
"""Messages of one transaction at most. More: more memory, 256 KiB each at worst. Fewer: more commits."""

_AGAIN_S = 0.5


class _Returned(msgspec.Struct, frozen=True):
    """A message of one channel. `given_up`: why, in the broker's words; `reason`: of a dead letter, why it is no event."""

    generation: int
    tag: int
    message: Message
    reason: str | None
    given_up: str


class RabbitReturned:
    """Give it a running event loop with `start`. `told` hears of each reason for which the broker gave something up."""

    def __init__(self, url: str, database: Database, observer: Observer, told: Callable[[str], None]):
        self._link = Link(url, "returned", observer, self._opened, self._lost)
        self._database, self._observer, self._told = database, observer, told
        self._arrived: list[_Returned] = []
        self._some = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._link.start()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """What is not in the outbox yet goes back to its queue."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._link.close()

    async def _run(self) -> None:
        while True:
            await self._some.wait()
            self._some.clear()
            batch, self._arrived = self._arrived, []
            while batch and batch[0].generation == self._link.generation:
                try:
                    await asyncio.to_thread(self._store, batch)
                except (StoreUnavailable, StoreRefused) as error:  # nothing is given up: the broker keeps it
                    self._observer.note("returned messages not stored", messages=len(batch), reason=str(error))
                    await asyncio.sleep(_AGAIN_S)
                else:
                    self._acknowledge(batch)
                    break

    def _store(self, batch: Sequence[_Returned]) -> None:
        """In a thread. Without the outbox's bound: these were accepted once."""
        events = [_row(one.message) for one in batch if one.reason is None]
        letters = [_row(one.message) | {"reason": one.reason} for one in batch if one.reason is not None]
        with self._database.write() as connection:
            outbox.add(connection, events)
            outbox.add(connection, letters)
            self._database.ring(connection, outbox.RING)

    def _acknowledge(self, batch: Sequence[_Returned]) -> None:
        for reason in {one.given_up for one in batch}:
            self._observer.note("taken in again: the broker gave it up", messages=len(batch), reason=reason)
            self._told(reason)
        channel = self._link.channel
        if channel is not None and channel.is_open and batch[-1].generation == self._link.generation:
            channel.basic_ack(batch[-1].tag, multiple=True)

    def _opened(self, channel: Channel) -> None:
        channel.basic_qos(prefetch_count=PREFETCH)
        channel.basic_consume(RETURNED_QUEUE, self._on_message)

    def _lost(self, _reason: str) -> None:
        self._arrived.clear()

    def _on_message(self, _channel: Channel, method: Channel, properties: Properties, body: bytes) -> None:
        headers = properties.headers or {}
        reason, given_up = headers.get(REASON_HEADER), str(headers.get("x-first-death-reason"))
        message = message_from(body, properties, None)
        told = None if reason is None else str(reason)
        self._arrived.append(_Returned(self._link.generation, method.delivery_tag, message, told, given_up))
        self._some.set()


def _row(message: Message) -> dict[str, object]:
    """An id that stands beside the body moves into it: a row has no place for it. What is no event is found out by whoever takes it."""
    body = message.body
    if message.message_id is not None:
        with contextlib.suppress(InvalidEvent):
            body = parse_event(body, message_id=message.message_id, id_required=True).message()
    return {"body": body, "accepted_at": message.accepted_at or now_ms()}
