"""Intake: from messages to claimed deliveries in hand. One loop per source, one claim in flight, no lingering.

While a claim is being written the next messages gather: one when it is quiet, hundreds under load.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

import msgspec

from consumers.hand import Hand
from consumers.matching import Directory, read
from consumers.parcel import Parcel
from exchange.port import Message, Source
from schemas.deliveries import Delivery
from schemas.errors import InvalidEvent, StoreRefused, StoreUnavailable
from schemas.ids import CallbackId, TokenId
from schemas.reports import Observer
from schemas.times import UnixMs
from store import claims
from store.claims import Claim, Claimed
from store.database import Connection, Database

BATCH = 200
"""Messages per claim: PostgreSQL does 15,000 events/s with 100 and 18,000 with 500, and the first of a batch waits for the last."""

START_WITHIN_S = 5.0
"""How long after its claim or take an attempt may still start, so that it ends within the lease."""

GIVE_UP_CHANNEL_AFTER_S = 60.0


class _Opened(msgspec.Struct, frozen=True):
    """A message that is an event, ready to be claimed."""

    message: Message
    claim: Claim
    owners: dict[CallbackId, TokenId]


class _Batch(msgspec.Struct, frozen=True):
    """A claimed batch: what is to be delivered, and what is no event."""

    opened: list[_Opened]
    invalid: list[tuple[Message, str]]
    claimed: Claimed
    claimed_at: UnixMs
    done: list[object]


class Intake:
    """Takes from one source, with back-pressure from the hand."""

    def __init__(self, source: Source, database: Database, directory: Directory, hand: Hand, observer: Observer, thread: Executor):
        self._source, self._database, self._directory = source, database, directory
        self._hand, self._observer, self._thread = hand, observer, thread
        self._limit = BATCH
        self._stopping = False
        self._stopped = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._idle = False
        self._away_since_s: float | None = None
        self._burials: set[asyncio.Task[None]] = set()
        self._fallen_behind = 0
        self._caught_up_with = -1

    async def run(self) -> None:
        """Until `stop`."""
        self._task = asyncio.current_task()
        while await self._something_to_do():
            try:
                await self._claim_some()
            except StoreUnavailable as error:
                await self._store_away(error)
        self._stopped.set()

    async def stop(self) -> None:
        """Take no more. A claim that is being written is finished, so that nothing claimed is forgotten."""
        self._stopping = True
        if self._task is not None and self._idle:
            self._task.cancel()
        await self._stopped.wait()
        for burial in self._burials:
            burial.cancel()

    def is_open(self) -> bool:
        """Whether `claim` may be used (`exchange.port.Claimer`), from any thread."""
        return not self._stopping and self._caught_up_with == self._fallen_behind and self._hand.is_roomy

    def fell_behind(self) -> None:
        self._fallen_behind += 1

    def claim(self, connection: Connection, messages: Sequence[Message]) -> Callable[[], None]:
        """Claim messages that the caller has just made durable, in the caller's transaction and thread."""
        batch = self._claim(connection, messages)

        def committed() -> None:
            self._loop.call_soon_threadsafe(self._claimed, batch)

        return committed

    async def _something_to_do(self) -> bool:
        """Wait for messages and for room; False when stopped meanwhile. Only this waiting is ever cancelled, no claim."""
        self._idle = True
        try:
            await self._source.wait()
            await self._hand.room()
        except asyncio.CancelledError:
            if not self._stopping:
                raise
        finally:
            self._idle = False
        return not self._stopping

    async def _claim_some(self) -> None:
        taken: list[Message] = []
        fallen_behind = self._fallen_behind
        try:
            batch = await self._loop.run_in_executor(self._thread, self._take_and_claim, taken)
        except StoreRefused as error:
            self._narrow_down(taken, error)
            return
        except StoreUnavailable:
            self._source.put_back(taken)
            raise
        self._store_is_back()
        if len(taken) < self._limit:
            self._caught_up_with = fallen_behind
        self._limit = min(BATCH, self._limit * 2)
        self._claimed(batch)

    def _take_and_claim(self, taken: list[Message]) -> _Batch:
        """In a store thread. Leaves in `taken` what it took, whatever happens."""
        with self._database.write() as connection:
            taken += self._source.take(connection, self._limit)
            return self._claim(connection, taken)

    def _claim(self, connection: Connection, messages: Sequence[Message]) -> _Batch:
        """Read, match and claim, in one transaction."""
        now = self._database.now(connection)
        opened, invalid = self._open(messages, now)
        claimed = claims.claim(connection, [one.claim for one in opened], now)
        done = [one.message.receipt for one in _not_to_deliver(opened, claimed)]
        self._source.forget(connection, done)
        return _Batch(opened, invalid, claimed, now, done)

    def _claimed(self, batch: _Batch) -> None:
        """On the event loop, after the commit."""
        self._source.acknowledge(batch.done)
        self._hand_over(batch)
        for message, reason in batch.invalid:
            self._start_burial(message, reason)

    def _open(self, messages: Sequence[Message], now: UnixMs) -> tuple[list[_Opened], list[tuple[Message, str]]]:
        opened, invalid = [], []
        for message in messages:
            try:
                opened.append(_Opened(message, *read(message, self._directory, now)))
            except InvalidEvent as error:
                invalid.append((message, str(error)))
        return opened, invalid

    def _hand_over(self, batch: _Batch) -> None:
        start_by_s = time.monotonic() + START_WITHIN_S
        new = set(batch.claimed.new)
        for one in batch.opened:
            if one.claim.event.id in new and one.owners:
                new.discard(one.claim.event.id)  # a second copy in this batch is not delivered
                parcel = Parcel(self._source, one.message.receipt, len(one.owners))
                self._hand.pick_up(_deliveries(one, batch.claimed_at, start_by_s), parcel)
        for event in batch.claimed.duplicates:
            self._observer.event_duplicate(event.type)
        for event in batch.claimed.conflicting:
            self._observer.event_conflicting(event.type, event.id)

    def _start_burial(self, message: Message, reason: str) -> None:
        """Beside the intake: while the dead letters cannot be reached, events go on."""
        self._observer.note("dead letter", reason=reason, message_id=message.message_id)
        burial = self._loop.create_task(self._bury(message, reason))
        self._burials.add(burial)
        burial.add_done_callback(self._burials.discard)

    async def _bury(self, message: Message, reason: str) -> None:
        try:
            await self._source.bury(message, reason)
        except StoreUnavailable:  # not given up: it comes again, and is found to be no event again
            self._observer.note("dead letter not written: the store does not answer", message_id=message.message_id)

    def _narrow_down(self, taken: Sequence[Message], error: StoreRefused) -> None:
        """The store refuses something in this batch: halve it until the culprit is alone, then bury that."""
        if len(taken) == 1:
            self._start_burial(taken[0], f"the database refuses it: {error}")
            return
        self._source.put_back(taken)
        self._limit = max(1, len(taken) // 2)

    async def _store_away(self, error: StoreUnavailable) -> None:
        if self._away_since_s is None:
            self._away_since_s = time.monotonic()
            self._observer.note("intake waits for the store", reason=str(error))
        elif time.monotonic() - self._away_since_s > GIVE_UP_CHANNEL_AFTER_S:
            self._source.pause()
        await asyncio.sleep(0.5)

    def _store_is_back(self) -> None:
        if self._away_since_s is not None:
            self._away_since_s = None
            self._observer.note("intake goes on: the store is back")
            self._source.resume()


def _not_to_deliver(opened: Sequence[_Opened], claimed: Claimed) -> list[_Opened]:
    """Copies, and events that nobody may see: with the claim's commit they are done with."""
    new = set(claimed.new)
    done = []
    for one in opened:
        event_id = one.claim.event.id
        if event_id in new and one.owners:
            new.discard(event_id)
        else:
            done.append(one)
    return done


def _deliveries(one: _Opened, created_at: UnixMs, start_by_s: float) -> list[Delivery]:
    event = one.claim.event
    return [
        Delivery(
            event_id=event.id,
            callback_id=callback_id,
            token_id=token_id,
            type=event.type,
            conversation_id=event.facts.conversation_id,
            body=one.claim.body,
            accepted_at=one.claim.accepted_at,
            created_at=created_at,
            start_by_s=start_by_s,
        )
        for callback_id, token_id in one.owners.items()
    ]
