"""Fetching from RabbitMQ: messages arrive ahead of need, up to the prefetch, and are acknowledged
when they are settled.

On the dispatcher's event loop, with a connection of its own that only consumes. Dead letters are
published on another one.
"""

import asyncio
import collections
import contextlib
from collections.abc import Callable, Sequence

import msgspec

from exchange.port import QueuedMessage
from exchange.rabbit.channel import AmqpChannel, DeliverMethod, MessageProperties
from exchange.rabbit.dead_lettering import DeadLettering
from exchange.rabbit.prefetch import Window
from exchange.rabbit.reconnecting import ReconnectingConnection
from exchange.topology import ACCEPTED_AT_HEADER, DISPATCH_QUEUE
from schemas.observer import Observer
from schemas.times import EARLIEST, LATEST, UnixMs
from store.engine.database import Connection, Database

_PAUSED_S = 1.0


class _Receipt(msgspec.Struct, frozen=True):
    """What an acknowledgement needs. It belongs to its channel: on another one the same tag is
    another message.
    """

    generation: int
    tag: int
    size_bytes: int


class QueueSettings(msgspec.Struct, frozen=True):
    """What a source consumes."""

    part: str
    """What the log and the broker call its connection."""
    queue: str
    """The queue's name."""
    read: Callable[[bytes, MessageProperties, object], QueuedMessage]
    """Makes a message of a body, its properties and a receipt."""
    dead_letters: bool
    """Whether messages are dead-lettered, so that a connection is needed for that."""


class RabbitSource:
    """A `Source` of a queue. Messages that were given back come again from the broker, with a
    higher count.

    Dead letters that the broker refuses go into the database's outbox. Without a database they are
    offered to the broker for ever.
    """

    def __init__(
        self,
        url: str,
        observer: Observer,
        database: Database | None = None,
        *,
        queue: "QueueSettings | None" = None,
    ):
        """`queue`: that of events unless given."""
        self._queue = queue or QueueSettings(
            "consumer", DISPATCH_QUEUE, message_from, dead_letters=True
        )
        self._connection = ReconnectingConnection(
            url, self._queue.part, observer=observer, opened=self._opened, lost=self._lost
        )
        self._dead_lettering = DeadLettering(url, observer, database)
        self._window = Window()
        self._consumer: str | None = None
        """The consumer's tag; None while nothing more may come."""
        self._arrived: collections.deque[QueuedMessage] = collections.deque()
        self._some = asyncio.Event()
        self._wanted = True

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._connection.start()
        if self._queue.dead_letters:
            self._dead_lettering.start()

    def connected(self) -> bool:
        """Return whether the queue is being consumed."""
        return self._connection.channel is not None

    async def wait(self) -> None:
        """Wait until something has arrived. While paused, wait a moment, so that the caller checks
        whether the store is available.
        """
        while not self._arrived:
            if not self._wanted:
                await asyncio.sleep(_PAUSED_S)
                return
            self._some.clear()
            await self._some.wait()

    def fetch(
        self,
        connection: Connection,  # noqa: ARG002 - the outbox uses it
        limit: int,
    ) -> list[QueuedMessage]:
        """Return at most `limit` messages from memory."""
        messages: list[QueuedMessage] = []
        with contextlib.suppress(IndexError):  # the event loop may empty it meanwhile
            while len(messages) < limit:
                messages.append(self._arrived.popleft())
        return messages

    def put_back(self, messages: Sequence[QueuedMessage]) -> None:
        """Have `fetch` return these again, unless their channel is gone."""
        current = [message for message in messages if self._is_current(message.receipt)]
        self._arrived.extendleft(reversed(current))
        self._some.set()

    def delete(self, connection: Connection, receipts: Sequence[object]) -> None:
        """Do nothing: the broker's queue is no part of the transaction."""

    def acknowledge(self, receipts: Sequence[object]) -> None:
        """Acknowledge messages one by one, in one write. Those of a channel that is gone are left
        out: the broker delivers them again (docs/invariants.md#acks-belong-to-their-channel).
        """
        channel = self._connection.channel
        if channel is None or not channel.is_open:
            return
        generation = self._connection.generation
        current = [
            receipt
            for receipt in receipts
            if isinstance(receipt, _Receipt) and receipt.generation == generation
        ]
        channel.connection.acknowledge(channel, [receipt.tag for receipt in current])
        for receipt in current:
            self._window.remove(receipt.tag, receipt.size_bytes)
        if self._consumer is None and self._wanted and self._window.is_light_again:
            self._consume(channel)

    async def dead_letter(self, message: QueuedMessage, reason: str) -> None:
        """Try until the copy among the dead letters is durable, or the message has gone back to the
        broker. It is acknowledged only then: a crash in between makes two letters of one message,
        never none.
        """
        if await self._dead_lettering.dead_letter(
            message, reason, lambda: self._is_current(message.receipt)
        ):
            self.acknowledge([message.receipt])

    def pause(self) -> None:
        """Give everything back, by closing the channel, and consume nothing until `resume`."""
        if self._wanted:
            self._wanted = False
            self._some.set()
            self._connection.renew()

    def resume(self) -> None:
        """Consume again: now, or as soon as a channel is opened."""
        if not self._wanted:
            self._wanted = True
            channel = self._connection.channel
            if channel is not None and channel.is_open:
                self._consume(channel)

    async def close(self) -> None:
        """Close both connections."""
        await asyncio.gather(self._connection.close(), self._dead_lettering.close())

    def _opened(self, channel: AmqpChannel) -> None:
        if self._wanted:
            self._consume(channel)

    def _consume(self, channel: AmqpChannel) -> None:
        """Start a consumer. A prefetch belongs to a consumer, so another prefetch takes another
        consumer: quorum queues know none for a whole channel.
        """
        self._window.begin()
        channel.basic_qos(prefetch_count=self._window.size)
        self._consumer = channel.basic_consume(self._queue.queue, self._on_message)

    def _cancel(self, channel: AmqpChannel) -> None:
        """Stop the consumer. What is on its way goes back to the queue."""
        if self._consumer is not None:
            channel.basic_cancel(self._consumer, lambda _frame: None)
            self._consumer = None

    def _lost(self, _reason: str) -> None:
        self._arrived.clear()
        self._window.clear()
        self._consumer = None

    def _on_message(
        self,
        channel: AmqpChannel,
        method: DeliverMethod,
        properties: MessageProperties,
        body: bytes,
    ) -> None:
        receipt = _Receipt(self._connection.generation, method.delivery_tag, len(body))
        self._arrived.append(self._queue.read(body, properties, receipt))
        self._some.set()
        self._window.add(method.delivery_tag, len(body))
        if self._window.is_too_heavy:
            self._window.fit()
            self._cancel(channel)
        elif self._window.is_too_small:
            self._window.fit()
            self._cancel(channel)
            self._consume(channel)

    def _is_current(self, receipt: object) -> bool:
        return (
            isinstance(receipt, _Receipt)
            and receipt.generation == self._connection.generation
            and self._connection.channel is not None
        )


def message_from(body: bytes, properties: MessageProperties, receipt: object) -> QueuedMessage:
    """Make a message of what a publisher sent. Properties that make no sense count as absent: they
    must not bring a dispatcher down.
    """
    headers = properties.headers or {}
    accepted_at, deliveries = headers.get(ACCEPTED_AT_HEADER), headers.get("x-delivery-count")
    message_id = properties.message_id
    return QueuedMessage(
        body,
        UnixMs(accepted_at)
        if isinstance(accepted_at, int) and EARLIEST <= accepted_at <= LATEST
        else None,
        message_id if isinstance(message_id, str) else None,  # bytes when it is not UTF-8
        deliveries if isinstance(deliveries, int) else 0,
        receipt,
    )
