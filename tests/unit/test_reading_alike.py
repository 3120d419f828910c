"""Reading whole messages changes nothing else of a connection: what is broken, cancelled or closed,
and what pika counts.
"""

import inspect
import struct
from collections.abc import Sequence

import pika
import pytest
from pika import BasicProperties as Properties
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.adapters.base_connection import BaseConnection
from pika.adapters.utils.io_services_utils import _AsyncTransportBase
from pika.connection import Connection
from pika.exceptions import BodyTooLongError, InvalidFrameError
from pika.heartbeat import HeartbeatChecker
from pika.spec import Basic

from exchange.rabbit.connection import RECEIVED_BYTES, OneWrite, WholeMessages
from exchange.rabbit.reading import message_at
from tests.kit.amqp_bytes import CONSUMER, Reader, content, delivery, message, method


@pytest.mark.parametrize("position", [-1, len(delivery()) - 1, -len(content(b"body")[-12:]) - 1])
def test_a_frame_without_its_end_mark_ends_the_connection(position: int) -> None:
    """The frames after it could not be distinguished."""
    broken = bytearray(message())
    assert broken[position] == 0xCE
    broken[position] = 0

    for kind in (OneWrite, AsyncioConnection):
        with pytest.raises(InvalidFrameError):
            Reader(kind).read(bytes(broken))


def outcome(kind: type[AsyncioConnection], data: bytes, cuts: Sequence[int] = ()) -> object:
    """What reading it changed, or its error."""
    reader = Reader(kind)
    try:
        reader.read(data, cuts)
    except (InvalidFrameError, LookupError, AttributeError, BodyTooLongError) as error:
        return repr(error)
    return reader.state()


@pytest.mark.parametrize("data", [b"AMQP\0\0\x09\x01", b"HTTP/1.1 400 Bad Request"])
@pytest.mark.parametrize("cut", [0, 1, 5, 7])
def test_what_is_no_frame_at_all_is_judged_by_pika(data: bytes, cut: int) -> None:
    """A broker of another version, or no broker, has answered."""
    assert outcome(OneWrite, data, [cut]) == outcome(AsyncioConnection, data, [cut])


def header(payload: bytes) -> bytes:
    return struct.pack(">BHI", 2, 1, len(payload)) + payload + b"\xce"


BODY = pika.frame.Body(1, b"body").marshal()
ID = b"\x05evt_1"
UNUSUAL = {
    "a header on another channel": delivery()
    + pika.frame.Header(2, 4, Properties()).marshal()
    + BODY,
    "a body on another channel": delivery()
    + content(b"body")[: -len(BODY)]
    + pika.frame.Body(2, b"body").marshal(),
    "a body that is too long": delivery() + pika.frame.Header(1, 3, Properties()).marshal() + BODY,
    "a body in two frames": delivery() + pika.frame.Header(1, 8, Properties()).marshal() + 2 * BODY,
    "a header of another class": delivery()
    + header(struct.pack(">HxxQHI", 61, 4, Properties.FLAG_HEADERS, 0))
    + BODY,
    "two words of flags": delivery()
    + header(struct.pack(">HxxQHH", 60, 4, Properties.FLAG_MESSAGE_ID | 1, 0x0700) + ID)
    + BODY,
    "more than its properties": delivery()
    + header(struct.pack(">HxxQH", 60, 4, Properties.FLAG_MESSAGE_ID) + ID + b"more")
    + BODY,
    "a returned message": method(Basic.Return(312, "NO_ROUTE", "e", "k")) + content(b"body"),
    "a message that was asked for": method(Basic.GetOk(1, False, "e", "k", 0)) + content(b"body"),
    "a body like a method": pika.frame.Body(1, delivery()[7:-1]).marshal() + content(b"body"),
}


@pytest.mark.parametrize("data", UNUSUAL.values(), ids=UNUSUAL)
def test_what_is_no_message_in_its_common_form_is_judged_by_pika(data: bytes) -> None:
    """It is delivered or refused as it was before."""
    assert message_at(data, 0) is None
    assert outcome(OneWrite, data) == outcome(AsyncioConnection, data)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_what_still_comes_for_a_cancelled_consumer_goes_back(at: int) -> None:
    """Also in the middle of a read: the window is closed by the message that fills it."""
    readers = Reader(OneWrite), Reader(AsyncioConnection)
    for reader in readers:

        def cancel(
            channel: object, sent: object, _properties: object, body: bytes, reader: Reader = reader
        ) -> None:
            reader.given.append((sent.delivery_tag, body))
            if len(reader.given) == at:
                channel.basic_cancel(CONSUMER, lambda _frame: None)

        reader.channel._consumers[CONSUMER] = cancel
        if at == 0:
            reader.channel.basic_cancel(CONSUMER, lambda _frame: None)
        reader.read(b"".join(message(tag=tag) for tag in (1, 2, 3)))

    ours, theirs = readers
    assert len(ours.given) == at
    assert ours.wire.written.endswith(method(Basic.Reject(3)))
    assert ours.state() == theirs.state()


@pytest.mark.parametrize("closed_by", ["us", "the broker"])
def test_a_channel_that_is_closed_gives_nothing_more(closed_by: str) -> None:
    """Its messages have gone back to the queue."""
    readers = Reader(OneWrite), Reader(AsyncioConnection)
    for reader in readers:
        if closed_by == "us":
            reader.channel.close()
            reader.read(message())
            reader.read(method(pika.spec.Channel.CloseOk()))
        else:
            reader.read(method(pika.spec.Channel.Close(404, "gone", 0, 0)))
        reader.read(message())

    ours, theirs = readers
    assert not ours.given
    assert ours.state() == theirs.state()


def test_a_message_counts_as_a_sign_of_life() -> None:
    """A busy connection would be ended as silent: the broker sends no heartbeats meanwhile."""
    ours = Reader(OneWrite)
    ours.connection._adapter_call_later = lambda *_: None
    checker = HeartbeatChecker(ours.connection, 60)
    assert not checker._has_received_data

    ours.read(message())

    assert checker._has_received_data


def test_the_error_of_a_consumer_is_raised() -> None:
    """pika logs it and ends the connection, as it did before."""
    for kind in (OneWrite, AsyncioConnection):
        reader = Reader(kind)
        reader.channel._consumers[CONSUMER] = lambda *_: 1 / 0
        with pytest.raises(ZeroDivisionError):
            reader.read(message())


def test_a_socket_is_read_in_large_pieces() -> None:
    """In pieces of four kilobytes every fifth message would be cut, and read by pika."""
    asked: list[int] = []

    class Socket:
        def recv(self, size: int) -> bytes:
            asked.append(size)
            return b""

    class Transport(_AsyncTransportBase):
        def write(self, data: bytes) -> None:
            """Send nothing."""

    transport = Transport(Socket(), None, None)
    reader = Reader(OneWrite)
    reader.connection._on_stream_connected = lambda: None
    reader.connection._proto_connection_made(transport)

    with pytest.raises(OSError, match="EOF"):
        transport._consume()

    assert asked == [RECEIVED_BYTES]
    assert reader.connection._transport is transport


def test_pika_still_has_what_we_override_and_use() -> None:
    """A rename would switch the reading off unnoticed."""
    for owner, name, parameters in (
        (Connection, "_on_data_available", ["self", "data_in"]),
        (Connection, "_create_channel", ["self", "channel_number", "on_open_callback"]),
        (BaseConnection, "_proto_connection_made", ["self", "transport"]),
    ):
        assert list(inspect.signature(getattr(owner, name)).parameters) == parameters
    ours = Reader(OneWrite)
    assert isinstance(ours.channel, WholeMessages)
    assert (list(ours.channel._consumers), ours.channel._cancelled) == ([CONSUMER], set())
