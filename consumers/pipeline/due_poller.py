"""The due poller: leases due rows, which are retries, spilled deliveries, those of a crashed
dispatcher, and requested attempts.

It leases only for healthy callbacks (`callback_monitor` attends to the others), and no more than a
lane has room for. It is woken by notifications, and polls as a safety net.
"""

import asyncio
import random
import time
from collections.abc import Sequence

from consumers.loop import Loop, OnBug
from consumers.pipeline.due_leasing import DueLeasing, DueScan, LeasePlan
from consumers.pipeline.matching import MatchingDirectory
from consumers.pipeline.store_availability import StoreStatus
from consumers.pipeline.unsettled import Unsettled
from schemas.deliveries.withdrawal import ended
from schemas.errors import StatementTimedOut, StoreUnavailable
from schemas.ids import CallbackId
from schemas.observer import Observer
from schemas.times import UnixMs
from schemas.tokens.tokens import Callback, CallbackState, Token, TokenState
from store.deliveries.due import LeaseRequest, Share
from store.engine.database import Database

POLL_S = 0.25
"""How late a retry may start. Shorter: more queries of an idle database."""

SCANS_APART_S = 0.02
"""Time between two scans of which the first found nothing that could be leased: settlements wake
the poller while rows are spilled. Shorter: more queries while a callback hangs. Longer: spilled
rows wait longer for a slot that is free.
"""

IDLE_SHARE = 4
"""How many times its own length the pause after such a scan is, however many callbacks it had to
read. More: spilled rows wait longer. Less: an idle process costs the database more.
"""


class DuePoller(Loop):
    """Leases due rows, and adds them to the unsettled deliveries."""

    name = "due_poller"
    on_bug = OnBug.RAISE
    """`step` handles what a row or the store does wrong. Anything else is a bug in this file."""

    def __init__(
        self,
        database: Database,
        directory: MatchingDirectory,
        *,
        unsettled: Unsettled,
        observer: Observer,
        status: StoreStatus,
        lease_s: float,
    ):
        super().__init__(observer, POLL_S)
        self._directory, self._unsettled, self._status = directory, unsettled, status
        self._leasing = DueLeasing(database, directory, observer, lease_s)
        self._careful = False
        database.subscribe("due", self.wake)

    async def step(self) -> float:
        """Lease what can be leased now. What was just leased is among the unsettled deliveries when
        this returns.
        """
        began_s = time.monotonic()
        try:
            if await self._lease_some():
                return 0.0
        except Exception as error:  # noqa: BLE001 - also a bug: a restart would not help
            self._failed(error)
        await asyncio.sleep(max(SCANS_APART_S, IDLE_SHARE * (time.monotonic() - began_s)))
        return POLL_S

    async def _lease_some(self) -> bool:
        """Return whether there was something, so that there may be more."""
        if self._unsettled.capacity_left <= 0:
            return False
        scan = self._unsettled.begin_scan()
        found = await self.in_thread(self._leasing.scan)
        self._status.available()
        self._unsettled.end_scan(scan, self._spilled(found.shares, found.now))
        plan = self._plan(found)
        if not (plan.requested or plan.requests or plan.ended):
            return False  # an empty transaction would keep SQLite's other writers waiting
        return await (self._lease_carefully(plan) if self._careful else self._lease(plan))

    async def _lease_carefully(self, plan: LeasePlan) -> bool:
        """Give each callback a transaction of its own, so that one that goes wrong, or takes too
        long, costs only itself. This lasts until none does. The order is random, as one callback
        may end the step: it may look as if the store were unavailable.
        """
        leased = self._careful = False
        for part in random.sample(parts := plan.parts, len(parts)):
            if self.stopping or self._unsettled.capacity_left <= 0:
                break
            try:
                leased |= await self._lease(part)
            except Exception as error:  # noqa: BLE001 - also a bug: it must cost this callback only
                self._failed(error)
                if self._status.unavailable_for_s:
                    break
        return leased

    def _failed(self, error: Exception) -> None:
        if isinstance(error, StoreUnavailable) and not isinstance(error, StatementTimedOut):
            self._status.unavailable(error)
            return
        self._careful = True
        if isinstance(error, StatementTimedOut):
            self._status.slow(error)
        else:
            self._status.internal_error(self.name, error)

    async def _lease(self, plan: LeasePlan) -> bool:
        leased = await self.in_thread(self._leasing.lease, plan, self._status.has_caught_up)
        self._unsettled.add(leased.deliveries)
        if leased.poisoned:
            await self.in_thread(self._leasing.give_up, leased.poisoned)
        return bool(leased.deliveries or leased.poisoned or leased.cancelled)

    def _plan(self, found: DueScan) -> LeasePlan:
        """Decide which rows can be leased now, and how many. All others are left."""
        unsettled = self._unsettled
        requests: dict[Share, LeaseRequest] = {}
        ended_callbacks: list[CallbackId] = []
        for share in found.shares:
            known = self._directory.callback(share.callback_id)
            if ended(known and known[0], found.now):
                ended_callbacks.append(share.callback_id)
            elif (
                known
                and _is_sendable(*known, found.now)
                and (free := unsettled.free_slots(*share)) > 0
            ):
                requests[share] = LeaseRequest(
                    free,
                    unsettled.dispatcher.conversations(share.callback_id),
                    known[1].held_before,
                )
        requested = found.requested and self._status.has_caught_up
        return LeasePlan(requests, ended_callbacks, requested, unsettled.capacity_left)

    def _spilled(self, shares: Sequence[Share], now: UnixMs) -> set[CallbackId]:
        """Return the callbacks whose new deliveries have to wait. For the others nothing is sent
        that could overtake.
        """
        firsts = {share.callback_id for share in shares if not share.is_retry}
        return {
            callback_id
            for callback_id in firsts
            if (known := self._directory.callback(callback_id)) and _is_sendable(*known, now)
        }


def _is_sendable(token: Token, callback: Callback, now: UnixMs) -> bool:
    return token.state(now) is TokenState.ACTIVE and callback.state is CallbackState.HEALTHY
