"""The former floor of the API, with request threads: Flask under granian, typed decoding, a durable
publish with windowed confirms, 202. Nothing else.

    BENCH_AMQP_URL=amqp://… granian --interface wsgi benchmarks.threads_api:app \\
        --workers 1 --blocking-threads 16

Request threads pass their bodies to one thread, which publishes all that wait and receives many
confirms at a time. Measured with `--threads`, once; see `threads_processes`.
"""

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable
from functools import cache
from typing import Any

import pika
import uvloop
from flask import Flask, Response, request

from benchmarks.floor_events import QUEUE, read_event
from benchmarks.one_write import OneWrite

_CONFIRM_LIMIT_S = 10.0
_PROPERTIES = pika.BasicProperties(delivery_mode=2, content_type="application/json")


class Confirmation:
    """A confirmation that another thread sets, cheaper than a Future with its condition."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        self._lock.release()

    def wait(self, limit_s: float) -> None:
        if not self._lock.acquire(timeout=limit_s):
            raise TimeoutError


class Publisher:
    """A publisher with one connection, in a thread with its own event loop."""

    def __init__(self, url: str) -> None:
        self._waiting: deque[tuple[bytes, Confirmation]] = deque()
        self._woken = False
        self._unconfirmed: dict[int, Confirmation] = {}
        self._last_tag, self._lowest_open_tag = 0, 1
        self._loop = uvloop.new_event_loop()
        self._ready = threading.Event()
        threading.Thread(target=self._run, args=(url,), daemon=True).start()
        self._ready.wait(_CONFIRM_LIMIT_S)

    def publish(self, body: bytes) -> Confirmation:
        """Publish from any thread. The confirmation is set once the broker has confirmed."""
        confirmation = Confirmation()
        self._waiting.append((body, confirmation))
        # A lost race wakes the loop once too often, never too seldom: `_flush` lowers the flag
        # first.
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._flush)
        return confirmation

    def _run(self, url: str) -> None:
        asyncio.set_event_loop(self._loop)
        self._connection = OneWrite(
            pika.URLParameters(url), on_open_callback=self._opened, custom_ioloop=self._loop
        )
        self._loop.run_forever()

    def _opened(self, connection: OneWrite) -> None:
        connection.channel(on_open_callback=self._ask_for_confirms)

    def _ask_for_confirms(self, channel: Any) -> None:
        self._channel = channel
        channel.confirm_delivery(self._confirmed, callback=lambda _ok: self._ready.set())

    def _confirmed(self, frame: Any) -> None:
        tag, multiple = frame.method.delivery_tag, frame.method.multiple
        if not isinstance(frame.method, pika.spec.Basic.Ack):
            raise RuntimeError("the broker refused an event")  # noqa: TRY004 - no wrong type
        for confirmed in range(self._lowest_open_tag, tag + 1) if multiple else (tag,):
            if confirmation := self._unconfirmed.pop(confirmed, None):
                confirmation.set()
        if multiple or tag == self._lowest_open_tag:
            self._lowest_open_tag = tag + 1

    def _flush(self) -> None:
        self._woken = False
        with self._connection.one_write():
            while self._waiting:
                body, confirmation = self._waiting.popleft()
                self._last_tag += 1
                self._unconfirmed[self._last_tag] = confirmation
                self._channel.basic_publish(QUEUE, "message.received", body, _PROPERTIES)


@cache
def _publisher() -> Publisher:
    """Return the publisher, which the first request creates. granian forks its workers after the
    import, and threads do not survive a fork.
    """
    return Publisher(os.environ["BENCH_AMQP_URL"])


flask_app = Flask(__name__)
_starting = threading.Lock()


@flask_app.post("/v1/events")
def accept() -> Response:
    event = read_event(request.get_data())
    with _starting:
        publisher = _publisher()
    publisher.publish(event.message).wait(_CONFIRM_LIMIT_S)
    return Response(event.answer, 202, content_type="application/json")


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Answer in one piece, as granian streams an iterator through more hops than a list."""
    answer = flask_app(environ, start_response)
    try:
        return [b"".join(answer)]
    finally:
        answer.close()  # type: ignore[attr-defined]  # Werkzeug's iterator has it
