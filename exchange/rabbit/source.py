"""Taking from RabbitMQ: messages arrive ahead of need, up to the prefetch, and are acknowledged
when they are settled.

On the dispatcher's event loop, with a connection of its own that only consumes; dead letters leave
by another one.
"""

import asyncio
import collections
import contextlib
from collections.abc import Callable, Sequence

import msgspec

from exchange.port import Message
from exchange.rabbit.connection import Channel, Properties
from exchange.rabbit.dead_lettering import Burials
from exchange.rabbit.prefetch import Window
from exchange.rabbit.reconnecting import ReconnectingConnection
from exchange.topology import ACCEPTED_AT_HEADER, DISPATCH_QUEUE
from schemas.observer import Observer
from schemas.times import EARLIEST, LATEST, UnixMs
from store.engine.database import Connection, Database

_PAUSED_S = 1.0


class _Receipt(msgspec.Struct, frozen=True):
    """An acknowledgement belongs to its channel: on another one the same tag is another message."""

    generation: int
    tag: int
    size_bytes: int


class QueueSettings(msgspec.Struct, frozen=True):
    """Which queue a source takes from, what its connection is called, and how a message there is
    read.
    """

    part: str
    queue: str
    read: Callable[[bytes, Properties, object], Message]
    buries: bool


class RabbitSource:
    """Give it a running event loop with `start`. What was given back comes again, from the broker,
    with a higher count.

    Dead letters that the broker does not take go into the database's outbox; without a database
    they are offered to it for ever.
    """

    def __init__(
        self,
        url: str,
        observer: Observer,
        database: Database | None = None,
        *,
        of: "QueueSettings | None" = None,
    ):
        self._of = of or QueueSettings("consumer", DISPATCH_QUEUE, message_from, buries=True)
        self._link = ReconnectingConnection(url, self._of.part, observer, self._opened, self._lost)
        self._burials = Burials(url, observer, database)
        self._window = Window()
        self._consumer: str | None = None
        """Its tag. None while nothing more may come."""
        self._arrived: collections.deque[Message] = collections.deque()
        self._some = asyncio.Event()
        self._wanted = True

    def start(self) -> None:
        self._link.start()
        if self._of.buries:
            self._burials.start()

    def connected(self) -> bool:
        return self._link.channel is not None

    async def wait(self) -> None:
        """Until something has arrived; while paused, a moment, so that the caller looks whether the
        store is back.
        """
        while not self._arrived:
            if not self._wanted:
                await asyncio.sleep(_PAUSED_S)
                return
            self._some.clear()
            await self._some.wait()

    def take(self, connection: Connection, limit: int) -> list[Message]:  # noqa: ARG002  # the port's; used by the other adapter
        """From memory; the transaction has no part in it."""
        taken: list[Message] = []
        with contextlib.suppress(IndexError):  # the loop may empty it meanwhile
            while len(taken) < limit:
                taken.append(self._arrived.popleft())
        return taken

    def put_back(self, messages: Sequence[Message]) -> None:
        self._arrived.extendleft(reversed([one for one in messages if self._current(one.receipt)]))
        self._some.set()

    def forget(self, connection: Connection, receipts: Sequence[object]) -> None:
        """The broker's queue is no part of the transaction."""

    def acknowledge(self, receipts: Sequence[object]) -> None:
        """One by one, in one write. Those of a channel that is gone are dropped: the broker gives
        these messages out again.
        """
        channel = self._link.channel
        if channel is None or not channel.is_open:
            return
        with channel.connection.one_write():
            for one in receipts:
                if isinstance(one, _Receipt) and one.generation == self._link.generation:
                    channel.basic_ack(one.tag)
                    self._window.remove(one.tag, one.size_bytes)
        if self._consumer is None and self._wanted and self._window.is_light_again:
            self._consume(channel)

    async def bury(self, message: Message, reason: str) -> None:
        """Tries until the copy among the dead letters is durable, or the original has gone back to
        the broker. Acknowledged only then: a crash in between makes two letters of one message, and
        none of none.
        """
        if await self._burials.bury(message, reason, lambda: self._current(message.receipt)):
            self.acknowledge([message.receipt])

    def pause(self) -> None:
        """Give everything back, by closing the channel, and consume nothing until `resume`."""
        if self._wanted:
            self._wanted = False
            self._some.set()
            self._link.renew()

    def resume(self) -> None:
        if not self._wanted:
            self._wanted = True
            channel = self._link.channel
            if (
                channel is not None and channel.is_open
            ):  # else the next one consumes as soon as it is opened
                self._consume(channel)

    async def close(self) -> None:
        await asyncio.gather(self._link.close(), self._burials.close())

    def _opened(self, channel: Channel) -> None:
        if self._wanted:
            self._consume(channel)

    def _consume(self, channel: Channel) -> None:
        """A prefetch is a consumer's: another one takes another consumer (for all of a channel,
        quorum queues know none).
        """
        self._window.begin()
        channel.basic_qos(prefetch_count=self._window.size)
        self._consumer = channel.basic_consume(self._of.queue, self._on_message)

    def _cancel(self, channel: Channel) -> None:
        """What is on its way all the same goes back to the queue."""
        if self._consumer is not None:
            channel.basic_cancel(self._consumer, lambda _frame: None)
            self._consumer = None

    def _lost(self, _reason: str) -> None:
        self._arrived.clear()
        self._window.clear()
        self._consumer = None

    def _on_message(
        self, channel: Channel, method: Channel, properties: Properties, body: bytes
    ) -> None:
        receipt = _Receipt(self._link.generation, method.delivery_tag, len(body))
        self._arrived.append(self._of.read(body, properties, receipt))
        self._some.set()
        self._window.add(method.delivery_tag, len(body))
        if self._window.is_too_heavy:
            self._window.fit()
            self._cancel(channel)
        elif self._window.is_too_small:
            self._window.fit()
            self._cancel(channel)
            self._consume(channel)

    def _current(self, receipt: object) -> bool:
        return (
            isinstance(receipt, _Receipt)
            and receipt.generation == self._link.generation
            and self._link.channel is not None
        )


def message_from(body: bytes, properties: Properties, receipt: object) -> Message:
    """Whatever a backend put beside the body. What makes no sense there counts as absent: it must
    not bring a dispatcher down.
    """
    headers = properties.headers or {}
    accepted_at, deliveries = headers.get(ACCEPTED_AT_HEADER), headers.get("x-delivery-count")
    return Message(
        body,
        UnixMs(accepted_at)
        if isinstance(accepted_at, int) and EARLIEST <= accepted_at <= LATEST
        else None,
        properties.message_id
        if isinstance(properties.message_id, str)
        else None,  # pika gives bytes when it is not UTF-8
        deliveries if isinstance(deliveries, int) else 0,
        receipt,
    )
