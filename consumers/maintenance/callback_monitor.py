"""The callback monitor: probes failing callbacks, gives up what waited too long for them, and
handles the backlog of those that work again or were resumed.

A job in each dispatcher process. The processes do not know of each other, and every step may be
repeated. It never judges an attempt.
"""

import contextlib
import datetime as dt
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import msgspec

from consumers.loop import Loop, OnBug
from consumers.pipeline.due_leasing import START_WITHIN_S
from consumers.pipeline.store_availability import StoreStatus
from consumers.pipeline.unsettled import Unsettled
from schemas.deliveries.callback_health import throttle_horizon
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

POLL_S = 0.5
"""How late a probe may come. Shorter: more queries of an idle database."""

PART_WITHIN_S = 1.0
"""How long each part of a step may take. Callbacks left over are handled in the next step. Longer:
one part keeps the others waiting while the store is slow, and a process that stops waits for it.
Shorter: more steps.
"""

PROBES = 50
"""Probes begun at a time. More: after an outage of all receivers, the store and this process are
busy with them for longer.
"""


class CallbackMonitor(Loop):
    """Gives every callback a transaction of its own, so that one that goes wrong, or takes too
    long, costs only itself.

    `horizon` is the schedule's total: how long a delivery may wait for a failing callback. For a
    callback that throttles everything it is as long, but at least two days.
    """

    name = "callback_monitor"
    on_bug = OnBug.RAISE
    """`step` handles what a callback or the store does wrong. Anything else is a bug in this file.
    """

    def __init__(
        self,
        database: Database,
        unsettled: Unsettled,
        *,
        observer: Observer,
        status: StoreStatus,
        lease_s: float,
        horizon: dt.timedelta,
    ):
        super().__init__(observer, POLL_S)
        self._database, self._unsettled, self._status = database, unsettled, status
        self._lease_ms = int(lease_s * 1000)
        self._horizon, self._refusal_horizon = horizon, throttle_horizon(horizon)
        self._walks: dict[CallbackId, Walk] = {}

    async def step(self) -> float:
        """Handle a part of all callbacks that need it. What was just leased is among the unsettled
        deliveries when this returns.
        """
        try:
            return 0.0 if await self._monitor() else POLL_S
        except StoreUnavailable as error:
            self._status.unavailable(error)
        except Exception as error:  # noqa: BLE001 - the process would end by it at each start
            self._status.internal_error(self.name, error)
        return POLL_S

    async def _monitor(self) -> bool:
        """Return whether there is more to do at once."""
        if not await self.in_thread(self._any_to_handle):
            self._walks.clear()
            self._status.available()
            return False
        # else the holder of a lapsed lease may be about to write its outcome
        if self._status.has_caught_up:
            limit = min(PROBES, self._unsettled.capacity_left)
            self._unsettled.add(await self.in_thread(self._lease_probes, limit))
        more = await self.in_thread(self._give_up_aged)
        more |= await self.in_thread(self._handle_backlogs)
        self._status.available()
        return more

    def _any_to_handle(self) -> bool:
        with self._database.read() as connection:
            now = self._database.now(connection)
            return probes.any_waiting(connection) or refusing.any_aged(
                connection, self._refusal_horizon // _MS, now
            )

    @contextlib.contextmanager
    def _isolated(self) -> Iterator[None]:
        """Continue behind the block when a statement in it takes too long, or it fails in an
        unforeseen way: one callback must not keep the others from being handled.
        """
        try:
            yield
        except StatementTimedOut as error:
            self._status.slow(error)
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - also a bug: it must cost this callback only
            self._status.internal_error(self.name, error)

    def _in_time(self, callback_ids: Sequence[CallbackId]) -> Iterator[CallbackId]:
        """Yield callbacks until the time of a part is over, in random order, so that none is always
        last.
        """
        end_s = time.monotonic() + PART_WITHIN_S
        for callback_id in random.sample(callback_ids, len(callback_ids)):
            yield callback_id
            if self.stopping or time.monotonic() >= end_s:
                return

    def _lease_probes(self, limit: int) -> list[Delivery]:
        if limit <= 0:
            return []
        start_by_s = time.monotonic() + START_WITHIN_S
        callback_ids: list[CallbackId] = []
        with self._isolated(), self._database.read() as connection:
            callback_ids = probes.due_probes(connection, self._database.now(connection), limit)
        leased: list[Admitted] = []
        for callback_id in self._in_time(callback_ids):
            try:
                with self._isolated():
                    leased.append(self._lease_probe(callback_id))
            except StoreUnavailable:
                break  # what was leased is used; the next call finds the store unavailable too
        if overtaken := sum(admitted.overtaken for admitted in leased):
            self._observer.settled(EventType.MESSAGE_STATUS, DeliveryState.SUPERSEDED, overtaken)
        return [
            msgspec.structs.replace(delivery, start_by_s=start_by_s)
            for admitted in leased
            for delivery in admitted.go
        ]

    def _lease_probe(self, callback_id: CallbackId) -> Admitted:
        """Lease in a transaction of its own: it waits for no callback's lock while it holds a lock
        of a status.
        """
        with self._database.write() as connection:
            return probes.lease_probe(
                connection, callback_id, self._database.now(connection), self._lease_ms
            )

    def _give_up_aged(self) -> bool:
        """Give up what waited for as long as its schedule lasts, for a callback that fails or that
        throttles everything.
        """
        failed = f"the callback kept failing for {format_duration(self._horizon)}"
        refused = (
            f"its receiver took nothing for {format_duration(self._refusal_horizon)},"
            " and asked to wait each time"
        )
        failed_ms, refused_ms = self._horizon // _MS, self._refusal_horizon // _MS
        more = self._give_up_of(probes.with_aged, probes.exhaust_aged, failed_ms, failed)
        more |= self._give_up_of(refusing.with_aged, refusing.exhaust_aged, refused_ms, refused)
        return more

    def _give_up_of(self, find: _Find, exhaust: _Exhaust, age_ms: int, reason: str) -> bool:
        callback_ids: list[CallbackId] = []
        with self._isolated(), self._database.read() as connection:
            callback_ids = find(connection, age_ms, self._database.now(connection))
        more = False
        for callback_id in self._in_time(callback_ids):
            with self._isolated():
                more |= self._give_up_slice(exhaust, callback_id, age_ms, reason)
        return more

    def _give_up_slice(
        self, exhaust: _Exhaust, callback_id: CallbackId, age_ms: int, reason: str
    ) -> bool:
        with self._database.write() as connection:
            given_up = exhaust(
                connection, callback_id, age_ms, reason, self._database.now(connection)
            )
        for event_type, count in given_up.items():
            self._observer.settled(event_type, DeliveryState.EXHAUSTED, count)
        return given_up.total() > 0

    def _handle_backlogs(self) -> bool:
        """Handle one slice of each callback's backlog. A callback that took too long waits for the
        next step.
        """
        with self._database.read() as connection:
            callback_ids = backlog.with_pending_backlog(connection)
        more = False
        for callback_id in self._in_time(callback_ids):
            with self._isolated():
                more |= self._handle_slice(callback_id)
        self._walks = {
            callback_id: walk
            for callback_id, walk in self._walks.items()
            if callback_id in callback_ids
        }
        return more

    def _handle_slice(self, callback_id: CallbackId) -> bool:
        """Return whether this callback's backlog has more."""
        with self._database.write() as connection:
            now = self._database.now(connection)
            step = backlog.step(connection, callback_id, self._walks.get(callback_id), now)
            if step is not None and step.changed:
                self._database.notify(connection, "due")
        if step is None:
            return False
        if step.discarded:
            self._observer.settled(step.event_type, DeliveryState.CANCELLED, step.discarded)
        if step.walk is not None:
            self._walks[callback_id] = step.walk
            return True
        self._walks.pop(callback_id, None)
        with self._database.write() as connection:
            backlog.finish(connection, callback_id, step.generation)
        return False
