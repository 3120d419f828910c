"""Publishing on RabbitMQ for requests: one connection on their event loop, many messages confirmed
at a time.

Alone it is a `Publisher` that needs its broker; `exchange.failover` puts the outbox behind it.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial

from exchange.confirmation import Confirmation
from exchange.port import Outgoing
from exchange.rabbit.confirms import Confirms, PendingPublish
from exchange.rabbit.policy_watch import BrokerWatch
from exchange.rabbit.returned import RabbitReturned
from exchange.topology import ACCEPTED_AT_HEADER, EVENTS_EXCHANGE
from schemas.errors import ExchangeUnavailable
from schemas.observer import Observer

WINDOW_BYTES = 64 * 1024 * 1024
"""How much may wait for its confirm. Larger: more memory while the broker is slow. Smaller: bursts
are refused that it would accept.
"""

_CONFIRM_TIMEOUT_S = 10.0
_CLOSE_TIMEOUT_S = 5.0


class RabbitPublisher:
    """Publishes to the broker. Belongs to the event loop's thread."""

    def __init__(
        self,
        url: str,
        observer: Observer,
        watch: BrokerWatch | None = None,
        returned: RabbitReturned | None = None,
    ):
        """`returned` is started and closed with this publisher."""
        self._confirms = Confirms(url, "publisher", observer)
        self._watch, self._returned = watch, returned
        self._gathered: list[PendingPublish] = []
        self._unsent: list[Confirmation] = []
        """What was published in this turn of the loop."""
        self._enqueued_bytes = 0
        self._closed = False

    def start(self) -> None:
        """Begin, on the running event loop. Returns at once, whether or not a broker answers."""
        self._confirms.connection.start()
        if self._returned is not None:
            self._returned.start()

    @property
    def generation(self) -> int | None:
        """Which connection accepts messages now, counted from 1; None: none does."""
        if self.connected() and self.harm is None:
            return self._confirms.connection.generation
        return None

    @property
    def silent_for_s(self) -> float:
        """Seconds since the broker last confirmed anything."""
        return time.monotonic() - self._confirms.answered_s

    def connected(self) -> bool:
        """Return whether the broker accepts messages now."""
        return self._confirms.ready

    @property
    def harm(self) -> str | None:
        """Why the broker must not be used although it answers; None: it may be used."""
        return None if self._watch is None else self._watch.harm

    async def publish(self, outgoing: Sequence[Outgoing]) -> None:
        """Publish events, and return when all are confirmed. Raises ExchangeUnavailable."""
        confirmation = self.publish_nowait(outgoing)
        if not await confirmation.wait(_CONFIRM_TIMEOUT_S):
            raise ExchangeUnavailable(confirmation.error or "the broker did not confirm in time")

    def publish_nowait(self, outgoing: Sequence[Outgoing]) -> Confirmation:
        """Publish events without waiting, and return what will be known of them. Raises
        ExchangeUnavailable when too much waits already.

        What is published in one turn of the loop is sent in one write.
        """
        confirmation = Confirmation(len(outgoing))
        pending = [
            _pending(event, partial(confirmation.settle, position))
            for position, event in enumerate(outgoing)
        ]
        self._admit(sum(publish.weight_bytes for publish in pending))
        if not self._gathered:
            asyncio.get_running_loop().call_soon(self._flush)
        self._gathered += pending
        self._unsent.append(confirmation)
        return confirmation

    def abandon(self, generation: int, reason: str) -> None:
        """Drop a connection, if it is still the current one, and settle all that waits on it.
        Another is opened.
        """
        if self.generation == generation:
            self._confirms.give_up(reason)

    async def close(self) -> None:
        """Wait a little for what is unconfirmed, then close."""
        self._closed = True
        self._flush()
        await self._confirms.all_settled(_CLOSE_TIMEOUT_S)
        await self._confirms.connection.close()
        if self._returned is not None:
            await self._returned.close()

    def _admit(self, size_bytes: int) -> None:
        if self._closed:
            raise ExchangeUnavailable("this publisher is closed")
        if self._enqueued_bytes - self._confirms.settled_bytes + size_bytes > WINDOW_BYTES:
            raise ExchangeUnavailable("too many messages wait for the broker to confirm them")
        self._enqueued_bytes += size_bytes

    def _flush(self) -> None:
        messages, self._gathered = self._gathered, []
        confirmations, self._unsent = self._unsent, []
        self._confirms.publish(messages)
        now_s = time.monotonic()
        for confirmation in confirmations:
            confirmation.sent_s = now_s


def _pending(outgoing: Outgoing, settle: Callable[[str | None], None]) -> PendingPublish:
    event = outgoing.event
    return PendingPublish(
        EVENTS_EXCHANGE,
        event.type.value,
        event.message(),
        event.id,
        {ACCEPTED_AT_HEADER: outgoing.accepted_at},
        settle,
    )
