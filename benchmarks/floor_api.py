"""The floor of the API, on one event loop: Flask under granian's RSGI, typed decoding, a durable
publish with windowed confirms, 202. Nothing else.

    BENCH_AMQP_URL=amqp://… granian --interface rsgi --loop uvloop --no-ws \\
        benchmarks.floor_api:app --workers 1

Flask runs inside the loop (some 80 µs), so no thread waits for a confirm, and the GIL stays where
it is. What came in one turn of the loop is published in one write, and many confirms come in one
frame. With `floor` behind it this is the bare way from a POST to a webhook.
"""

import asyncio
import os
from typing import Any

import pika
from flask import Flask, Response

from benchmarks.floor_events import QUEUE, read_event
from benchmarks.floor_flask import (
    IS_BARE,
    Exchange,
    Scope,
    accepted_after,
    answer_barely,
    answer_by_flask,
    body_of_request,
)
from benchmarks.one_write import OneWrite

_PROPERTIES = pika.BasicProperties(delivery_mode=2, content_type="application/json")


class Publisher:
    """A publisher with one connection, on the loop that also answers."""

    def __init__(self, url: str, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._unconfirmed: dict[int, asyncio.Future[None]] = {}
        self._last_tag, self._lowest_open_tag = 0, 1
        self._channel: Any = None
        self._connection = OneWrite(
            pika.URLParameters(url), on_open_callback=self._opened, custom_ioloop=loop
        )

    def publish(self, body: bytes) -> asyncio.Future[None]:
        """Publish with all that comes in this turn of the loop. Done once the broker confirms."""
        promise = self._loop.create_future()
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append((body, promise))
        return promise

    def _opened(self, connection: OneWrite) -> None:
        connection.channel(on_open_callback=self._ask_for_confirms)

    def _ask_for_confirms(self, channel: Any) -> None:
        def ready(_ok: object) -> None:
            self._channel = channel
            self._flush()

        channel.confirm_delivery(self._confirmed, callback=ready)

    def _confirmed(self, frame: Any) -> None:
        tag, multiple = frame.method.delivery_tag, frame.method.multiple
        if not isinstance(frame.method, pika.spec.Basic.Ack):
            raise RuntimeError("the broker refused an event")  # noqa: TRY004 - no wrong type
        for confirmed in range(self._lowest_open_tag, tag + 1) if multiple else (tag,):
            # Done already: its client has gone, and granian has cancelled its request.
            if (promise := self._unconfirmed.pop(confirmed, None)) and not promise.done():
                promise.set_result(None)
        if multiple or tag == self._lowest_open_tag:
            self._lowest_open_tag = tag + 1

    def _flush(self) -> None:
        if self._channel is None:
            return  # `ready` comes here again
        waiting, self._waiting = self._waiting, []
        with self._connection.one_write():
            for body, promise in waiting:
                self._last_tag += 1
                self._unconfirmed[self._last_tag] = promise
                self._channel.basic_publish(QUEUE, "message.received", body, _PROPERTIES)


class App:
    """What granian runs: a Flask application that answers on the loop of its worker."""

    def __init__(self) -> None:
        self._flask = Flask(__name__)
        self._flask.post("/v1/events")(self._accept)

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._publisher = Publisher(os.environ["BENCH_AMQP_URL"], loop)

    async def __rsgi__(self, scope: Scope, exchange: Exchange) -> None:
        if not IS_BARE:
            await answer_by_flask(self._flask, scope, exchange)
            return
        event = read_event(await exchange())
        await self._publisher.publish(event.message)
        answer_barely(exchange, event.answer)

    def _accept(self) -> Response:
        event = read_event(body_of_request())
        return accepted_after(self._publisher.publish(event.message), event.answer)


app = App()
