"""Bytes as a broker sends them, and connections to no broker that read them: ours, and pika's."""

import asyncio
import struct
from collections.abc import Iterable, Sequence
from itertools import pairwise

import pika
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.connection import Connection
from pika.spec import Basic

from exchange.rabbit.connection import OneWrite
from exchange.rabbit.reading import Message

CONSUMER = "ctag1.0123456789abcdef"
HEARTBEAT = pika.frame.Heartbeat().marshal()


class Wire:
    """A transport that keeps what it is given to write."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data


class Reader:
    """A connection with a channel and a consumer on it, what that consumer was given, and whether
    that was read at once.
    """

    def __init__(self, kind: type[AsyncioConnection]) -> None:
        loop = asyncio.new_event_loop()
        self.connection = kind(
            pika.ConnectionParameters(), custom_ioloop=loop, internal_connection_workflow=False
        )
        loop.close()
        self.wire = self.connection._transport = Wire()
        self.connection._opened = True
        self.connection.connection_state = Connection.CONNECTION_OPEN
        self.given: list[tuple[object, ...]] = []
        self.at_once: list[bool] = []
        self.channel = self.connection.channel(on_open_callback=lambda _channel: None)
        self.read(method(pika.spec.Channel.OpenOk()))
        self.channel.basic_consume("q", self.take, consumer_tag=CONSUMER)
        self.read(method(Basic.ConsumeOk(CONSUMER)))

    def take(self, channel: object, delivery: object, properties: object, body: bytes) -> None:
        assert channel is self.channel
        seen = (delivery.delivery_tag, properties.message_id, properties.headers, body)
        self.given.append(seen)
        self.at_once.append(isinstance(delivery, Message))

    def read(self, data: bytes, cuts: Iterable[int] = ()) -> None:
        for start, end in pairwise([0, *sorted(cuts), len(data)]):
            self.connection._on_data_available(data[start:end])

    def state(self) -> tuple[object, ...]:
        """All that reading changes."""
        connection = self.connection
        return (
            self.given,
            self.wire.written,
            connection.bytes_received,
            connection.frames_received,
            connection._frame_buffer,
            self.channel.consumer_tags,
        )


def method(made: pika.amqp_object.Method, channel: int = 1) -> bytes:
    return pika.frame.Method(channel, made).marshal()


def content(
    body: bytes,
    properties: pika.BasicProperties | None = None,
    channel: int = 1,
    frame_bytes: int = 100_000,
) -> bytes:
    """The frames of a header and a body."""
    header = pika.frame.Header(channel, len(body), properties or pika.BasicProperties())
    parts = [body[at : at + frame_bytes] for at in range(0, len(body), frame_bytes)]
    return header.marshal() + b"".join(pika.frame.Body(channel, part).marshal() for part in parts)


def delivery(tag: int = 1, consumer: str = CONSUMER, channel: int = 1) -> bytes:
    """The first frame of a message."""
    return method(Basic.Deliver(consumer, tag, tag % 2 == 0, "ringback.events", "a.b"), channel)


def message(
    body: bytes = b"body", properties: pika.BasicProperties | None = None, tag: int = 1
) -> bytes:
    """The frames of a message that is for the consumer."""
    return delivery(tag) + content(body, properties)


def with_table(table: bytes) -> bytes:
    """The frames of a message with this table of headers."""
    payload = struct.pack(">HxxQH", 60, 4, pika.BasicProperties.FLAG_HEADERS)
    payload += struct.pack(">I", len(table)) + table
    header = struct.pack(">BHI", 2, 1, len(payload)) + payload + b"\xce"
    return delivery() + header + pika.frame.Body(1, b"body").marshal()


def agree(data: bytes, cuts: Sequence[int] = ()) -> Reader:
    """Read it in both ways, and find no difference."""
    ours, theirs = Reader(OneWrite), Reader(AsyncioConnection)
    theirs.read(data)
    ours.read(data, cuts)
    assert ours.state() == theirs.state()
    return ours
