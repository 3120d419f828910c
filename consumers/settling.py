"""The settler: writes what was found out, in bulk, and only then gives the messages up.

A batch is what came while the one before was being written. While the store is away everything waits here, in order, and is
written first when it is back (rule 10); intake pauses meanwhile because the hand is full.
"""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from tenacity import Retrying, retry_if_exception_type, sleep_using_event, stop_when_event_set, wait_random_exponential

from consumers.parcel import Parcel
from consumers.store_watch import StoreWatch
from exchange.port import Source
from schemas.deliveries import SETTLED, DeliveryState, Settlement
from schemas.errors import StoreRefused, StoreUnavailable
from schemas.event_types import EventType
from schemas.reports import AttemptReport, Observer
from schemas.times import now_ms
from store import health, settling, withdrawing
from store.database import Database

BATCH = 500
"""Settlements per transaction. PostgreSQL gains little beyond; larger ones keep callers waiting longer for one commit."""

_Receipts = dict[Source, list[object]]


class Settler:
    """One settlement in flight. `on_settled` is called after each, on the event loop."""

    def __init__(self, database: Database, observer: Observer, watch: StoreWatch):
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
        self._waiting: list[tuple[Settlement, Parcel | None]] = []
        self.handed_in = 0
        """Settlements so far. They are written in their order, so that all but the last `backlog` of them are."""
        self._some = asyncio.Event()
        self._writing = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.on_settled: Callable[[], None] = lambda: None

    def add(self, settlement: Settlement, parcel: Parcel | None) -> None:
        """Have it written; `parcel` is the message that this settlement releases, if any."""
        self._waiting.append((settlement, parcel))
        self.handed_in += 1
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
            if not self._waiting:
                self._some.clear()
                self._idle.set()
            self.on_settled()

    def give_up(self) -> None:
        """Stop waiting for a store that is away; what is unwritten comes again by its lease or its message."""
        self._given_up.set()

    async def flushed(self) -> None:
        """Until everything that was added is written and acknowledged."""
        await self._idle.wait()

    async def _settle(self, batch: Sequence[tuple[Settlement, Parcel | None]]) -> None:
        settlements = [settlement for settlement, _ in batch]
        finished = _finished(batch)
        loop = asyncio.get_running_loop()
        try:
            written = await loop.run_in_executor(self._thread, self._write, settlements, finished)
        except StoreUnavailable as error:
            self._watch.away(error)
            written = await loop.run_in_executor(self._thread, self._retrying, self._write, settlements, finished)
            self._watch.back()
        for source, receipts in finished.items():
            source.acknowledge(receipts)
        self._report(written)

    def _write(self, settlements: Sequence[Settlement], finished: _Receipts) -> Sequence[Settlement]:
        """In the settling thread. A refusal costs attempts their details, never a delivery its outcome. Returns what was written."""
        try:
            return self._write_all(settlements, finished)
        except StoreRefused as error:
            self._observer.note("settlement refused", reason=str(error), settlements=len(settlements))
            written = [one for settlement in settlements for one in self._write_one(settlement)]
            self._write_all((), finished)
            return written

    def _write_one(self, settlement: Settlement) -> Sequence[Settlement]:
        try:
            return self._write_all((settlement,), {})
        except StoreRefused as error:
            self._observer.note("attempt not recorded", delivery=settlement.delivery.key, reason=str(error))
            bare = Settlement(settlement.delivery, settlement.state, settlement.reason, settlement.due_in_s, failures=settlement.failures)
            self._write_all((bare,), {})
            return (settlement,)

    def _write_all(self, settlements: Sequence[Settlement], finished: _Receipts) -> Sequence[Settlement]:
        found_out = [one.health for one in settlements if one.health is not None]
        with self._database.write() as connection:
            now = self._database.now(connection)
            if found_out:
                health.record(connection, found_out, now)
            settlements = withdrawing.judge(connection, settlements, now)
            freed = settling.settle(connection, settlements, now)
            for source, receipts in finished.items():
                source.forget(connection, receipts)
            if freed.woken:
                self._database.ring(connection, "due")
        if freed.overtaken:
            self._observer.settled(EventType.MESSAGE_STATUS, DeliveryState.SUPERSEDED, freed.overtaken)
        return settlements

    def _report(self, settlements: Sequence[Settlement]) -> None:
        now = now_ms()
        reports = [_attempt_report(s, now) for s in settlements if s.attempt]
        if reports:
            self._observer.attempted(reports)
        for one in settlements:
            if one.state in SETTLED:
                self._observer.settled(one.delivery.type, one.state)


def _finished(batch: Sequence[tuple[Settlement, Parcel | None]]) -> _Receipts:
    """The receipts of the messages whose last delivery is in this batch, by their source."""
    finished: _Receipts = defaultdict(list)
    for _, parcel in batch:
        if parcel is not None:
            parcel.open -= 1
            if parcel.open == 0:
                finished[parcel.source].append(parcel.receipt)
    return finished


def _attempt_report(settlement: Settlement, now: int) -> AttemptReport:
    delivery, attempt = settlement.delivery, settlement.attempt
    assert attempt is not None
    prompt = attempt.number == 1 and delivery.lease == 0 and not delivery.asked_for
    return AttemptReport(
        delivery=delivery,
        attempt=attempt,
        state=settlement.state or DeliveryState.PENDING,
        first_attempt_delay_s=(attempt.started_at - delivery.accepted_at) / 1000 if prompt else None,
        end_to_end_s=(now - delivery.accepted_at) / 1000 if settlement.state is DeliveryState.DELIVERED else None,
        next_attempt_in_s=settlement.due_in_s,
    )
