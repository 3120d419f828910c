"""Publishing with confirms on one link: many messages on their way at once, each with somebody
waiting for its word.

Lives on the link's event loop. Used by `rabbit_publisher` from a thread of its own, and by
`rabbit_burials`.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence

import msgspec

from exchange.rabbit.connection import Channel, MethodFrame, Properties
from exchange.rabbit.reasons import reason as reason_of
from exchange.rabbit.reconnecting import ReconnectingConnection
from schemas.observer import Observer

REFUSED = "the broker refused a message: a policy limits its queue (max-length, max-length-bytes), or it could not store it"

_PERSISTENT = 2
_OVERHEAD_BYTES = 1024
"""What a waiting message takes beside its body, roughly."""


class PendingPublish(msgspec.Struct, frozen=True):
    """A message to publish. `settle(None)` is called when it is confirmed, `settle(reason)` when
    that will not happen.
    """

    exchange: str
    routing_key: str
    body: bytes
    message_id: str | None
    headers: dict[str, object]
    settle: Callable[[str | None], None]

    @property
    def weight_bytes(self) -> int:
        return len(self.body) + _OVERHEAD_BYTES


class Confirms:
    """Every letter is settled: by its confirm, or at once when its channel is lost.

    A return, a nack and a block end the connection; what was on its way then counts as not stored.
    After a return the next one declares the topology again, as a queue is missing. Its copies do no
    harm (docs/invariants.md#seen-before). With `refusals_apart` a nack is said of its letter alone:
    while a queue is full, connections would follow each other.
    """

    def __init__(self, url: str, part: str, observer: Observer, *, refusals_apart: bool = False):
        self.link = ReconnectingConnection(url, part, observer, self._opened, self._lost)
        self._refusals_apart = refusals_apart
        self.ready = False
        """Whether letters can be published now."""
        self.answered_s = time.monotonic()
        """When the broker last confirmed anything."""
        self.settled_bytes = 0
        """The weight of all letters settled so far."""
        self._waiting: dict[int, PendingPublish] = {}  # by delivery tag, in that order
        self._emptied = asyncio.Event()
        self._tag = 0
        self._lowest = 1

    async def all_settled(self, limit_s: float) -> None:
        """Wait for the confirms that are still to come; after the limit they never do."""
        if self._waiting:
            self._emptied.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limit_s):
                    await self._emptied.wait()

    def publish(self, letters: Sequence[PendingPublish]) -> None:
        """Send them together, without waiting."""
        channel = self.link.channel
        if channel is None or not self.ready or not channel.is_open:
            for letter in letters:
                self._settle(letter, "no broker answers")
            return
        self._waiting.update(enumerate(letters, self._tag + 1))
        self._tag += len(letters)
        try:
            _send(channel, letters)
        except Exception as error:  # noqa: BLE001  # whatever it was: from the one that was not sent on, each confirm would be another's
            self.give_up(f"a message could not be sent: {reason_of(error)}")

    def give_up(self, reason: str, *, anew: bool = False) -> None:
        """Settle all that waits, at once: an ack that comes after a return, in the same breath,
        must not count.
        """
        self._lost(reason)
        self.link.drop(reason, anew=anew)

    def _opened(self, channel: Channel) -> None:
        self._tag, self._lowest = 0, 1
        channel.add_on_return_callback(
            lambda _channel, method, *_: self.give_up(
                f"a message came back: {method.reply_text}", anew=True
            )
        )
        channel.confirm_delivery(self._answered, callback=lambda _frame: self._confirming(channel))

    def _confirming(self, channel: Channel) -> None:
        self.ready = channel is self.link.channel

    def _answered(self, frame: MethodFrame) -> None:
        """An ack, or a nack, which the broker sends when a queue is full or it could not store a
        message.
        """
        refused = frame.method.NAME == "Basic.Nack"
        if refused and not self._refusals_apart:
            self.give_up(REFUSED)
            return
        self.answered_s = time.monotonic()
        tag = frame.method.delivery_tag
        for one in range(self._lowest, tag + 1) if frame.method.multiple else (tag,):
            if letter := self._waiting.pop(one, None):
                self._settle(letter, REFUSED if refused else None)
        if frame.method.multiple or tag == self._lowest:
            self._lowest = tag + 1
        if not self._waiting:
            self._emptied.set()

    def _lost(self, reason: str) -> None:
        self.ready = False
        waiting, self._waiting = self._waiting, {}
        for letter in waiting.values():
            self._settle(letter, reason)
        self._emptied.set()

    def _settle(self, letter: PendingPublish, broken: str | None) -> None:
        self.settled_bytes += letter.weight_bytes
        letter.settle(broken)


def _send(channel: Channel, letters: Sequence[PendingPublish]) -> None:
    with channel.connection.one_write():
        for letter in letters:
            channel.basic_publish(
                letter.exchange,
                letter.routing_key,
                letter.body,
                _properties(letter),
                mandatory=True,
            )


def _properties(letter: PendingPublish) -> Properties:
    return Properties(
        content_type="application/json",
        delivery_mode=_PERSISTENT,
        message_id=letter.message_id,
        headers=letter.headers,
    )
