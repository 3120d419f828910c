"""Callbacks that are no ordinary ones: the failing are probed, and what waited too long for them is
given up; for those that work again, or were brought back, what waited is hastened, released, parked
or discarded.

One loop in each dispatcher; they do not know of each other, and every step may be repeated. Never
judges an attempt.
"""

import asyncio
import contextlib
import datetime as dt
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import msgspec

from consumers.pipeline.due_poller import START_WITHIN_S
from consumers.pipeline.store_status import StoreStatus
from consumers.pipeline.unsettled import Unsettled
from schemas.deliveries.callback_health import patience
from schemas.deliveries.deliveries import Delivery, DeliveryState
from schemas.errors import StatementTimedOut, StoreUnavailable
from schemas.events.types import EventType
from schemas.ids import CallbackId
from schemas.observer import Observer
from schemas.times import UnixMs, format_duration
from store.deliveries import backlog, probes, refusing
from store.deliveries.backlog import Walk
from store.deliveries.status_gate import Admitted
from store.engine.database import Connection, Database

_MS = dt.timedelta(milliseconds=1)

_Find: TypeAlias = Callable[[Connection, int, UnixMs], list[CallbackId]]
_Exhaust: TypeAlias = Callable[[Connection, CallbackId, int, str, UnixMs], Counter[EventType]]

LOOK_EVERY_S = 0.5
"""A probe may come this much late. Shorter: more queries of an idle database."""

LOOK_WITHIN_S = 1.0
"""Of each of its parts: callbacks that are not come to within this are seen to in the next look.
Longer: one part keeps the others waiting while the store is slow, and a process that is told to
stop waits for it. Shorter: more looks.
"""

PROBES = 50
"""Probes begun at a time. More: after an outage of everybody, the store and the hand are busy with
them for longer.
"""


class CallbackMonitor:
    """One loop. `horizon` is the schedule's total: how long a delivery may wait for a failing
    callback. For one that throttles and takes nothing it is as long, but for two days at least.
    """

    def __init__(
        self,
        database: Database,
        unsettled: Unsettled,
        observer: Observer,
        watch: StoreStatus,
        lease_s: float,
        horizon: dt.timedelta,
    ):
        self._database, self._unsettled, self._observer, self._watch = (
            database,
            unsettled,
            observer,
            watch,
        )
        self._lease_ms = int(lease_s * 1000)
        self._horizon, self._patience = horizon, patience(horizon)
        self._thread = ThreadPoolExecutor(1, "revive")
        self._walks: dict[CallbackId, Walk] = {}
        self._stopping = asyncio.Event()
        self._stopped = asyncio.Event()

    async def stop(self) -> None:
        """Begin nothing more; what was just taken is in hand when this returns."""
        self._stopping.set()
        await self._stopped.wait()

    async def run(self) -> None:
        """Until `stop`."""
        try:
            while not self._stopping.is_set():
                if not await self._look_quietly():
                    await self._nap()
        finally:
            self._stopped.set()

    async def _nap(self) -> None:
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                await self._stopping.wait()
        except TimeoutError:
            return  # time for another look

    async def _look_quietly(self) -> bool:
        try:
            return await self._look()
        except StoreUnavailable as error:
            self._watch.away(error)
        except Exception as error:  # noqa: BLE001 - the process would end of it at each start
            self._watch.mistaken("revive", error)
        return False

    async def _look(self) -> bool:
        """Whether there is more to do at once."""
        loop = asyncio.get_running_loop()
        if not await loop.run_in_executor(self._thread, self._any_to_see_to):
            self._walks.clear()
            self._watch.back()
            return False
        if (
            self._watch.has_caught_up
        ):  # else: who holds a lapsed lease may be about to write what it found out
            limit = min(PROBES, self._unsettled.places)
            self._unsettled.pick_up(
                await loop.run_in_executor(self._thread, self._take_probes, limit)
            )
        more = await loop.run_in_executor(self._thread, self._give_up_aged)
        more |= await loop.run_in_executor(self._thread, self._revive)
        self._watch.back()
        return more

    def _any_to_see_to(self) -> bool:
        with self._database.read() as connection:
            now = self._database.now(connection)
            return probes.any_to_see_to(connection) or refusing.any_aged(
                connection, self._patience // _MS, now
            )

    @contextlib.contextmanager
    def _by_itself(self) -> Iterator[None]:
        """Goes on behind the block when a statement in it took too long, or went wrong in a way
        that nobody foresaw: one callback must not keep the others from being seen to.
        """
        try:
            yield
        except StatementTimedOut as error:
            self._watch.slow(error)
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            self._watch.mistaken("revive", error)

    def _in_time(self, callback_ids: Sequence[CallbackId]) -> Iterator[CallbackId]:
        """Those that are come to in time, by chance, so that nobody is always the last."""
        end_s = time.monotonic() + LOOK_WITHIN_S
        for callback_id in random.sample(callback_ids, len(callback_ids)):
            yield callback_id
            if self._stopping.is_set() or time.monotonic() >= end_s:
                return

    def _take_probes(self, limit: int) -> list[Delivery]:
        if limit <= 0:
            return []
        start_by_s = time.monotonic() + START_WITHIN_S
        callback_ids: list[CallbackId] = []
        with self._by_itself(), self._database.read() as connection:
            callback_ids = probes.due_probes(connection, self._database.now(connection), limit)
        taken: list[Admitted] = []
        for callback_id in self._in_time(callback_ids):
            try:
                with self._by_itself():
                    taken.append(self._take_probe(callback_id))
            except StoreUnavailable:
                # what was taken is under lease; that the store is away is found out by what comes
                # next
                break
        if overtaken := sum(one.overtaken for one in taken):
            self._observer.settled(EventType.MESSAGE_STATUS, DeliveryState.SUPERSEDED, overtaken)
        return [
            msgspec.structs.replace(delivery, start_by_s=start_by_s)
            for one in taken
            for delivery in one.go
        ]

    def _take_probe(self, callback_id: CallbackId) -> Admitted:
        """In a transaction of its own: a callback's lock is not waited for with a place in hand."""
        with self._database.write() as connection:
            return probes.take_probe(
                connection, callback_id, self._database.now(connection), self._lease_ms
            )

    def _give_up_aged(self) -> bool:
        """What waits for a callback that fails, or that throttles all it gets, for as long as its
        schedule lasts.
        """
        failed = f"the callback kept failing for {format_duration(self._horizon)}"
        refused = f"its receiver took nothing for {format_duration(self._patience)}, and asked to wait each time"
        horizon_ms, patience_ms = self._horizon // _MS, self._patience // _MS
        more = self._give_up_of(probes.with_aged, probes.exhaust_aged, horizon_ms, failed)
        return (
            self._give_up_of(refusing.with_aged, refusing.exhaust_aged, patience_ms, refused)
            or more
        )

    def _give_up_of(self, find: _Find, exhaust: _Exhaust, age_ms: int, reason: str) -> bool:
        callback_ids: list[CallbackId] = []
        with self._by_itself(), self._database.read() as connection:
            callback_ids = find(connection, age_ms, self._database.now(connection))
        more = False
        for callback_id in self._in_time(callback_ids):
            with self._by_itself():
                more |= self._give_up_slice(exhaust, callback_id, age_ms, reason)
        return more

    def _give_up_slice(
        self, exhaust: _Exhaust, callback_id: CallbackId, age_ms: int, reason: str
    ) -> bool:
        with self._database.write() as connection:
            given_up = exhaust(
                connection, callback_id, age_ms, reason, self._database.now(connection)
            )
        for kind, count in given_up.items():
            self._observer.settled(kind, DeliveryState.EXHAUSTED, count)
        return given_up.total() > 0

    def _revive(self) -> bool:
        """One slice of each. Of one that took too long, the next look is soon enough."""
        with self._database.read() as connection:
            callback_ids = backlog.with_pending_backlog(connection)
        more = False
        for callback_id in self._in_time(callback_ids):
            with self._by_itself():
                more |= self._walk_on(callback_id)
        self._walks = {
            callback_id: walk
            for callback_id, walk in self._walks.items()
            if callback_id in callback_ids
        }
        return more

    def _walk_on(self, callback_id: CallbackId) -> bool:
        """Whether there is more of it."""
        with self._database.write() as connection:
            now = self._database.now(connection)
            step = backlog.step(connection, callback_id, self._walks.get(callback_id), now)
            if step is not None and step.changed:
                self._database.notify(connection, "due")
        if step is None:
            return False
        if step.discarded:
            self._observer.settled(step.kind, DeliveryState.CANCELLED, step.discarded)
        if step.walk is not None:
            self._walks[callback_id] = step.walk
            return True
        self._walks.pop(callback_id, None)
        with self._database.write() as connection:
            backlog.finish(connection, callback_id, step.generation)
        return False
