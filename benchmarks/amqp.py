"""The queues of floor and Ringback as a backend sees them: declare, and fill.

Called by the pipelines before a run. Ringback's topology is declared by `ringback migrate`, the
floor's here.
"""

import asyncio
import time
import uuid
from collections.abc import Iterable
from typing import Any

import pika

from benchmarks import events
from benchmarks.floor_events import QUEUE
from benchmarks.one_write import OneWrite

_FILL_LIMIT_S = 120.0
_AT_ONCE = 500
"""Messages that wait for their confirms together. More: no faster. Fewer: slower."""
_PROPERTIES = {"delivery_mode": 2, "content_type": "application/json"}

RINGBACK_EXCHANGE = "ringback.events"


def declare_floor(url: str) -> None:
    """Declare the floor's exchange and queue, empty."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.exchange_declare(QUEUE, "topic", durable=True)
        channel.queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        channel.queue_bind(QUEUE, QUEUE, "#")
        channel.queue_purge(QUEUE)


def fill(url: str, exchange: str, count: int, padding_bytes: int = 0) -> None:
    """Publish `count` new events, each larger by `padding_bytes`, and wait until the queue behind
    the exchange holds them all. Raises TimeoutError.
    """
    asyncio.run(_fill(url, exchange, count, padding_bytes))


async def _fill(url: str, exchange: str, count: int, padding_bytes: int) -> None:
    async with asyncio.timeout(_FILL_LIMIT_S):
        filler = Filler(url, exchange, padding_bytes)
        await filler.open()
        for first in range(0, count, _AT_ONCE):
            await filler.publish(range(first, min(first + _AT_ONCE, count)))
        await filler.close()


class Filler:
    """A publisher with confirms. A quorum queue that has just elected its leader may lose what is
    not waited for (seen on 3.10).
    """

    def __init__(self, url: str, exchange: str, padding_bytes: int = 0) -> None:
        self._url, self._exchange, self._run = url, exchange, uuid.uuid4().hex[:12]
        self._padding_bytes = padding_bytes
        self._last_tag = 0
        self._open_tags: set[int] = set()
        self._ready, self._all_confirmed, self._closed = (
            asyncio.Event(),
            asyncio.Event(),
            asyncio.Event(),
        )

    async def open(self) -> None:
        self._connection = OneWrite(
            pika.URLParameters(self._url),
            on_open_callback=lambda connection: connection.channel(
                on_open_callback=self._ask_for_confirms
            ),
            on_close_callback=lambda _connection, _reason: self._closed.set(),
            custom_ioloop=asyncio.get_running_loop(),
        )
        await self._ready.wait()

    async def publish(self, numbers: Iterable[int]) -> None:
        """Publish, and wait until the queue holds the events."""
        self._all_confirmed.clear()
        with self._connection.one_write():
            for number in numbers:
                self._publish_one(number)
        await self._all_confirmed.wait()

    async def close(self) -> None:
        self._connection.close()
        await self._closed.wait()

    def _ask_for_confirms(self, channel: Any) -> None:
        self._channel = channel
        channel.confirm_delivery(self._confirmed, callback=lambda _ok: self._ready.set())

    def _publish_one(self, number: int) -> None:
        event_id = f"evt_{self._run}{number}"
        body = events.published(event_id, number, time.time(), self._padding_bytes)
        self._last_tag += 1
        self._open_tags.add(self._last_tag)
        self._channel.basic_publish(
            self._exchange,
            "message.received",
            body,
            pika.BasicProperties(message_id=event_id, **_PROPERTIES),
        )

    def _confirmed(self, frame: Any) -> None:
        tag = frame.method.delivery_tag
        self._open_tags -= (
            {open_tag for open_tag in self._open_tags if open_tag <= tag}
            if frame.method.multiple
            else {tag}
        )
        if not self._open_tags:
            self._all_confirmed.set()
