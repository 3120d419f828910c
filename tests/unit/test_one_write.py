"""The one place where we reach into pika: it must not change unnoticed."""

import asyncio
import contextlib
import inspect
import socket

import pika
import pytest
from pika.connection import Connection

from exchange.rabbit.connection import OneWrite, Services
from tests.kit.pipes import UNREADABLE

ACK_BYTES = 21
"""Frame header 7, method 4, delivery tag 8, flags 1, frame end 1."""


class Wire:
    """A transport that keeps what it is given to write, write by write."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def abort(self) -> None:
        self.aborted = True


@pytest.fixture
async def connection() -> OneWrite:
    """Connected to nothing but a wire."""
    made = OneWrite(
        pika.ConnectionParameters(),
        custom_ioloop=asyncio.get_running_loop(),
        internal_connection_workflow=False,
    )
    made._transport, made._opened = Wire(), True
    made._body_max_length = 100_000  # agreed upon with the broker when it answers
    return made


def acknowledge(connection: OneWrite, *tags: int) -> None:
    for tag in tags:
        connection._send_method(1, pika.spec.Basic.Ack(tag))


async def test_the_frames_of_a_block_are_written_at_once(connection: OneWrite) -> None:
    """Each write is a system call that gives the GIL away: a third of the throughput."""
    with connection.one_write():
        acknowledge(connection, 1, 2, 3)
        assert connection._transport.writes == []

    assert [len(write) for write in connection._transport.writes] == [3 * ACK_BYTES]


async def test_a_message_in_a_block_keeps_its_three_frames_in_order(connection: OneWrite) -> None:
    """Method, header and body go another way through pika than acknowledgements do."""
    publish = pika.spec.Basic.Publish(exchange="e", routing_key="k")
    with connection.one_write():
        connection._send_method(1, publish, (pika.BasicProperties(), b"body"))
        acknowledge(connection, 1)

    [written] = connection._transport.writes
    assert [frame[0] for frame in frames(written)] == [1, 2, 3, 1]


def frames(data: bytes) -> list[bytes]:
    """Split what was written: each frame is a type, a channel, a size, that many bytes and an end
    mark.
    """
    found = []
    while data:
        length = 7 + int.from_bytes(data[3:7], "big") + 1
        found.append(data[:length])
        data = data[length:]
    return found


async def test_messages_are_acknowledged_in_one_write(connection: OneWrite) -> None:
    """Without any there is none: an empty write is an error."""
    channel = connection._create_channel(1, lambda _channel: None)

    connection.acknowledge(channel, [])
    connection.acknowledge(channel, [1, 3])

    [written] = connection._transport.writes
    assert [int.from_bytes(frame[11:19], "big") for frame in frames(written)] == [1, 3]


async def test_outside_of_a_block_nothing_waits(connection: OneWrite) -> None:
    """Heartbeats and handshakes are sent when they are due."""
    acknowledge(connection, 1)
    acknowledge(connection, 2)

    assert [len(write) for write in connection._transport.writes] == [ACK_BYTES, ACK_BYTES]


async def test_an_error_in_a_block_loses_no_frame(connection: OneWrite) -> None:
    """Half of a message would break the connection for all."""
    with contextlib.suppress(ZeroDivisionError), connection.one_write():
        acknowledge(connection, 1)
        raise ZeroDivisionError
    acknowledge(connection, 2)

    assert [len(write) for write in connection._transport.writes] == [ACK_BYTES, ACK_BYTES]


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"content_type": "application/json"},
        {"content_encoding": "utf-8", "content_type": "a/b"},
    ],
)
async def test_headers_that_pika_cannot_read_are_taken_for_none(
    connection: OneWrite, other: dict[str, str]
) -> None:
    """The rest of the frame is kept: the event's id may stand there;
    and what follows is read on.
    """
    properties = pika.BasicProperties(message_id="evt_1", headers={"sent": UNREADABLE}, **other)
    heartbeat = pika.frame.Heartbeat().marshal()
    connection._frame_buffer = pika.frame.Header(1, 7, properties).marshal() + heartbeat

    length, read = connection._read_frame()

    assert connection._frame_buffer[length:] == heartbeat
    assert (read.channel_number, read.body_size) == (1, 7)
    assert read.properties == pika.BasicProperties(message_id="evt_1", headers={}, **other)


async def test_what_is_no_frame_still_ends_the_connection(connection: OneWrite) -> None:
    """The frames after it could not be distinguished."""
    frame = pika.frame.Header(1, 7, pika.BasicProperties(message_id="evt_1")).marshal()
    connection._frame_buffer = frame[:-1] + b"\0"

    with pytest.raises(pika.exceptions.InvalidFrameError):
        connection._read_frame()


async def test_an_abort_ends_the_stream_once_without_a_goodbye(connection: OneWrite) -> None:
    """A frozen broker would never answer one."""
    connection.connection_state = Connection.CONNECTION_OPEN

    connection.abort("silent")
    connection._transport.aborted = False
    connection.abort("again")

    assert not connection._transport.writes
    assert not connection._transport.aborted
    assert str(connection._error) == "silent"


def test_pika_still_has_what_we_override_and_call() -> None:
    """A rename would switch the gathering off unnoticed."""
    assert list(inspect.signature(Connection._output_marshaled_frames).parameters) == [
        "self",
        "marshaled_frames",
    ]
    assert list(inspect.signature(Connection._read_frame).parameters) == ["self"]
    assert list(inspect.signature(Connection._terminate_stream).parameters) == ["self", "error"]


async def test_a_connection_that_is_reset_as_it_is_made_fails_like_any_other() -> None:
    """pika raises then in a callback of the loop, which ended the dispatcher: met once in 200
    kills.
    """
    loop = asyncio.get_running_loop()
    lost: asyncio.Future[object] = loop.create_future()
    mistakes: list[dict[str, object]] = []
    loop.set_exception_handler(lambda _, context: mistakes.append(context))

    with socket.socket() as sock:  # not connected: what is left of a connection that was reset
        sock.setblocking(False)
        loop.call_soon(
            lambda: Services(loop).create_streaming_connection(lambda: None, sock, lost.set_result)
        )
        error = await asyncio.wait_for(lost, 5)

    assert isinstance(error, ConnectionResetError)
    assert mistakes == []
