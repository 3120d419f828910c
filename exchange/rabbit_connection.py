"""A connection to RabbitMQ that heals: the only place that knows pika.

`Link` keeps one connection with one channel alive on an event loop, trying several addresses in turn, and declares the
topology whenever it has connected. What is done on the channel is its user's: `rabbit_confirms` publishes, `rabbit_source`
consumes. A connection does one or the other: RabbitMQ stops reading from one that publishes too much, acknowledgements included.
"""

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, TypeAlias

import pika
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.exceptions import AMQPError, StreamLostError

from exchange import topology
from schemas.errors import UsageError
from schemas.reports import Observer

Channel: TypeAlias = Any  # pika ships no types
MethodFrame: TypeAlias = Any
Properties = pika.BasicProperties

HEARTBEAT_S = 15
"""A peer that vanished without a word is noticed after this and five seconds more. Shorter: a busy process is taken for a dead one."""

OPEN_LIMIT_S = 5.0
"""For one address: connect, log in, declare. Longer: a frozen node keeps us from the next address."""

CLOSE_LIMIT_S = 2.0

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 5.0


class OneWrite(AsyncioConnection):  # type: ignore[misc]  # pika ships no types
    """Writes once for many frames.

    pika hands every frame (three per message, one per acknowledgement) to the socket by a system call of its own, and each
    gives the GIL away. Overrides a protected method and calls another; `tests/unit/test_one_write.py` notices when pika changes them.
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

    def abort(self, reason: str) -> None:
        """End it without a goodbye: a frozen or blocked broker would never answer one."""
        if not self.is_closed and not self.aborted:
            self.aborted = True
            self._terminate_stream(StreamLostError(reason))


class _Lost(Exception):
    """The connection was given up: it is blocked, silent, or returned a message."""


class Link:
    """One connection with one channel, made again and again until closed. Lives on the event loop's thread.

    `opened(channel)` is called with each new channel, `lost(reason)` when that one is no more. `generation` counts channels:
    what belongs to an older one (confirms, acknowledgements) means nothing any more.
    """

    def __init__(self, url: str, part: str, observer: Observer, opened: Callable[[Channel], None], lost: Callable[[str], None]):
        self._addresses = addresses(url, part)
        self._part, self._observer = part, observer
        self._opened, self._lost = opened, lost
        self._task: asyncio.Task[None] | None = None
        self._ended: asyncio.Future[None] | None = None
        self._failures = 0
        self.channel: Channel | None = None
        self.generation = 0

    def start(self) -> None:
        """On the running event loop. Returns at once, whether or not a broker answers."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def drop(self, reason: str) -> None:
        """Give this connection up, without a goodbye, and make another."""
        self._end(_Lost(reason))

    def renew(self) -> None:
        """Close the channel, which gives back what it holds, and open another on the same connection."""
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        for parameters in itertools.cycle(self._addresses):
            try:
                async with _connection(parameters) as connection:
                    await self._use(connection)
            except (AMQPError, OSError, TimeoutError, _Lost) as error:
                self._failures += 1
                pause_s = pause_after(self._failures - len(self._addresses), _random.random())
                self._note("broker lost", parameters, reason=_text(error), pause_s=round(pause_s, 3))
                await asyncio.sleep(pause_s)

    async def _use(self, connection: OneWrite) -> None:
        """Channel after channel, until the connection is lost."""
        connection.add_on_connection_blocked_callback(lambda _connection, _frame: self.drop("blocked: short of memory or disk"))
        while True:
            async with asyncio.timeout(OPEN_LIMIT_S):
                channel = await _declared_channel(connection)
            self._failures = 0
            self._note("broker connected", connection.params)
            await self._until_ended(channel)
            channel.close()

    async def _until_ended(self, channel: Channel) -> None:
        self._ended = asyncio.get_running_loop().create_future()
        channel.add_on_close_callback(lambda _channel, why: self._end(why))
        channel.add_on_cancel_callback(lambda _frame: self.drop("the queue is gone"))
        self.channel, self.generation = channel, self.generation + 1
        reason = "closed"
        try:
            self._opened(channel)
            await self._ended
        except (AMQPError, _Lost) as error:
            reason = _text(error)
            raise
        finally:
            self.channel = None
            self._lost(reason)

    def _end(self, why: Exception) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_exception(why)

    def _note(self, what: str, parameters: pika.ConnectionParameters, **fields: object) -> None:
        self._observer.note(what, part=self._part, address=f"{parameters.host}:{parameters.port}", **fields)


def addresses(url: str, part: str) -> list[pika.ConnectionParameters]:
    """`amqp://…;amqp://…` as connection parameters, in that order. Raises UsageError, without the password."""
    found = []
    for one in filter(None, (part.strip() for part in url.split(";"))):
        parameters = _parameters(one)
        parameters.heartbeat = HEARTBEAT_S
        parameters.stack_timeout = OPEN_LIMIT_S
        parameters.client_properties = {"connection_name": f"ringback {part}"}
        found.append(parameters)
    if not found:
        raise UsageError("RINGBACK_BROKER_URL: is empty")
    return found


def _parameters(url: str) -> pika.ConnectionParameters:
    with contextlib.suppress(ValueError, TypeError, IndexError):
        if url.startswith(("amqp://", "amqps://")):
            return pika.URLParameters(url)
    raise UsageError("RINGBACK_BROKER_URL: each address reads like amqp://user:password@host:5672/, separated by ;")


def pause_after(rounds: int, chance: float) -> float:
    """Seconds to wait after so many rounds in vain; zero or less: other addresses are still to be tried.

    Doubles from a quarter of a second to five, and of that half to all by `chance` (0 to 1): without jitter a hundred processes
    would knock at a restarted broker in step.
    """
    if rounds < 0:
        return 0.0
    longest: float = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(rounds, 10))
    return longest * (1 + chance) / 2


@contextlib.asynccontextmanager
async def _connection(parameters: pika.ConnectionParameters) -> AsyncIterator[OneWrite]:
    """An open connection, closed at the end of the block; aborted when given up. Raises AMQPError, OSError, TimeoutError."""
    loop = asyncio.get_running_loop()
    opened: asyncio.Future[Exception | None] = loop.create_future()
    gone: asyncio.Future[Exception | None] = loop.create_future()
    connection = OneWrite(
        parameters,
        on_open_callback=lambda _connection: _resolve(opened, None),
        on_open_error_callback=lambda _connection, error: _resolve(opened, error, gone),
        on_close_callback=lambda _connection, error: _resolve(gone, error),
        custom_ioloop=loop,
    )
    try:
        async with asyncio.timeout(OPEN_LIMIT_S):
            _raise(await opened)
        yield connection
    except _Lost as error:
        connection.abort(str(error))
        raise
    finally:
        await _part(connection, gone)


async def _part(connection: OneWrite, gone: "asyncio.Future[Exception | None]") -> None:
    """Say goodbye if there is anybody to say it to, wait a moment for the answer, and end it anyway."""
    if connection.is_open and not connection.aborted:
        connection.close()
        await asyncio.wait([gone], timeout=CLOSE_LIMIT_S)
    if not gone.done():
        connection.abort("no goodbye")
        await asyncio.wait([gone], timeout=CLOSE_LIMIT_S)


async def _declared_channel(connection: OneWrite) -> Channel:
    """A channel on which the topology was declared: whatever is published now has a queue to go to. Raises AMQPError."""
    loop = asyncio.get_running_loop()
    opened: asyncio.Future[Channel] = loop.create_future()
    connection.channel(on_open_callback=lambda channel: _resolve(opened, channel))
    channel = await opened
    declared: asyncio.Future[Exception | None] = loop.create_future()
    channel.add_on_close_callback(lambda _channel, why: _resolve(declared, why))
    for exchange in topology.EXCHANGES:
        channel.exchange_declare(exchange.name, exchange.kind, durable=True)
    for queue in topology.QUEUES:
        channel.queue_declare(queue.name, durable=True, arguments=dict(queue.arguments))
        channel.queue_bind(queue.name, queue.exchange, queue.routing_key, callback=lambda _frame: _resolve(declared, None))
    _raise(await declared)
    return channel


def _resolve(future: "asyncio.Future[Any]", value: object, *others: "asyncio.Future[Any]") -> None:
    for one in (future, *others):
        if not one.done():
            one.set_result(value)


def _raise(error: Exception | None) -> None:
    if error is not None:
        raise error


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__


_random = random.SystemRandom()
