"""Intake: from messages to claimed deliveries that are unsettled. One loop per source, one claim at
a time, without waiting for a batch to fill.

While a claim is being written the next messages gather: one when it is quiet, hundreds under load.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

from consumers.pipeline.claiming import Batch, Terms, claim
from consumers.pipeline.matching import MatchingDirectory
from consumers.pipeline.settled_figures import SettledFigures
from consumers.pipeline.settler import PendingAck
from consumers.pipeline.store_availability import StoreStatus
from consumers.pipeline.unsettled import MAX_UNSETTLED, Unsettled
from exchange.port import QueuedMessage, Source
from schemas.deliveries.deliveries import DeliveryState
from schemas.errors import ExchangeUnavailable, StoreRefused, StoreUnavailable
from schemas.events.events import MAX_EVENT_BYTES
from schemas.events.types import EventType
from schemas.log_events import LogEvent
from schemas.observer import Observer
from schemas.texts import storable
from store.engine.database import Connection, Database

BATCH = 200
"""Messages per claim. Larger: the first of a batch waits longer for the last, for little gain
(PostgreSQL does 15,000 events/s with 100 and 18,000 with 500). Smaller: more commits.
"""

BATCH_BYTES = 4 * 1024 * 1024
"""Bytes of the messages of a claim, if they are as large as those before on average. Larger: more
memory, as a claim copies each several times. Smaller: more commits while events are large.
"""

START_WITHIN_S = 2.5
"""How long after its claim a first attempt may start. Longer than `claims.COPY_DELAY_MS`: another
process may send a copy. Shorter: more deliveries become rows while processors are busy.
"""

SUSPECT_FROM = 5
"""How often a message is delivered before it counts as poison, as so many processes died with it
(docs/invariants.md#poison-is-contained). Smaller: a few restarts in a row make rows of many.
Larger: it costs more restarts.
"""

_RETRY_S = 0.5


class Intake:
    """Fetches from one source, as far as there is room for unsettled deliveries. Also the `Claimer`
    of a publisher in the same process.
    """

    def __init__(
        self,
        source: Source,
        database: Database,
        *,
        directory: MatchingDirectory,
        unsettled: Unsettled,
        observer: Observer,
        status: StoreStatus,
        figures: SettledFigures,
        thread: Executor,
        lease_s: float,
    ):
        self._source, self._database, self._directory = source, database, directory
        self._unsettled, self._observer = unsettled, observer
        self._status, self._figures, self._thread = status, figures, thread
        self._lease_ms = int(lease_s * 1000)
        self._limit = BATCH_BYTES // MAX_EVENT_BYTES
        self._fan_out = 1.0
        self._loop = asyncio.get_running_loop()
        self._stopping = False
        self._stopped = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._idle = False
        self._dead_lettering: set[asyncio.Task[None]] = set()
        self._fallen_behind = 0
        self._caught_up_with = -1

    async def run(self) -> None:
        """Fetch and claim until `stop`."""
        self._task = asyncio.current_task()
        try:
            while await self._something_to_do():
                try:
                    await self._claim_some()
                    self._status.available()
                except StoreUnavailable as error:
                    self._status.unavailable(error)
                    await asyncio.sleep(_RETRY_S)
        finally:
            self._stopped.set()

    async def stop(self) -> None:
        """Fetch no more. A claim that is being written is finished, so that nothing claimed is
        lost.
        """
        self._stopping = True
        if self._task is not None and self._idle:
            self._task.cancel()
        await self._stopped.wait()
        for task in self._dead_lettering:
            task.cancel()

    def is_open(self) -> bool:
        """Return whether the publisher may claim here: there is room, and nothing older waits in
        the outbox.
        """
        caught_up = self._caught_up_with == self._fallen_behind
        return (
            caught_up
            and not self._stopping
            and self._unsettled.is_roomy
            and self._directory.fresh()
        )

    def fell_behind(self) -> None:
        """Record that a message was, or may have been, added to the outbox unclaimed."""
        self._fallen_behind += 1

    def claim(
        self, connection: Connection, messages: Sequence[QueuedMessage]
    ) -> Callable[[], None]:
        """Claim messages in the publisher's transaction. It calls the result after the commit."""
        batch = self._claim(connection, messages)

        def committed() -> None:
            self._loop.call_soon_threadsafe(self._claimed, batch)

        return committed

    async def _something_to_do(self) -> bool:
        """Wait for messages and for room. Return False when stopped meanwhile. Only this waiting is
        ever cancelled, never a claim.
        """
        if self._stopping:
            return False
        self._idle = True
        try:
            await self._source.wait()
            await self._unsettled.room()
        except asyncio.CancelledError:
            if not self._stopping:
                raise
        finally:
            self._idle = False
        return not self._stopping

    async def _claim_some(self) -> None:
        fetched: list[QueuedMessage] = []
        fallen_behind = self._fallen_behind
        limit = max(1, min(self._limit, int(self._unsettled.capacity_left / self._fan_out)))
        try:
            batch, left = await self._loop.run_in_executor(
                self._thread, self._fetch_and_claim, fetched, limit
            )
        except Exception as error:  # noqa: BLE001 - also a bug: it must cost its message only
            self._undo(fetched, error)
            return
        if len(fetched) < limit:
            self._caught_up_with = fallen_behind
        self._limit = min(BATCH, self._limit * 2, _as_many_as_fit(fetched))
        if left:
            self._source.put_back(left)
        self._claimed(batch)

    @property
    def _room(self) -> int:
        """How many deliveries one claim may have: MAX_UNSETTLED more than there is capacity for, or
        an event could not have more callbacks than that.
        """
        return MAX_UNSETTLED + self._unsettled.capacity_left

    def _fetch_and_claim(
        self, fetched: list[QueuedMessage], limit: int
    ) -> tuple[Batch, Sequence[QueuedMessage]]:
        """Claim, in a store thread, and also return the messages that are left for later. What was
        fetched is in `fetched`, whatever happens.
        """
        if not self._directory.fresh():  # no message is to blame for an error here
            self._directory.refresh()
        with self._database.write() as connection:
            fetched += self._source.fetch(connection, limit)
            now, later = _without_suspects(fetched)
            return self._claim(connection, now), later

    def _claim(self, connection: Connection, messages: Sequence[QueuedMessage]) -> Batch:
        # before the store's clock is read: the time between only makes it earlier
        start_by_s = time.monotonic() + START_WITHIN_S
        terms = Terms(
            0 if any(map(_is_suspect, messages)) else self._room, start_by_s, self._lease_ms
        )
        batch = claim(connection, messages, self._directory, self._database.now(connection), terms)
        self._source.delete(connection, batch.done)
        return batch

    def _claimed(self, batch: Batch) -> None:
        """Pass a batch on, on the event loop, after the commit."""
        self._figures.accept(batch.accepted)
        self._source.acknowledge(batch.done)
        for message in batch.to_deliver:
            pending_ack = PendingAck(self._source, message.receipt, len(message.deliveries))
            self._unsettled.add(message.deliveries, pending_ack)
        if batch.spilled:
            self._unsettled.add_spilled(batch.spilled)
        self._fan_out = batch.fan_out
        for event in batch.duplicates:
            self._observer.event_duplicate(event.type)
        for event in batch.conflicting:
            self._observer.event_conflicting(event.type, event.id)
        if batch.waiting:
            self._observer.deferred("status", batch.waiting)
        if batch.overtaken:
            self._observer.settled(
                EventType.MESSAGE_STATUS, DeliveryState.SUPERSEDED, batch.overtaken
            )
        for invalid, reason in batch.invalid:
            self._start_dead_lettering(invalid, reason)

    def _undo(self, fetched: Sequence[QueuedMessage], error: Exception) -> None:
        """Halve the batch after a claim that failed. This finds a single event that cannot be
        claimed, and helps with a batch that takes the store too long.

        Raises StoreUnavailable, and an error from before anything was fetched.
        """
        self._limit = max(1, len(fetched) // 2)
        if isinstance(error, StoreUnavailable) or not fetched:
            self._source.put_back(fetched)
            raise error
        if len(fetched) > 1:
            self._source.put_back(fetched)
            return
        reason = (
            str(error)
            if isinstance(error, StoreRefused)
            else f"it cannot be claimed because of a bug in Ringback: {error!r}"
        )
        self._start_dead_lettering(fetched[0], reason)

    def _start_dead_lettering(self, message: QueuedMessage, reason: str) -> None:
        """Dead-letter a message in a task of its own: events go on while the dead letters cannot be
        reached. The reason may quote text that cannot be stored.
        """
        reason = storable(reason)
        self._observer.log(LogEvent.DEAD_LETTER, reason=reason, message_id=message.message_id)
        task = self._loop.create_task(self._dead_letter(message, reason))
        self._dead_lettering.add(task)
        task.add_done_callback(self._dead_lettering.discard)

    async def _dead_letter(self, message: QueuedMessage, reason: str) -> None:
        try:
            await self._source.dead_letter(message, reason)
        except (StoreUnavailable, StoreRefused, ExchangeUnavailable) as error:
            # the message was not acknowledged, so it comes again
            self._observer.log(
                LogEvent.DEAD_LETTER_WRITE_FAILED, message_id=message.message_id, reason=str(error)
            )


def _as_many_as_fit(messages: Sequence[QueuedMessage]) -> int:
    """Return how many messages like these fit into a claim."""
    size_bytes = sum(len(message.body) for message in messages)
    return max(1, BATCH_BYTES * len(messages) // size_bytes) if size_bytes else BATCH


def _is_suspect(message: QueuedMessage) -> bool:
    return message.deliveries >= SUSPECT_FROM


def _without_suspects(
    messages: Sequence[QueuedMessage],
) -> tuple[Sequence[QueuedMessage], Sequence[QueuedMessage]]:
    """Split messages into those to claim together and those for later. A suspect is claimed alone,
    so that it can harm no other message.
    """
    suspects = [number for number, message in enumerate(messages) if _is_suspect(message)]
    together = max(1, suspects[0]) if suspects else len(messages)
    return messages[:together], messages[together:]
