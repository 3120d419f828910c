"""Publishing with confirms on one connection: many messages at once, each with a caller that waits
for its result.

Lives on the connection's event loop. Used by `publisher` and by `dead_lettering`.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence

import msgspec

from exchange.rabbit.channel import AmqpChannel, MethodFrame
from exchange.rabbit.connection import Properties
from exchange.rabbit.reasons import reason as reason_of
from exchange.rabbit.reconnecting import ReconnectingConnection
from schemas.observer import Observer

REFUSED = (
    "the broker refused a message: a policy limits its queue (max-length, max-length-bytes),"
    " or it could not store it"
)

_PERSISTENT = 2
_OVERHEAD_BYTES = 1024
"""What a waiting message takes in memory in addition to its body, roughly."""


class PendingPublish(msgspec.Struct, frozen=True):
    """A message to publish."""

    exchange: str
    routing_key: str
    body: bytes
    message_id: str | None
    headers: dict[str, object]
    settle: Callable[[str | None], None]
    """Called once: with None when it is confirmed, with the reason when it will not be."""

    @property
    def weight_bytes(self) -> int:
        """What it takes in memory."""
        return len(self.body) + _OVERHEAD_BYTES


class Confirms:
    """Publishes messages, and settles every one: by its confirm, or at once when its channel is
    lost.

    A return, a nack and a block end the connection, and what was on its way then counts as not
    stored. Its copies do no harm (docs/invariants.md#seen-before). After a return the next
    connection declares the topology again, as a queue is missing. With `nacks_apart` a nack settles
    its message alone: while a queue is full, one connection would follow another.
    """

    def __init__(self, url: str, part: str, observer: Observer, *, nacks_apart: bool = False):
        self.connection = ReconnectingConnection(
            url, part, observer=observer, opened=self._opened, lost=self._lost
        )
        self._nacks_apart = nacks_apart
        self.ready = False
        """Whether messages can be published now."""
        self.answered_s = time.monotonic()
        """When the broker last confirmed anything, monotonic."""
        self.settled_bytes = 0
        """The weight of all messages settled so far."""
        self._waiting: dict[int, PendingPublish] = {}  # by delivery tag, in that order
        self._emptied = asyncio.Event()
        self._tag = 0
        self._lowest = 1

    async def all_settled(self, timeout_s: float) -> None:
        """Wait for the confirms that are still to come, at most so long."""
        if self._waiting:
            self._emptied.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._emptied.wait()

    def publish(self, messages: Sequence[PendingPublish]) -> None:
        """Send messages together, without waiting."""
        channel = self.connection.channel
        if channel is None or not self.ready or not channel.is_open:
            for pending in messages:
                self._settle(pending, "cannot reach the broker")
            return
        self._waiting.update(enumerate(messages, self._tag + 1))
        self._tag += len(messages)
        try:
            _send(channel, messages)
        except Exception as error:  # noqa: BLE001 - any: later confirms would be misread
            self.give_up(f"a message could not be sent: {reason_of(error)}")

    def give_up(self, reason: str, *, redeclare: bool = False) -> None:
        """Settle all that waits, and drop the connection. It is done at once: an ack that comes
        directly after a return must not count.
        """
        self._lost(reason)
        self.connection.drop(reason, redeclare=redeclare)

    def _opened(self, channel: AmqpChannel) -> None:
        self._tag, self._lowest = 0, 1
        channel.add_on_return_callback(
            lambda _channel, method, *_: self.give_up(
                f"a message came back: {method.reply_text}", redeclare=True
            )
        )
        channel.confirm_delivery(self._answered, callback=lambda _frame: self._confirming(channel))

    def _confirming(self, channel: AmqpChannel) -> None:
        self.ready = channel is self.connection.channel

    def _answered(self, frame: MethodFrame) -> None:
        """Handle an ack, or a nack, which the broker sends when a queue is full or it could not
        store a message.
        """
        refused = frame.method.NAME == "Basic.Nack"
        if refused and not self._nacks_apart:
            self.give_up(REFUSED)
            return
        self.answered_s = time.monotonic()
        last = frame.method.delivery_tag
        for tag in range(self._lowest, last + 1) if frame.method.multiple else (last,):
            if pending := self._waiting.pop(tag, None):
                self._settle(pending, REFUSED if refused else None)
        if frame.method.multiple or last == self._lowest:
            self._lowest = last + 1
        if not self._waiting:
            self._emptied.set()

    def _lost(self, reason: str) -> None:
        self.ready = False
        waiting, self._waiting = self._waiting, {}
        for pending in waiting.values():
            self._settle(pending, reason)
        self._emptied.set()

    def _settle(self, pending: PendingPublish, error: str | None) -> None:
        self.settled_bytes += pending.weight_bytes
        pending.settle(error)


def _send(channel: AmqpChannel, messages: Sequence[PendingPublish]) -> None:
    with channel.connection.one_write():
        for pending in messages:
            channel.basic_publish(
                pending.exchange,
                pending.routing_key,
                pending.body,
                _properties(pending),
                mandatory=True,
            )


def _properties(pending: PendingPublish) -> Properties:
    return Properties(
        content_type="application/json",
        delivery_mode=_PERSISTENT,
        message_id=pending.message_id,
        headers=pending.headers,
    )
