"""Intake: from messages to claimed deliveries in hand. One loop per source, one claim in flight, no lingering.

While a claim is being written the next messages gather: one when it is quiet, hundreds under load.
"""

import asyncio
import time
from collections.abc import Sequence
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
        self._idle: asyncio.Future[None] | None = None
        self._away_since_s: float | None = None

    async def run(self) -> None:
        """Until `stop`."""
        while await self._something_to_do():
            try:
                await self._claim_some()
            except StoreUnavailable as error:
                await self._store_away(error)
        self._stopped.set()

    async def stop(self) -> None:
        """Take no more. A claim that is being written is finished, so that nothing claimed is forgotten."""
        self._stopping = True
        if self._idle is not None:
            self._idle.cancel()
        await self._stopped.wait()

    async def _something_to_do(self) -> bool:
        """Wait for messages and for room; False when stopped meanwhile. Only this waiting is ever cancelled, no claim."""
        self._idle = asyncio.ensure_future(self._messages_and_room())
        try:
            await self._idle
        except asyncio.CancelledError:
            if not self._stopping:
                raise
        return not self._stopping

    async def _messages_and_room(self) -> None:
        await self._source.wait()
        await self._hand.room()

    async def _claim_some(self) -> None:
        taken: list[Message] = []
        try:
            batch = await asyncio.get_running_loop().run_in_executor(self._thread, self._claim, taken)
        except StoreRefused as error:
            await self._narrow_down(taken, error)
            return
        except StoreUnavailable:
            self._source.put_back(taken)
            raise
        self._store_is_back()
        self._limit = min(BATCH, self._limit * 2)
        self._source.acknowledge(batch.done)
        self._hand_over(batch)
        for message, reason in batch.invalid:
            await self._source.bury(message, reason)

    def _claim(self, taken: list[Message]) -> _Batch:
        """In a store thread: take, read, match and claim in one transaction. Leaves in `taken` what it took, whatever happens."""
        with self._database.write() as connection:
            taken += self._source.take(connection, self._limit)
            now = self._database.now(connection)
            opened, invalid = self._open(taken, now)
            claimed = claims.claim(connection, [one.claim for one in opened], now)
            done = [one.message.receipt for one in _not_to_deliver(opened, claimed)]
            self._source.forget(connection, done)
        return _Batch(opened, invalid, claimed, now, done)

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

    async def _narrow_down(self, taken: Sequence[Message], error: StoreRefused) -> None:
        """The store refuses something in this batch: halve it until the culprit is alone, then bury that."""
        if len(taken) == 1:
            await self._source.bury(taken[0], f"the database refuses it: {error}")
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
