"""Intake: from messages to claimed deliveries in hand. One loop per source, one claim in flight, no
lingering.

While a claim is being written the next messages gather: one when it is quiet, hundreds under load.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

from consumers.pipeline.claiming import Batch, Terms, claim
from consumers.pipeline.matching import MatchingDirectory
from consumers.pipeline.settler import PendingAck
from consumers.pipeline.store_status import StoreStatus
from consumers.pipeline.unsettled import MAX_UNSETTLED, Unsettled
from exchange.port import Message, Source
from schemas.deliveries.deliveries import DeliveryState
from schemas.errors import ExchangeUnavailable, StoreRefused, StoreUnavailable
from schemas.events.events import MAX_EVENT_BYTES
from schemas.events.types import EventType
from schemas.log_events import LogEvent
from schemas.observer import Observer
from schemas.texts import storable
from store.engine.database import Connection, Database

BATCH = 200
"""Messages per claim: PostgreSQL does 15,000 events/s with 100 and 18,000 with 500, and the first
of a batch waits for the last.
"""

BATCH_BYTES = 4 * 1024 * 1024
"""Of the messages of a claim, as large as those before were in the mean. More: more memory, as a
claim copies each several times. Fewer: more commits while events are large.
"""

START_WITHIN_S = 2.5
"""How long after its claim a first attempt may start. Less than `claims.COPY_DELAY_MS`: after that
a copy may be sent by others.
"""

SUSPECT_FROM = 5
"""Deliveries of a message before it counts as poison: somebody died with it in hand so often (rule
8). Fewer: a few restarts in a row make rows of many. More: it costs more restarts.
"""

_RETRY_S = 0.5


class Intake:
    """Takes from one source, with back-pressure from the hand. Also the `Claimer` of a publisher in
    the same process.
    """

    def __init__(
        self,
        source: Source,
        database: Database,
        directory: MatchingDirectory,
        unsettled: Unsettled,
        observer: Observer,
        watch: StoreStatus,
        thread: Executor,
        lease_s: float,
    ):
        self._source, self._database, self._directory = source, database, directory
        self._unsettled, self._observer, self._watch, self._thread = (
            unsettled,
            observer,
            watch,
            thread,
        )
        self._lease_ms = int(lease_s * 1000)
        self._limit = BATCH_BYTES // MAX_EVENT_BYTES
        self._fan_out = 1.0
        self._loop = asyncio.get_running_loop()
        self._stopping = False
        self._stopped = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._idle = False
        self._burials: set[asyncio.Task[None]] = set()
        self._fallen_behind = 0
        self._caught_up_with = -1

    async def run(self) -> None:
        """Until `stop`."""
        self._task = asyncio.current_task()
        try:
            while await self._something_to_do():
                try:
                    await self._claim_some()
                    self._watch.back()
                except StoreUnavailable as error:
                    self._watch.away(error)
                    await asyncio.sleep(_RETRY_S)
        finally:
            self._stopped.set()

    async def stop(self) -> None:
        """Take no more. A claim that is being written is finished, so that nothing claimed is
        forgotten.
        """
        self._stopping = True
        if self._task is not None and self._idle:
            self._task.cancel()
        await self._stopped.wait()
        for burial in self._burials:
            burial.cancel()

    def is_open(self) -> bool:
        caught_up = self._caught_up_with == self._fallen_behind
        return (
            caught_up
            and not self._stopping
            and self._unsettled.is_roomy
            and self._directory.fresh()
        )

    def fell_behind(self) -> None:
        self._fallen_behind += 1

    def claim(self, connection: Connection, messages: Sequence[Message]) -> Callable[[], None]:
        batch = self._claim(connection, messages)

        def committed() -> None:
            self._loop.call_soon_threadsafe(self._claimed, batch)

        return committed

    async def _something_to_do(self) -> bool:
        """Wait for messages and for room; False when stopped meanwhile. Only this waiting is ever
        cancelled, no claim.
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
        taken: list[Message] = []
        fallen_behind, limit = (
            self._fallen_behind,
            max(1, min(self._limit, int(self._unsettled.places / self._fan_out))),
        )
        try:
            batch, left = await self._loop.run_in_executor(
                self._thread, self._take_and_claim, taken, limit
            )
        except Exception as error:  # noqa: BLE001 - also a mistake of ours: it must cost its message, not the process at each start
            self._undo(taken, error)
            return
        if len(taken) < limit:
            self._caught_up_with = fallen_behind
        self._limit = min(BATCH, self._limit * 2, _as_many_as_fit(taken))
        if left:
            self._source.put_back(left)
        self._claimed(batch)

    @property
    def _room(self) -> int:
        """Deliveries of one claim at most: as much again as the hand holds, or an event could not
        have more callbacks than it has places.
        """
        return MAX_UNSETTLED + self._unsettled.places

    def _take_and_claim(self, taken: list[Message], limit: int) -> tuple[Batch, Sequence[Message]]:
        """In a store thread; also what of the taken is left for later. Leaves in `taken` what it
        took, whatever happens.
        """
        if not self._directory.fresh():  # what goes wrong here is no message's fault
            self._directory.refresh()
        with self._database.write() as connection:
            taken += self._source.take(connection, limit)
            now, later = _without_suspects(taken)
            return self._claim(connection, now), later

    def _claim(self, connection: Connection, messages: Sequence[Message]) -> Batch:
        start_by_s = (
            time.monotonic() + START_WITHIN_S
        )  # before the store's clock is read: what comes between only makes it earlier
        terms = Terms(
            0 if any(map(_is_suspect, messages)) else self._room, start_by_s, self._lease_ms
        )
        batch = claim(connection, messages, self._directory, self._database.now(connection), terms)
        self._source.forget(connection, batch.done)
        return batch

    def _claimed(self, batch: Batch) -> None:
        """On the event loop, after the commit."""
        self._source.acknowledge(batch.done)
        for one in batch.to_deliver:
            self._unsettled.pick_up(
                one.deliveries, PendingAck(self._source, one.receipt, len(one.deliveries))
            )
        if batch.put_off:
            self._unsettled.put_off(batch.put_off)
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
        for message, reason in batch.invalid:
            self._start_burial(message, reason)

    def _undo(self, taken: Sequence[Message], error: Exception) -> None:
        """The claim failed. Halve the batch: a single event that cannot be claimed, or a batch that
        takes the store too long, is found so. Raises StoreUnavailable, and what went wrong before
        anything was taken.
        """
        self._limit = max(1, len(taken) // 2)
        if isinstance(error, StoreUnavailable) or not taken:
            self._source.put_back(taken)
            raise error
        if len(taken) > 1:
            self._source.put_back(taken)
            return
        told = (
            str(error)
            if isinstance(error, StoreRefused)
            else f"it cannot be claimed, which is a mistake of Ringback's: {error!r}"
        )
        self._start_burial(taken[0], told)

    def _start_burial(self, message: Message, reason: str) -> None:
        """Beside the intake: while the dead letters cannot be reached, events go on. A reason may
        repeat what nobody can store.
        """
        reason = storable(reason)
        self._observer.log(LogEvent.DEAD_LETTER, reason=reason, message_id=message.message_id)
        burial = self._loop.create_task(self._bury(message, reason))
        self._burials.add(burial)
        burial.add_done_callback(self._burials.discard)

    async def _bury(self, message: Message, reason: str) -> None:
        try:
            await self._source.bury(message, reason)
        except (
            StoreUnavailable,
            StoreRefused,
            ExchangeUnavailable,
        ) as error:  # not given up: it comes again
            self._observer.log(
                LogEvent.DEAD_LETTER_WRITE_FAILED, message_id=message.message_id, reason=str(error)
            )


def _as_many_as_fit(messages: Sequence[Message]) -> int:
    """Of such messages into a claim."""
    size_bytes = sum(len(message.body) for message in messages)
    return max(1, BATCH_BYTES * len(messages) // size_bytes) if size_bytes else BATCH


def _is_suspect(message: Message) -> bool:
    return message.deliveries >= SUSPECT_FROM


def _without_suspects(messages: Sequence[Message]) -> tuple[Sequence[Message], Sequence[Message]]:
    """What to claim together, and what is left for later: a suspect is alone, whatever it does
    then.
    """
    suspects = [number for number, message in enumerate(messages) if _is_suspect(message)]
    together = max(1, suspects[0]) if suspects else len(messages)
    return messages[:together], messages[together:]
