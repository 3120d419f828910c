"""One connection to RabbitMQ and one channel on it, with the topology declared. The only place that
knows pika.

Everything lives on an event loop, and nothing here heals: `reconnecting` opens a new connection
whenever one is lost.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import TypeAlias, TypeVar

import pika
from pika import spec
from pika.adapters.asyncio_connection import AsyncioConnection, _AsyncioIOServicesAdapter
from pika.channel import Channel
from pika.exceptions import ChannelClosedByBroker, InvalidFrameError, StreamLostError
from pika.frame import decode_frame

from exchange import topology
from exchange.broker_address import BrokerAddress, broker_addresses
from exchange.rabbit.channel import AmqpChannel, Done
from exchange.rabbit.declaring import bind, check, declare
from exchange.rabbit.reading import Message, acknowledgements, frame_end, read, without_headers
from schemas.errors import UsageError

_Value = TypeVar("_Value")
Properties = pika.BasicProperties
Parameters: TypeAlias = pika.ConnectionParameters

OPEN_TIMEOUT_S = 5.0
"""How long one address may take to connect, log in and declare. Longer: a frozen node delays the
next address. Shorter: a busy node seems frozen.
"""

CLOSE_TIMEOUT_S = 2.0
"""How long closing may take. Longer: a process that stops waits for a frozen broker. Shorter: a
busy broker logs a connection that was cut.
"""

RECEIVED_BYTES = 64 * 1024
"""How much is read from a socket at once. More: hardly faster, and more is copied. Less: more
system calls, and more messages that have not arrived whole, which are read by pika.
"""


class OneWrite(AsyncioConnection):  # type: ignore[misc]  # pika ships no types
    """A connection that writes once for many frames, reads a message at once, and reads headers
    that pika cannot.

    pika gives every frame (three per message, one per acknowledgement) to the socket by a system
    call of its own, each of which releases the GIL. This class overrides protected methods and uses
    others; `tests/unit/test_one_write.py` and `test_reading_alike.py` fail when pika changes them.
    """

    _frame_buffer: bytes
    _gathered: list[bytes] | None = None
    aborted = False
    """Whether `abort` was called."""

    def _output_marshaled_frames(self, marshaled_frames: Sequence[bytes]) -> None:
        if self._gathered is None:
            super()._output_marshaled_frames([b"".join(marshaled_frames)])
        else:
            self._gathered.extend(marshaled_frames)

    @contextlib.contextmanager
    def one_write(self) -> Iterator[None]:
        """Keep the frames of the block and send them together at its end."""
        self._gathered = []
        try:
            yield
        finally:
            frames, self._gathered = self._gathered, None
            if frames:
                super()._output_marshaled_frames([b"".join(frames)])

    def acknowledge(self, channel: AmqpChannel, delivery_tags: Sequence[int]) -> None:
        """Acknowledge messages of an open channel one by one, in one write."""
        if delivery_tags:
            self._output_marshaled_frames([acknowledgements(channel.channel_number, delivery_tags)])

    def _proto_connection_made(self, transport: object) -> None:
        # pika has no setting for it
        transport._MAX_RECV_BYTES = RECEIVED_BYTES  # type: ignore[attr-defined]  # noqa: SLF001
        super()._proto_connection_made(transport)

    def _on_data_available(self, data_in: bytes) -> None:
        """Read all that has arrived whole. pika is given what is no message frame by frame: it
        copies all that it has for each frame.
        """
        data, self._frame_buffer = self._frame_buffer + data_in, b""
        rest = read(data, self._consumed, super()._on_data_available)
        self._frame_buffer += rest  # pika may have kept what is no frame yet

    def _consumed(self, message: Message, size_bytes: int) -> bool:
        channel = self._channels.get(message.channel)
        if channel is None or not channel.deliver(message):
            return False
        self.frames_received += message.frames
        self.bytes_received += size_bytes
        return True

    def _create_channel(
        self, channel_number: int, on_open_callback: Callable[[AmqpChannel], None]
    ) -> "WholeMessages":
        return WholeMessages(self, channel_number, on_open_callback)

    def _read_frame(self) -> tuple[int, object]:
        """Read a frame, without its headers where pika cannot decode one (a time in milliseconds,
        NaN). It raises then, which would end every connection that the message comes to: no other
        message would get past it.
        """
        try:
            found: tuple[int, object] = super()._read_frame()
        except Exception as error:
            frame = self._frame_buffer[: frame_end(self._frame_buffer, 0)]
            if isinstance(error, InvalidFrameError) or frame[0] != spec.FRAME_HEADER:
                raise
            return len(frame), decode_frame(without_headers(frame))[1]
        return found

    def abort(self, reason: str) -> None:
        """End the connection without closing it: a frozen or blocked broker would never answer."""
        if not self.is_closed and not self.aborted:
            self.aborted = True
            self._terminate_stream(StreamLostError(reason))


class WholeMessages(Channel):  # type: ignore[misc]  # pika ships no types
    """A channel that is also given messages at once."""

    def deliver(self, message: Message) -> bool:
        """Give a message to its consumer. Return False if pika has to reject or drop it."""
        consumer = self._consumers.get(message.consumer)
        if consumer is None or message.consumer in self._cancelled:
            return False
        consumer(self, message, message, message.body)
        return True


class Services(_AsyncioIOServicesAdapter):  # type: ignore[misc]  # pika ships no types
    """What pika asks of the event loop.

    A connection that is reset the moment it is opened, by a broker that was just killed, makes pika
    raise in a callback of the loop, where nothing handles it. Here it fails like any other.
    """

    def create_streaming_connection(
        self,
        protocol_factory: object,
        sock: object,
        on_done: Callable[[Exception], None],
        *more: object,
        **named: object,
    ) -> object:
        """Connect a socket. `on_done` gets the error of a connection that fails."""
        try:
            return super().create_streaming_connection(
                protocol_factory, sock, on_done, *more, **named
            )
        except ValueError as error:  # it has closed the socket
            reset = ConnectionResetError(f"reset while connecting: {error}")
            # later, as pika expects, which may cancel it by the handle
            return self.call_later(0, lambda: on_done(reset))


class GivenUp(Exception):
    """The connection was given up: it is blocked, silent, or returned a message."""


def addresses(url: str, part: str) -> list[Parameters]:
    """Return the nodes of `RINGBACK_BROKER_URL` as connection parameters, in that order. Raises
    UsageError, without the password.
    """
    try:
        return [_parameters(address, part) for address in broker_addresses(url)]
    except ValueError as error:
        raise UsageError(f"RINGBACK_BROKER_URL: {error}") from None


def _parameters(address: BrokerAddress, part: str) -> Parameters:
    tls = address.tls
    return pika.ConnectionParameters(
        host=address.host,
        port=address.port,
        virtual_host=address.vhost,
        credentials=pika.PlainCredentials(address.user, address.password),
        ssl_options=None if tls is None else pika.SSLOptions(tls.context(), tls.server_name),
        heartbeat=address.heartbeat_s,
        stack_timeout=OPEN_TIMEOUT_S,
        client_properties={"connection_name": f"ringback {part}"},
    )


@contextlib.asynccontextmanager
async def open_connection(parameters: Parameters) -> AsyncIterator[OneWrite]:
    """Open a connection, and close it at the end of the block, or abort it after GivenUp. Raises
    pika's AMQPError, OSError, TimeoutError.
    """
    loop = asyncio.get_running_loop()
    opened: asyncio.Future[Exception | None] = loop.create_future()
    gone: asyncio.Future[Exception | None] = loop.create_future()
    connection = OneWrite(
        parameters,
        on_open_callback=lambda _connection: _resolve(opened, None),
        on_open_error_callback=lambda _connection, error: _resolve(opened, error, gone),
        on_close_callback=lambda _connection, error: _resolve(gone, error),
        custom_ioloop=Services(loop),
    )
    try:
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            _raise(await opened)
        yield connection
    except GivenUp as error:
        connection.abort(str(error))
        raise
    finally:
        await _close(connection, gone)


async def _close(connection: OneWrite, gone: "asyncio.Future[Exception | None]") -> None:
    """Close a connection if it is open, wait a moment for the answer, and end it anyway."""
    if connection.is_open and not connection.aborted:
        connection.close()
        await asyncio.wait([gone], timeout=CLOSE_TIMEOUT_S)
    if not gone.done():
        connection.abort("closing was not answered")
        await asyncio.wait([gone], timeout=CLOSE_TIMEOUT_S)


async def declared_channel(connection: OneWrite, *, redeclare: bool = False) -> AmqpChannel:
    """Open a channel, on which everything that is published has a queue to go to. Raises pika's
    AMQPError.

    The topology is checked, which takes no rights, and what is missing is declared and bound. With
    `redeclare` everything is bound again: a missing binding cannot be seen.
    """
    if not redeclare:
        with contextlib.suppress(ChannelClosedByBroker):
            return await _channel(
                connection, lambda channel, done: check(channel, topology.PARTS, done)
            )
    for part in topology.PARTS:
        await _ensure(connection, part, redeclare)
    return await _channel(connection, lambda channel, done: check(channel, topology.PARTS, done))


async def _ensure(connection: OneWrite, part: topology.Declaration, rebind: bool) -> None:
    """Declare a part if it is missing. Each part has a channel of its own: another part may exist
    with other arguments, from an earlier version, and close its channel.
    """
    try:
        channel = await _channel(connection, lambda channel, done: check(channel, (part,), done))
        missing = False
    except ChannelClosedByBroker:
        channel = await _channel(connection, lambda channel, done: declare(channel, part, done))
        missing = True
    channel.close()
    if isinstance(part, topology.QueueDeclaration) and (missing or rebind):
        bound = await _channel(connection, lambda channel, done: bind(channel, part, done))
        bound.close()


async def _channel(
    connection: OneWrite, prepare: Callable[[AmqpChannel, Done], None]
) -> AmqpChannel:
    """Open and prepare a channel. The broker does the steps in order, and closes the channel at one
    that it refuses, so only the last needs an answer.
    """
    loop = asyncio.get_running_loop()
    opened: asyncio.Future[AmqpChannel] = loop.create_future()
    connection.channel(on_open_callback=lambda channel: _resolve(opened, channel))
    channel = await opened
    declared: asyncio.Future[Exception | None] = loop.create_future()
    channel.add_on_close_callback(lambda _channel, why: _resolve(declared, why))
    prepare(channel, lambda _frame: _resolve(declared, None))
    _raise(await declared)
    return channel


def _resolve(
    future: "asyncio.Future[_Value]", value: _Value, *others: "asyncio.Future[_Value]"
) -> None:
    for waited in (future, *others):
        if not waited.done():
            waited.set_result(value)


def _raise(error: Exception | None) -> None:
    if error is not None:
        raise error
