"""One connection to RabbitMQ and one channel on it, with the topology declared: the only place that
knows pika.

Everything lives on an event loop and knows nothing of healing; `rabbit_link` makes a new one
whenever one is lost.
"""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, TypeAlias

import pika
from pika import spec
from pika.adapters.asyncio_connection import AsyncioConnection, _AsyncioIOServicesAdapter
from pika.exceptions import ChannelClosedByBroker, InvalidFrameError, StreamLostError
from pika.frame import Header

from exchange import topology
from exchange.broker_address import BrokerAddress, broker_addresses
from schemas.errors import UsageError

Channel: TypeAlias = Any  # pika ships no types
MethodFrame: TypeAlias = Any
Properties = pika.BasicProperties
Parameters: TypeAlias = pika.ConnectionParameters
_Done: TypeAlias = Callable[[object], None]

OPEN_LIMIT_S = 5.0
"""For one address: connect, log in, declare. Longer: a frozen node keeps us from the next address.
"""

CLOSE_LIMIT_S = 2.0

_PROPERTIES_AT = 12
"""In the payload of a content header frame (AMQP 0-9-1, section 4.2.6.1), after the class, a weight
and the size of the body.
"""


class OneWrite(AsyncioConnection):  # type: ignore[misc]  # pika ships no types
    """Writes once for many frames, and reads headers that pika cannot.

    pika hands every frame (three per message, one per acknowledgement) to the socket by a system
    call of its own, and each gives the GIL away. Overrides protected methods and calls another;
    `tests/unit/test_one_write.py` notices when pika changes them.
    """

    _gathered: list[bytes] | None = None
    aborted = False

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

    def _read_frame(self) -> tuple[int, Any]:
        """pika raises at a header value that Python has no word for (a time in milliseconds, NaN).
        That would end every connection that the message comes to, again and again: no other message
        would get past it.
        """
        try:
            read: tuple[int, Any] = super()._read_frame()
        except Exception as error:
            if isinstance(error, InvalidFrameError) or self._frame_buffer[0] != spec.FRAME_HEADER:
                raise
            return without_headers(self._frame_buffer)
        return read

    def abort(self, reason: str) -> None:
        """End it without a goodbye: a frozen or blocked broker would never answer one."""
        if not self.is_closed and not self.aborted:
            self.aborted = True
            self._terminate_stream(StreamLostError(reason))


def without_headers(frame: bytes) -> tuple[int, Header]:
    """A content header frame, at the beginning of these bytes, read as if its table of headers were
    empty; and its length.
    """
    _, channel, size = struct.unpack_from(">BHL", frame)
    payload = frame[spec.FRAME_HEADER_SIZE : spec.FRAME_HEADER_SIZE + size]
    body_size, flags = struct.unpack_from(">QH", payload, 4)
    table_at = _PROPERTIES_AT + 2
    for flag in (
        Properties.FLAG_CONTENT_TYPE,
        Properties.FLAG_CONTENT_ENCODING,
    ):  # these come before it: a length, and so many bytes
        table_at += 1 + payload[table_at] if flags & flag else 0
    (table_size,) = struct.unpack_from(">I", payload, table_at)
    properties = Properties()
    properties.decode(
        payload[_PROPERTIES_AT:table_at] + bytes(4) + payload[table_at + 4 + table_size :]
    )
    return spec.FRAME_HEADER_SIZE + size + spec.FRAME_END_SIZE, Header(
        channel, body_size, properties
    )


class Services(_AsyncioIOServicesAdapter):  # type: ignore[misc]  # pika ships no types
    """What pika asks of the event loop. A connection that is reset the moment it is made, by a
    broker that is just killed, makes pika raise in a callback of the loop, where nobody can handle
    it: it fails here like any other.
    """

    def create_streaming_connection(
        self, protocol_factory: Any, sock: Any, on_done: Any, *more: Any, **named: Any
    ) -> Any:
        try:
            return super().create_streaming_connection(
                protocol_factory, sock, on_done, *more, **named
            )
        except ValueError as error:  # it has closed the socket
            reset = ConnectionResetError(f"reset while connecting: {error}")
            return self.call_later(
                0, lambda: on_done(reset)
            )  # later, as pika expects; with a handle to cancel it by


class GivenUp(Exception):
    """The connection was given up: it is blocked, silent, or returned a message."""


def addresses(url: str, part: str) -> list[Parameters]:
    """The nodes of `RINGBACK_BROKER_URL` as connection parameters, in that order. Raises
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
        stack_timeout=OPEN_LIMIT_S,
        client_properties={"connection_name": f"ringback {part}"},
    )


@contextlib.asynccontextmanager
async def open_connection(parameters: Parameters) -> AsyncIterator[OneWrite]:
    """An open connection, closed at the end of the block; aborted when given up. Raises pika's
    AMQPError, OSError, TimeoutError.
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
        async with asyncio.timeout(OPEN_LIMIT_S):
            _raise(await opened)
        yield connection
    except GivenUp as error:
        connection.abort(str(error))
        raise
    finally:
        await _part(connection, gone)


async def _part(connection: OneWrite, gone: "asyncio.Future[Exception | None]") -> None:
    """Say goodbye if there is anybody to say it to, wait a moment for the answer, and end it
    anyway.
    """
    if connection.is_open and not connection.aborted:
        connection.close()
        await asyncio.wait([gone], timeout=CLOSE_LIMIT_S)
    if not gone.done():
        connection.abort("no goodbye")
        await asyncio.wait([gone], timeout=CLOSE_LIMIT_S)


async def declared_channel(connection: OneWrite, *, anew: bool = False) -> Channel:
    """A channel, and the topology stands: whatever is published now has a queue to go to. Raises
    pika's AMQPError.

    It is looked at, which takes no rights; what is missing is declared. Bound is what was declared,
    and `anew` everything: a binding that is gone cannot be seen.
    """
    if not anew:
        with contextlib.suppress(ChannelClosedByBroker):
            return await _channel(
                connection, lambda channel, done: _look_at(channel, topology.PARTS, done)
            )
    for part in topology.PARTS:
        await _ensure(connection, part, anew)
    return await _channel(connection, lambda channel, done: _look_at(channel, topology.PARTS, done))


async def _ensure(connection: OneWrite, part: topology.Declaration, anew: bool) -> None:
    """Each by itself: that another stands with other arguments, from an earlier version, is no
    hindrance.
    """
    try:
        channel = await _channel(connection, lambda channel, done: _look_at(channel, (part,), done))
        missing = False
    except ChannelClosedByBroker:
        channel = await _channel(connection, lambda channel, done: _declare(channel, part, done))
        missing = True
    channel.close()
    if isinstance(part, topology.QueueDeclaration) and (missing or anew):
        bound = await _channel(connection, lambda channel, done: _bind(channel, part, done))
        bound.close()


def _look_at(channel: Channel, parts: Sequence[topology.Declaration], done: _Done) -> None:
    for part in parts:
        ask = (
            channel.exchange_declare
            if isinstance(part, topology.ExchangeDeclaration)
            else channel.queue_declare
        )
        ask(part.name, passive=True, callback=done if part is parts[-1] else None)


def _declare(channel: Channel, part: topology.Declaration, done: _Done) -> None:
    if isinstance(part, topology.ExchangeDeclaration):
        channel.exchange_declare(part.name, part.kind, durable=True, callback=done)
    else:
        channel.queue_declare(
            part.name, durable=True, arguments=dict(part.arguments), callback=done
        )


def _bind(channel: Channel, queue: topology.QueueDeclaration, done: _Done) -> None:
    channel.queue_bind(queue.name, queue.exchange, queue.routing_key, callback=done)


async def _channel(connection: OneWrite, prepare: Callable[[Channel, _Done], None]) -> Channel:
    """The broker takes up the steps in order and closes the channel at one that it refuses, so only
    the last is answered.
    """
    loop = asyncio.get_running_loop()
    opened: asyncio.Future[Channel] = loop.create_future()
    connection.channel(on_open_callback=lambda channel: _resolve(opened, channel))
    channel = await opened
    declared: asyncio.Future[Exception | None] = loop.create_future()
    channel.add_on_close_callback(lambda _channel, why: _resolve(declared, why))
    prepare(channel, lambda _frame: _resolve(declared, None))
    _raise(await declared)
    return channel


def _resolve(future: "asyncio.Future[Any]", value: object, *others: "asyncio.Future[Any]") -> None:
    for one in (future, *others):
        if not one.done():
            one.set_result(value)


def _raise(error: Exception | None) -> None:
    if error is not None:
        raise error
