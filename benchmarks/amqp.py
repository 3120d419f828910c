"""The queues of floor and Ringback as a backend sees them: declare, fill, and wait until all is in.

Called by the pipelines before a run. Ringback's topology is declared by `ringback migrate`, the floor's here.
"""

import asyncio
import time
import uuid
from dataclasses import dataclass
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel

from benchmarks import events
from benchmarks.floor_events import QUEUE
from benchmarks.one_write import OneWrite

_FILL_LIMIT_S = 60.0
_AT_ONCE = 500
"""Messages per socket write. Fewer: slower; more: nothing gained."""
_PROPERTIES = {"delivery_mode": 2, "content_type": "application/json"}


@dataclass(frozen=True)
class Route:
    """Where events are published, and where they then wait."""

    exchange: str
    queue: str


FLOOR = Route(QUEUE, QUEUE)
RINGBACK = Route("ringback.events", "ringback.dispatch")


def declare_floor(url: str) -> None:
    """The floor's exchange and queue, empty."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.exchange_declare(FLOOR.exchange, "topic", durable=True)
        channel.queue_declare(FLOOR.queue, durable=True, arguments={"x-queue-type": "quorum"})
        channel.queue_bind(FLOOR.queue, FLOOR.exchange, "#")
        channel.queue_purge(FLOOR.queue)


def fill(url: str, route: Route, count: int) -> None:
    """Publish `count` new events; returns when the queue holds them all. Raises TimeoutError."""
    asyncio.run(_publish(url, route, count))
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        _wait_until_held(connection.channel(), route.queue, count)


async def _publish(url: str, route: Route, count: int) -> None:
    """Without confirms: the queue's depth tells afterwards whether all came."""
    loop, run = asyncio.get_running_loop(), uuid.uuid4().hex[:12]
    opened: asyncio.Future[Any] = loop.create_future()
    closed = asyncio.Event()
    connection = OneWrite(
        pika.URLParameters(url),
        on_open_callback=lambda connection: connection.channel(on_open_callback=opened.set_result),
        on_close_callback=lambda _connection, _reason: closed.set(),
        custom_ioloop=loop,
    )
    channel = await opened
    for first in range(0, count, _AT_ONCE):
        with connection.one_write():
            for number in range(first, min(first + _AT_ONCE, count)):
                _publish_one(channel, route, f"evt_{run}{number}", number)
        await asyncio.sleep(0)
    connection.close()
    await closed.wait()


def _publish_one(channel: Any, route: Route, event_id: str, number: int) -> None:
    body = events.published(event_id, number, time.time())
    channel.basic_publish(route.exchange, "message.received", body, pika.BasicProperties(message_id=event_id, **_PROPERTIES))


def _wait_until_held(channel: BlockingChannel, queue: str, count: int) -> None:
    end = time.monotonic() + _FILL_LIMIT_S
    while (held := channel.queue_declare(queue, passive=True).method.message_count) < count:
        if time.monotonic() > end:
            raise TimeoutError(f"{queue} holds {held} of {count} events after {_FILL_LIMIT_S:g} s")
        time.sleep(0.1)
