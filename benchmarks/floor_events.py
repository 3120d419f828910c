"""What the floors share: the queue's name, and an event read with typed decoding, its id and
answer.

`floor_api` and `floor_embedded` read events in their event loop.
"""

import itertools
import os
import time
from typing import NamedTuple

import msgspec

QUEUE = "floor"
"""The name of the topic exchange, and of the quorum queue bound to it."""


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
    data: msgspec.Raw  # the bytes as they came


_decode_posted = msgspec.json.Decoder(_Posted).decode
_decode_data = msgspec.json.Decoder(_Data).decode
# For an id without a system call, which would release the GIL.
_numbers, _process = itertools.count(time.time_ns()), os.urandom(8).hex()


class Accepted(NamedTuple):
    """An event on its way: `message` is what is stored and sent, `answer` the body of the 202."""

    event_id: str
    event_type: str
    message: bytes
    answer: bytes


def read_event(body: bytes) -> Accepted:
    """Read an event. Raises msgspec.DecodeError, which becomes a 500: the floor has no error
    answers.
    """
    posted = _decode_posted(body)
    _decode_data(posted.data)
    event_id = f"evt_{next(_numbers):016x}{_process}"
    name = event_id.encode()
    head = b'{"id":"%s","type":"%s","schema_version":"1",' % (name, posted.type.encode())
    message = head + b'"timestamp":"2026-11-22T10:00:00.000Z","data":%s}' % bytes(posted.data)
    return Accepted(event_id, posted.type, message, b'{"id":"%s","status":"accepted"}' % name)
