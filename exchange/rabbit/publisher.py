"""Publishing on RabbitMQ for request threads: one connection in a thread of its own, many messages
confirmed at a time.

Alone it is a `Publisher` that needs its broker; `exchange.failover` puts the outbox behind it.
"""

import asyncio
import collections
import contextlib
import threading
import time
from collections.abc import Callable, Sequence

import uvloop

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
    """Publishes to the broker. Thread-safe."""

    def __init__(
        self,
        url: str,
        observer: Observer,
        watch: BrokerWatch | None = None,
        returned: RabbitReturned | None = None,
    ):
        """`returned` runs on this publisher's event loop."""
        self._confirms = Confirms(url, "publisher", observer)
        self._watch, self._returned = watch, returned
        self._queue: collections.deque[PendingPublish] = collections.deque()
        self._woken = False
        self._counting = threading.Lock()
        self._enqueued_bytes = 0
        self._closed = False
        self._stop = asyncio.Event()
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="ringback-publisher", daemon=True)

    def start(self) -> None:
        """Start the thread. Returns at once, whether or not a broker answers."""
        self._thread.start()

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

    def publish(self, outgoing: Sequence[Outgoing]) -> None:
        """Publish events, and return when all are confirmed. Raises ExchangeUnavailable."""
        end_s = time.monotonic() + _CONFIRM_TIMEOUT_S
        for confirmation in self.publish_nowait(outgoing):
            if not confirmation.wait(end_s - time.monotonic()):
                raise ExchangeUnavailable(
                    confirmation.error or "the broker did not confirm in time"
                )

    def publish_nowait(self, outgoing: Sequence[Outgoing]) -> list[Confirmation]:
        """Publish events without waiting, and return a confirmation for each. Raises
        ExchangeUnavailable when too much waits already.
        """
        confirmations = [Confirmation() for _ in outgoing]
        pending = [
            _pending(event, confirmation)
            for event, confirmation in zip(outgoing, confirmations, strict=True)
        ]
        self._admit(sum(publish.weight_bytes for publish in pending))
        self._queue.extend(pending)
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._flush)
        return confirmations

    def abandon(self, generation: int, reason: str) -> None:
        """Drop a connection, if it is still the current one, and settle all that waits on it.
        Another is opened.
        """
        self._call(
            lambda: self._confirms.give_up(reason) if self.generation == generation else None
        )

    def close(self) -> None:
        """Wait a little for what is unconfirmed, then close."""
        self._closed = True
        if self._thread.is_alive():
            self._call(self._stop.set)
            self._thread.join()
        self._loop.close()

    def _call(self, work: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            self._loop.call_soon_threadsafe(work)

    def _admit(self, size_bytes: int) -> None:
        with self._counting:
            if self._closed:
                raise ExchangeUnavailable("this publisher is closed")
            if self._enqueued_bytes - self._confirms.settled_bytes + size_bytes > WINDOW_BYTES:
                raise ExchangeUnavailable("too many messages wait for the broker to confirm them")
            self._enqueued_bytes += size_bytes

    def _flush(self) -> None:
        self._woken = False
        self._confirms.publish([self._queue.popleft() for _ in range(len(self._queue))])

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        self._confirms.connection.start()
        if self._returned is not None:
            self._returned.start()
        await self._stop.wait()
        self._flush()
        await self._confirms.all_settled(_CLOSE_TIMEOUT_S)
        await self._confirms.connection.close()
        if self._returned is not None:
            await self._returned.close()


def _pending(outgoing: Outgoing, confirmation: Confirmation) -> PendingPublish:
    event = outgoing.event
    return PendingPublish(
        EVENTS_EXCHANGE,
        event.type.value,
        event.message(),
        event.id,
        {ACCEPTED_AT_HEADER: outgoing.accepted_at},
        confirmation.settle,
    )
