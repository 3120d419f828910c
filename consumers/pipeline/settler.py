"""The settler: writes what was found out, in bulk, and only then gives the messages up.

A batch is what came while the one before was being written. While the store is away everything
waits here, in order, and is written first when it is back
(docs/invariants.md#an-unavailable-store-stops-sending); intake pauses meanwhile because the hand is
full.
"""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from tenacity import (
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_when_event_set,
    wait_random_exponential,
)

from consumers.pipeline.store_status import StoreStatus
from exchange.port import Source
from schemas.deliveries.deliveries import SETTLED, DeliveryState, Settlement
from schemas.errors import StoreRefused, StoreUnavailable
from schemas.events.types import EventType
from schemas.ids import is_test_event
from schemas.log_events import LogEvent
from schemas.observer import AttemptReport, Observer
from schemas.times import now_ms
from store.deliveries import withdrawal
from store.deliveries.settlement import settle
from store.engine.database import Database
from store.tokens import callback_health


class PendingAck:
    """Counts down; the settler gives the message up when nothing is open any more."""

    __slots__ = ("open", "receipt", "source")

    def __init__(self, source: Source, receipt: object, deliveries: int):
        self.source, self.receipt, self.open = source, receipt, deliveries


class _Written(NamedTuple):
    """What was written of a batch, and the messages that are done with by it."""

    settlements: Sequence[Settlement]
    finished: Sequence[PendingAck]


BATCH = 500
"""Settlements per transaction. PostgreSQL gains little beyond; larger ones keep callers waiting
longer for one commit.
"""


class Settler:
    """One settlement in flight. `on_settled` is called after each, on the event loop."""

    def __init__(self, database: Database, observer: Observer, watch: StoreStatus):
        self._database, self._observer, self._watch = database, observer, watch
        self._thread = ThreadPoolExecutor(1, "settle")
        self._given_up = threading.Event()
        self._retrying = Retrying(
            retry=retry_if_exception_type(StoreUnavailable),
            wait=wait_random_exponential(multiplier=0.1, max=1),
            stop=stop_when_event_set(self._given_up),
            sleep=sleep_using_event(self._given_up),
            reraise=True,
        )
        self._waiting: list[tuple[Settlement, PendingAck | None]] = []
        self.enqueued = 0
        """Settlements so far. They are written in their order, so that all but the last `backlog`
        of them are.
        """
        self.places = 0
        """What these take of the places in memory."""
        self._some = asyncio.Event()
        self._writing = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.on_settled: Callable[[], None] = lambda: None

    def add(self, settlement: Settlement, pending_ack: PendingAck | None) -> None:
        """Have it written; `pending_ack` is the message that this settlement releases, if any."""
        self._waiting.append((settlement, pending_ack))
        self.enqueued += 1
        self.places += settlement.delivery.places
        self._some.set()
        self._idle.clear()

    @property
    def backlog(self) -> int:
        return len(self._waiting) + self._writing

    async def run(self) -> None:
        """Until cancelled, which is safe when `flushed` has returned, or given up."""
        while await self._some.wait():
            batch, self._waiting[:BATCH] = self._waiting[:BATCH], []
            self._writing = len(batch)
            try:
                await self._settle(batch)
            except StoreUnavailable:
                if self._given_up.is_set():
                    return
                raise
            self._writing = 0
            self.places -= sum(settlement.delivery.places for settlement, _ in batch)
            if not self._waiting:
                self._some.clear()
                self._idle.set()
            self.on_settled()

    def give_up(self) -> None:
        """Stop waiting for a store that is away; what is unwritten comes again by its lease or its
        message.
        """
        self._given_up.set()

    async def flushed(self) -> None:
        """Until everything that was added is written and acknowledged."""
        await self._idle.wait()

    async def _settle(self, batch: Sequence[tuple[Settlement, PendingAck | None]]) -> None:
        finished = _finished(batch)
        loop = asyncio.get_running_loop()
        try:
            written = await loop.run_in_executor(self._thread, self._write, batch, finished)
        except StoreUnavailable as error:
            self._watch.away(error)
            written = await loop.run_in_executor(
                self._thread, self._retrying, self._write, batch, finished
            )
            self._watch.back()
        for source, receipts in _receipts(written.finished).items():
            source.acknowledge(receipts)
        self._report(written.settlements)

    def _write(
        self, batch: Sequence[tuple[Settlement, PendingAck | None]], finished: Sequence[PendingAck]
    ) -> _Written:
        """In the settling thread. What goes wrong costs attempts their details, never a delivery
        its outcome, and never the other deliveries of the batch.
        """
        try:
            return _Written(
                self._write_all([settlement for settlement, _ in batch], finished), finished
            )
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - a refusal, or a mistake of ours
            self._observer.log(
                LogEvent.SETTLEMENT_REFUSED, reason=_told(error), settlements=len(batch)
            )
        settlements: list[Settlement] = []
        for settlement, pending_ack in batch:
            written = self._write_one(settlement)
            settlements += written
            if pending_ack is not None and not written:
                pending_ack.open += 1  # it is not given up, by whatever is recorded later either
        finished = [pending_ack for pending_ack in finished if not pending_ack.open]
        self._write_all((), finished)
        return _Written(settlements, finished)

    def _write_one(self, settlement: Settlement) -> Sequence[Settlement]:
        """As it was written; none: nothing of it can be recorded. Its row, or its message, comes
        again, until it was taken too often.
        """
        bare = Settlement(
            settlement.delivery,
            settlement.state,
            settlement.reason,
            settlement.due_in_s,
            failures=settlement.failures,
        )
        for one, event in (
            (settlement, LogEvent.ATTEMPT_NOT_RECORDED),
            (bare, LogEvent.OUTCOME_NOT_RECORDED),
        ):
            try:
                return self._write_all((one,), ())
            except StoreUnavailable:
                raise
            except Exception as error:  # noqa: BLE001 - as above
                self._observer.log(event, delivery=settlement.delivery.key, reason=_told(error))
        return ()

    def _write_all(
        self, settlements: Sequence[Settlement], finished: Sequence[PendingAck]
    ) -> Sequence[Settlement]:
        found_out = [one.health for one in settlements if one.health is not None]
        with self._database.write() as connection:
            now = self._database.now(connection)
            if found_out:
                callback_health.record(connection, found_out, now)
            settlements = withdrawal.judge(connection, settlements, now)
            freed = settle(connection, settlements, now)
            for source, receipts in _receipts(finished).items():
                source.forget(connection, receipts)
            if freed.woken:
                self._database.notify(connection, "due")
        if freed.overtaken:
            self._observer.settled(
                EventType.MESSAGE_STATUS, DeliveryState.SUPERSEDED, freed.overtaken
            )
        return settlements

    def _report(self, settlements: Sequence[Settlement]) -> None:
        now = now_ms()
        reports = [_attempt_report(s, now) for s in settlements if s.attempt]
        if reports:
            self._observer.attempted(reports)
        for one in settlements:
            if one.state in SETTLED and not is_test_event(one.delivery.event_id):
                self._observer.settled(one.delivery.type, one.state)


def _finished(batch: Sequence[tuple[Settlement, PendingAck | None]]) -> list[PendingAck]:
    """The messages whose last delivery is in this batch."""
    finished = []
    for _, pending_ack in batch:
        if pending_ack is not None:
            pending_ack.open -= 1
            if pending_ack.open == 0:
                finished.append(pending_ack)
    return finished


def _receipts(finished: Sequence[PendingAck]) -> dict[Source, list[object]]:
    """By their source."""
    found: dict[Source, list[object]] = defaultdict(list)
    for pending_ack in finished:
        found[pending_ack.source].append(pending_ack.receipt)
    return found


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, StoreRefused) else repr(error)


def _attempt_report(settlement: Settlement, now: int) -> AttemptReport:
    delivery, attempt = settlement.delivery, settlement.attempt
    assert attempt is not None
    prompt = attempt.number == 1 and delivery.lease == 0 and not delivery.asked_for
    arrived = settlement.state is DeliveryState.DELIVERED and not is_test_event(delivery.event_id)
    return AttemptReport(
        delivery=delivery,
        attempt=attempt,
        state=settlement.state or DeliveryState.PENDING,
        first_attempt_delay_s=(attempt.started_at - delivery.accepted_at) / 1000
        if prompt
        else None,
        end_to_end_s=(now - delivery.accepted_at) / 1000 if arrived else None,
        next_attempt_in_s=settlement.due_in_s,
    )
