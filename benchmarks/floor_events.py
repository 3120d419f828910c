"""What the floors share: the queue's name, an event read with typed decoding, its id and answer,
and a promise to wait for.

`floor_api` and `floor_embedded` read events in their request threads.
"""

import itertools
import os
import threading
import time
from typing import NamedTuple

import msgspec

QUEUE = "floor"
"""Of the topic exchange, and of the quorum queue bound to it."""


class _Content(msgspec.Struct):
    type: str


class _Message(msgspec.Struct):
    id: str
    conversation_id: str
    content: _Content


class _Channel(msgspec.Struct):
    id: str
    kind: str


class _Data(msgspec.Struct):
    message: _Message
    channel: _Channel


class _Posted(msgspec.Struct):
    type: str
    data: msgspec.Raw  # kept as the bytes that came


_decode_posted = msgspec.json.Decoder(_Posted).decode
_decode_data = msgspec.json.Decoder(_Data).decode
_numbers, _process = (
    itertools.count(time.time_ns()),
    os.urandom(8).hex(),
)  # an id without a system call, which would give up the GIL


class Accepted(NamedTuple):
    """An event on its way: `message` is what is stored and sent, `answer` the body of the 202."""

    event_id: str
    kind: str
    message: bytes
    answer: bytes


def read_event(body: bytes) -> Accepted:
    """Raises msgspec.DecodeError, which becomes a 500: the floor has no error answers."""
    posted = _decode_posted(body)
    _decode_data(posted.data)
    event_id = f"evt_{next(_numbers):016x}{_process}"
    name = event_id.encode()
    message = b'{"id":"%s","type":"%s","schema_version":"1","timestamp":"2026-11-22T10:00:00.000Z","data":%s}' % (
        name, posted.type.encode(), bytes(posted.data))  # fmt: skip
    return Accepted(event_id, posted.type, message, b'{"id":"%s","status":"accepted"}' % name)


class Promise:
    """A lock that another thread opens: cheaper than a Future with its condition."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def keep(self) -> None:
        self._lock.release()

    def wait(self, limit_s: float) -> None:
        if not self._lock.acquire(timeout=limit_s):
            raise TimeoutError
