"""Due rows: retries, spilled deliveries, those of a crashed dispatcher, and attempts that somebody
asked for.

Taken only of healthy callbacks (`callback_monitor` attends to the others), as far as a lane has
room for them, each under a lease. Woken by a doorbell, and by a poll as safety net.
"""

import asyncio
import contextlib
import random
import time
from concurrent.futures import ThreadPoolExecutor

import msgspec

from consumers.pipeline.matching import MatchingDirectory
from consumers.pipeline.store_status import StoreStatus
from consumers.pipeline.unsettled import Unsettled
from schemas.deliveries.deliveries import DeliveryState
from schemas.deliveries.withdrawal import ended
from schemas.errors import StatementTimedOut, StoreUnavailable
from schemas.events.types import EventType
from schemas.ids import CallbackId
from schemas.observer import Observer
from schemas.times import UnixMs
from schemas.tokens.tokens import Callback, CallbackState, Token, TokenState
from store.deliveries import due, withdrawal
from store.deliveries.due import LeasedRows, Share, Wish
from store.deliveries.status_gate import admit
from store.engine.database import Connection, Database
from store.tokens import throttling

POLL_S = 0.25
"""A retry may start this much late. Shorter: more queries of an idle database."""

START_WITHIN_S = 5.0
"""How long after its take an attempt may still start, so that it ends within the lease and leaves
time to write its outcome.
"""

TAKE_WITHIN_S = 1.0
"""A take looks at no further share after this: with many callbacks, or a slow store, the next take
goes on. Longer: what was taken first cannot start in time, and a process that is told to stop waits
for it. Shorter: more transactions for the same rows.
"""

LOOKS_APART_S = 0.02
"""Between two looks of which the first found nothing that could be taken: settlements wake the
taker while rows are spilled. Shorter: more queries while a callback hangs. Longer: spilled rows
wait longer for a slot that is free.
"""

IDLE_SHARE = 4
"""Such a look is followed by a pause of so many times its own length, however many callbacks it had
to look at.
"""

_REQUESTED_LIMIT = 20


class _Work(msgspec.Struct, frozen=True):
    """What of the due shares may be taken, how much in all, whose rows will never be sent, for all
    that is known here, and whether attempts were asked for.
    """

    wishes: dict[Share, Wish]
    dead: list[CallbackId]
    requested: bool
    most: int

    @property
    def parts(self) -> "list[_Work]":
        """The same, each thing by itself."""
        wishes = [_Work({share: wish}, [], False, self.most) for share, wish in self.wishes.items()]
        dead = [
            _Work({}, [callback_id], False, self.most) for callback_id in dict.fromkeys(self.dead)
        ]
        return [*wishes, *dead, *([_Work({}, [], True, self.most)] if self.requested else [])]


class DuePoller:
    """One loop; `wake` may be called from any thread."""

    def __init__(
        self,
        database: Database,
        directory: MatchingDirectory,
        unsettled: Unsettled,
        observer: Observer,
        watch: StoreStatus,
        lease_s: float,
    ):
        self._database, self._directory, self._unsettled, self._observer, self._watch = (
            database,
            directory,
            unsettled,
            observer,
            watch,
        )
        self._lease_ms = int(lease_s * 1000)
        self._thread = ThreadPoolExecutor(1, "due")
        self._woken = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._careful = False
        self._stopping = False
        self._stopped = asyncio.Event()
        unsettled.on_spilled = self._woken.set
        database.subscribe("due", self.wake)

    def wake(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._woken.set)

    async def stop(self) -> None:
        """Take no more; what was just taken is in hand when this returns."""
        self._stopping = True
        self._woken.set()
        await self._stopped.wait()

    async def run(self) -> None:
        """Until `stop`."""
        try:
            while not self._stopping:
                began_s = time.monotonic()
                if not await self._take_quietly():
                    await self._nap(time.monotonic() - began_s)
        finally:
            self._stopped.set()

    async def _nap(self, took_s: float) -> None:
        await asyncio.sleep(max(LOOKS_APART_S, IDLE_SHARE * took_s))
        try:
            async with asyncio.timeout(POLL_S):
                await self._woken.wait()
        except TimeoutError:
            return  # the poll
        finally:
            self._woken.clear()

    async def _take_quietly(self) -> bool:
        try:
            return await self._take_some()
        except Exception as error:  # noqa: BLE001 - also a mistake of ours, or a row that is refused: the process would end of it at each start
            self._failed(error)
        return False

    async def _take_some(self) -> bool:
        """Whether there was something, so that there may be more."""
        if self._unsettled.places <= 0:
            return False
        loop = asyncio.get_running_loop()
        look = self._unsettled.look()
        found, requested, now = await loop.run_in_executor(self._thread, self._find)
        self._watch.back()
        self._unsettled.saw(look, self._spilled(found, now))
        work = self._sort(found, requested, now)
        if not (requested or work.wishes or work.dead):
            return False  # no transaction for nothing: on SQLite it would keep the writers waiting
        return await (self._take_carefully(work) if self._careful else self._take_part(work))

    async def _take_carefully(self, work: _Work) -> bool:
        """Each callback in a transaction of its own, so that what goes wrong with one, or takes too
        long, costs that one; until nothing does. The order is chance, as one of them may end it:
        the store is away, it seems.
        """
        taken = self._careful = False
        for part in random.sample(parts := work.parts, len(parts)):
            if self._stopping or self._unsettled.places <= 0:
                break
            try:
                taken |= await self._take_part(part)
            except Exception as error:  # noqa: BLE001 - as above
                self._failed(error)
                if self._watch.away_for_s:
                    break
        return taken

    def _failed(self, error: Exception) -> None:
        if isinstance(error, StoreUnavailable) and not isinstance(error, StatementTimedOut):
            self._watch.away(error)
            return
        self._careful = True
        if isinstance(error, StatementTimedOut):
            self._watch.slow(error)
        else:
            self._watch.mistaken("due", error)

    async def _take_part(self, work: _Work) -> bool:
        loop = asyncio.get_running_loop()
        taken, cancelled = await loop.run_in_executor(
            self._thread, self._take, work, self._watch.has_caught_up
        )
        self._unsettled.pick_up(taken.deliveries)
        if taken.poisoned:
            await loop.run_in_executor(self._thread, self._give_up, taken.poisoned)
        return bool(taken.deliveries or taken.poisoned or cancelled)

    def _give_up(self, poisoned: dict[CallbackId, list[str]]) -> None:
        for callback_id, event_ids in poisoned.items():
            with self._database.write() as connection:
                given_up = due.give_up(
                    connection, callback_id, event_ids, self._database.now(connection)
                )
            for kind, count in given_up.items():
                self._observer.settled(kind, DeliveryState.EXHAUSTED, count)

    def _find(self) -> tuple[list[Share], bool, UnixMs]:
        """What is due, whether attempts were asked for, and when that was, by the store's clock."""
        with self._database.read() as connection:
            now = self._database.now(connection)
            return due.shares_with_due(connection, now), due.has_requested(connection, now), now

    def _sort(self, shares: list[Share], requested: bool, now: UnixMs) -> _Work:
        """On the event loop: of which rows can be taken now, and how many. All others are simply
        left.
        """
        work, unsettled = _Work({}, [], requested, self._unsettled.places), self._unsettled
        for share in shares:
            found = self._directory.callback(share.callback_id)
            if ended(found and found[0], now):
                work.dead.append(share.callback_id)
            elif found and _sendable(*found, now) and (free := unsettled.free_slots(*share)) > 0:
                work.wishes[share] = Wish(
                    free,
                    unsettled.dispatcher.conversations(share.callback_id),
                    found[1].held_before,
                )
        return work

    def _spilled(self, shares: list[Share], now: UnixMs) -> set[CallbackId]:
        """Whose new deliveries have to wait: of the others nothing is sent that could overtake."""
        firsts = {share.callback_id for share in shares if not share.is_retry}
        return {
            one
            for one in firsts
            if (found := self._directory.callback(one)) and _sendable(*found, now)
        }

    def _take(self, work: _Work, lapsed: bool) -> tuple[LeasedRows, int]:
        """In the store's thread: what is in hand now, and how many were cancelled."""
        start_by_s = (
            time.monotonic() + START_WITHIN_S
        )  # before the store's clock is read: what comes between only makes it earlier
        with self._database.write() as connection:
            now = self._database.now(connection)
            until_s = time.monotonic() + TAKE_WITHIN_S
            requested = (
                due.take_requested(connection, _REQUESTED_LIMIT, now, self._lease_ms)
                if work.requested
                else []
            )
            wishes = self._heeded(connection, work.wishes, now)
            taken = due.take(
                connection,
                wishes,
                now,
                self._lease_ms,
                lapsed=lapsed,
                most=work.most,
                until_s=until_s,
            )
            admitted = admit(connection, [*requested, *taken.deliveries], now, self._lease_ms)
            cancelled = self._cancel(connection, work.dead, now, until_s)
        if any(self._directory.callback(delivery.callback_id) is None for delivery in requested):
            with contextlib.suppress(
                StoreUnavailable
            ):  # a callback may be tested the moment it is made
                self._directory.refresh()
        if admitted.overtaken:
            self._observer.settled(
                EventType.MESSAGE_STATUS, DeliveryState.SUPERSEDED, admitted.overtaken
            )
        deliveries = [msgspec.structs.replace(one, start_by_s=start_by_s) for one in admitted.go]
        return LeasedRows(deliveries, taken.poisoned), cancelled

    def _cancel(
        self, connection: Connection, dead: list[CallbackId], now: UnixMs, until_s: float
    ) -> int:
        """A slice of each, as long as there is time; behind what is sent, which has to start soon.
        """
        cancelled = 0
        for callback_id in dict.fromkeys(dead):
            cancelled += withdrawal.cancel(connection, callback_id, now)
            if time.monotonic() >= until_s:
                break
        return cancelled

    def _heeded(
        self, connection: Connection, wishes: dict[Share, Wish], now: UnixMs
    ) -> dict[Share, Wish]:
        """Without those whose receiver asked another dispatcher for a pause of which the directory
        has not heard yet: what was refused is due again at once, and would be sent into that pause.
        """
        throttled_until_by_callback = throttling.throttled_until_by_callback(
            connection, {share.callback_id for share in wishes}, now
        )
        return {
            share: wish
            for share, wish in wishes.items()
            if throttled_until_by_callback.get(share.callback_id, 0)
            <= self._known_pause(share.callback_id)
        }

    def _known_pause(self, callback_id: CallbackId) -> int:
        """Until when it is left alone, for all that the directory knows."""
        found = self._directory.callback(callback_id)
        return (found and found[1].health.throttled_until) or 0


def _sendable(token: Token, callback: Callback, now: UnixMs) -> bool:
    return token.state(now) is TokenState.ACTIVE and callback.state is CallbackState.HEALTHY
