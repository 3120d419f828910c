"""The settler: writes settlements in bulk, then acknowledges their messages.

A batch is what came while the previous one was being written. While the store is unavailable,
everything waits here in order, and is written first when it is available again
(docs/invariants.md#an-unavailable-store-stops-sending). Intake pauses meanwhile, as its capacity is
used up.
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

from consumers.pipeline.settled_figures import SettledFigures
from consumers.pipeline.store_availability import StoreStatus
from exchange.port import Source
from schemas.deliveries.deliveries import SETTLED, DeliveryState
from schemas.deliveries.settlement import Settlement
from schemas.errors import StoreRefused, StoreUnavailable
from schemas.events.types import EventType
from schemas.ids import is_test_event
from schemas.log_events import LogEvent
from schemas.observer import AttemptReport, Observer
from schemas.times import UnixMs, now_ms
from store.deliveries import withdrawal
from store.deliveries.settlement import settle
from store.engine.database import Database
from store.tokens import callback_health


class PendingAck:
    """A message and how many of its deliveries are open. It is acknowledged when none is."""

    __slots__ = ("open", "receipt", "source")

    def __init__(self, source: Source, receipt: object, deliveries: int):
        self.source, self.receipt, self.open = source, receipt, deliveries


class _Written(NamedTuple):
    """What was written of a batch, and the messages that are finished by it."""

    settlements: Sequence[Settlement]
    finished: Sequence[PendingAck]


BATCH = 500
"""Settlements per transaction. Larger: little gain on PostgreSQL, and callers wait longer for one
commit. Smaller: more commits.
"""


class Settler:
    """Writes one batch at a time. `on_settled` is called after each, on the event loop."""

    def __init__(self, database: Database, observer: Observer, status: StoreStatus):
        self._database, self._observer, self._status = database, observer, status
        self._thread = ThreadPoolExecutor(1, "settle")
        self.figures = SettledFigures(database, observer)
        """What counts the batches. What was accepted is written with them."""
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
        """How many settlements were added so far. They are written in order: all but the last
        `backlog` of them are written.
        """
        self.weight = 0
        """The weight in memory of the settlements that are not written."""
        self._some = asyncio.Event()
        self._writing = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.on_settled: Callable[[], None] = lambda: None

    def add(self, settlement: Settlement, pending_ack: PendingAck | None) -> None:
        """Have a settlement written. `pending_ack` is the message that it releases, if any."""
        self._waiting.append((settlement, pending_ack))
        self.enqueued += 1
        self.weight += settlement.delivery.weight
        self._some.set()
        self._idle.clear()

    @property
    def backlog(self) -> int:
        """How many settlements are not written."""
        return len(self._waiting) + self._writing

    async def run(self) -> None:
        """Write until cancelled, which is safe when `flushed` has returned, or given up."""
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
            self.weight -= sum(settlement.delivery.weight for settlement, _ in batch)
            if not self._waiting:
                self._some.clear()
                self._idle.set()
            self.on_settled()

    def give_up(self) -> None:
        """Stop waiting for an unavailable store. What is unwritten comes again by its lease or its
        message.
        """
        self._given_up.set()

    async def flushed(self) -> None:
        """Wait until everything that was added is written and acknowledged."""
        await self._idle.wait()

    async def flush_figures(self) -> None:
        """Write the figures of callbacks that are not written yet, if the store is available."""
        loop = asyncio.get_running_loop()
        while await loop.run_in_executor(self._thread, self.figures.flush):
            pass

    async def _settle(self, batch: Sequence[tuple[Settlement, PendingAck | None]]) -> None:
        finished = _finished(batch)
        loop = asyncio.get_running_loop()
        try:
            written = await loop.run_in_executor(self._thread, self._write, batch, finished)
        except StoreUnavailable as error:
            self._status.unavailable(error)
            written = await loop.run_in_executor(
                self._thread, self._retrying, self._write, batch, finished
            )
            self._status.available()
        for source, receipts in _receipts(written.finished).items():
            source.acknowledge(receipts)
        self._report(written.settlements)

    def _write(
        self, batch: Sequence[tuple[Settlement, PendingAck | None]], finished: Sequence[PendingAck]
    ) -> _Written:
        """Write a batch, in the settler's thread. An error costs attempts their details, never a
        delivery its outcome, and never the other deliveries of the batch.
        """
        try:
            return _Written(
                self._write_all(
                    [settlement for settlement, _ in batch], finished, with_figures=True
                ),
                finished,
            )
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - a refusal, or a bug
            self._observer.log(
                LogEvent.SETTLEMENT_REFUSED, reason=_error_text(error), settlements=len(batch)
            )
        settlements: list[Settlement] = []
        for settlement, pending_ack in batch:
            written = self._write_one(settlement)
            settlements += written
            if pending_ack is not None and not written:
                pending_ack.open += 1  # not acknowledged now, nor by what is recorded later
        finished = [pending_ack for pending_ack in finished if not pending_ack.open]
        self._write_all((), finished)
        self.figures.count_alone(settlements)
        return _Written(settlements, finished)

    def _write_one(self, settlement: Settlement) -> Sequence[Settlement]:
        """Return the settlement as it was written. Nothing is returned when nothing of it can be
        recorded: then its row, or its message, comes again, until it was leased too often.
        """
        bare = Settlement(
            settlement.delivery,
            settlement.state,
            settlement.reason,
            settlement.due_in_s,
            failures=settlement.failures,
        )
        for version, event in (
            (settlement, LogEvent.ATTEMPT_NOT_RECORDED),
            (bare, LogEvent.OUTCOME_NOT_RECORDED),
        ):
            try:
                return self._write_all((version,), ())
            except StoreUnavailable:
                raise
            except Exception as error:  # noqa: BLE001 - a refusal, or a bug
                self._observer.log(
                    event, delivery=settlement.delivery.key, reason=_error_text(error)
                )
        return ()

    def _write_all(
        self,
        settlements: Sequence[Settlement],
        finished: Sequence[PendingAck],
        *,
        with_figures: bool = False,
    ) -> Sequence[Settlement]:
        reports = [settlement.health for settlement in settlements if settlement.health is not None]
        with self._database.write() as connection:
            now = self._database.now(connection)
            if reports:
                callback_health.record(connection, reports, now)
            settlements = withdrawal.judge(connection, settlements, now)
            freed = settle(connection, settlements, now)
            for source, receipts in _receipts(finished).items():
                source.delete(connection, receipts)
            if freed.woken:
                self._database.notify(connection, "due")
            if with_figures:
                self.figures.write(connection, settlements, now)
        if with_figures:
            self.figures.committed(now)
        if freed.overtaken:
            self._observer.settled(
                EventType.MESSAGE_STATUS, DeliveryState.SUPERSEDED, freed.overtaken
            )
        return settlements

    def _report(self, settlements: Sequence[Settlement]) -> None:
        now = now_ms()
        reports = [
            _attempt_report(settlement, now) for settlement in settlements if settlement.attempt
        ]
        if reports:
            self._observer.attempted(reports)
        for settlement in settlements:
            delivery = settlement.delivery
            if settlement.state in SETTLED and not is_test_event(delivery.event_id):
                self._observer.settled(delivery.type, settlement.state)


def _finished(batch: Sequence[tuple[Settlement, PendingAck | None]]) -> list[PendingAck]:
    """Return the messages whose last delivery is in this batch."""
    finished = []
    for _, pending_ack in batch:
        if pending_ack is not None:
            pending_ack.open -= 1
            if pending_ack.open == 0:
                finished.append(pending_ack)
    return finished


def _receipts(finished: Sequence[PendingAck]) -> dict[Source, list[object]]:
    """Return the receipts of messages by their source."""
    receipts: dict[Source, list[object]] = defaultdict(list)
    for pending_ack in finished:
        receipts[pending_ack.source].append(pending_ack.receipt)
    return receipts


def _error_text(error: Exception) -> str:
    return str(error) if isinstance(error, StoreRefused) else repr(error)


def _attempt_report(settlement: Settlement, now: UnixMs) -> AttemptReport:
    delivery, attempt = settlement.delivery, settlement.attempt
    assert attempt is not None
    prompt = attempt.number == 1 and delivery.lease == 0 and not delivery.is_requested
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
