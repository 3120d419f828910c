"""Recovering: what was not delivered is made due again, a slice at a time; the dispatchers' lanes
then send it as they can.

A loop in every dispatcher process. They take turns at the slices, and several recoveries take turns
among themselves. It sends nothing and decides only who can be called at all; built and watched by
the worker.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from consumers.pipeline.matching import MatchingDirectory, owners
from schemas.deliveries.deliveries import DeliveryState
from schemas.deliveries.recoveries import Recoverable, Recovery, RecoveryState
from schemas.ids import CallbackId, TokenId
from schemas.log_events import LogEvent
from schemas.observer import Observer
from schemas.times import UnixMs
from schemas.tokens.tokens import CallbackState, TokenState
from store.engine.database import Connection, Database
from store.recoveries import candidates, jobs
from store.recoveries.candidates import Key, Lost, StoredEvent
from store.recoveries.jobs import Job, RecoveryPosition, Slice

POLL_S = 0.5
"""How much later another process's request may be noticed. Shorter: more queries that find nothing.
"""

PAUSE_S = 0.02
"""Between slices, so that whoever else writes gets its turn. Longer: a recovery of millions takes
longer.
"""

SLICE = 500
"""Deliveries, or events looked at, of a transaction. More: others wait longer for its commit.
Fewer: more commits.
"""

_GROWTH = 20
"""In how many slices that succeed one is grown by a whole one again, after it was halved. More: a
heavy stretch costs more commits afterwards. Fewer: in a long one more slices fail.
"""

_CALLED = frozenset({CallbackState.HEALTHY, CallbackState.FAILING})


class RecoveryRunner:
    """One loop; `wake` may be called from any thread."""

    def __init__(
        self,
        database: Database,
        directory: MatchingDirectory,
        observer: Observer,
        slice_rows: int = SLICE,
    ):
        self._database, self._directory, self._observer = database, directory, observer
        self._slice_rows = slice_rows
        self._thread = ThreadPoolExecutor(1, "recover")
        self._woken = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._stopping = False
        self._waiting_for: str | None = None  # what the operator was told of
        self._stopped = asyncio.Event()
        database.subscribe(jobs.NOTIFICATION, self.wake)

    def wake(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._woken.set)

    async def stop(self) -> None:
        """Begin no slice any more; none is under way when this returns. Whoever runs next goes on.
        """
        self._stopping = True
        self._woken.set()
        await self._stopped.wait()

    async def run(self) -> None:
        """Until `stop`."""
        try:
            while not self._stopping:
                await self._nap(PAUSE_S if await self._work_quietly() else POLL_S)
        finally:
            self._stopped.set()

    async def _nap(self, limit_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._woken.wait()
        self._woken.clear()

    async def _work_quietly(self) -> bool:
        try:
            worked = await self._loop.run_in_executor(self._thread, self.work)
        except Exception as error:  # noqa: BLE001 - also a mistake of ours: it must cost repairs only, not what is delivered meanwhile
            if self._waiting_for != (reason := str(error) or repr(error)):
                self._observer.log(LogEvent.STORE_UNAVAILABLE, reason=reason)
            self._waiting_for = reason
            return False
        self._waiting_for = None
        return worked

    def work(self) -> bool:
        """One slice of one recovery, in the store's thread; False when there is no reason to go on
        at once: none to work on, or its slice failed. Raises StoreUnavailable, also when the
        directory is behind and cannot catch up: who may be called is not guessed.
        """
        with self._database.read() as connection:
            if not jobs.any_running(connection):
                return False
        if not self._directory.fresh():
            self._directory.refresh()
        job = None
        try:
            with self._database.write() as connection:
                job = jobs.take(connection)
                if job is None:
                    return False
                recovery = self._work_on(connection, job)
        except Exception as error:
            if job is None:
                raise
            self._put_off(
                job, str(error) or repr(error)
            )  # whatever it is: it must cost this one only
            return False
        if recovery.state is RecoveryState.DONE:
            self._observer.log(
                LogEvent.RECOVERY_DONE,
                recovery=recovery.id,
                done=recovery.done,
                skipped=recovery.skipped,
            )
        return True

    def _work_on(self, connection: Connection, job: Job) -> Recovery:
        now, rows = self._database.now(connection), self._rows(job)
        worked = self._slice(connection, job, now)
        if worked.done:
            self._database.notify(connection, "due")
        grown = rows + max(1, self._slice_rows // _GROWTH)
        return jobs.advance(
            connection, job, worked, now, grown if grown < self._slice_rows else None
        )

    def _put_off(self, job: Job, reason: str) -> None:
        """Raises StoreUnavailable: then all of them wait."""
        jobs.put_off(self._database, job, self._rows(job), reason)
        if reason != job.recovery.trouble:
            self._observer.log(LogEvent.RECOVERY_DEFERRED, recovery=job.recovery.id, reason=reason)

    def _rows(self, job: Job) -> int:
        return self._slice_rows if job.slice_rows is None else min(job.slice_rows, self._slice_rows)

    def _slice(self, connection: Connection, job: Job, now: UnixMs) -> Slice:
        if job.position.state is Recoverable.MISSING:
            return self._make_missing(connection, job, now)
        return self._reopen(connection, job, now)

    def _reopen(self, connection: Connection, job: Job, now: UnixMs) -> Slice:
        state, query = DeliveryState(job.position.state), job.recovery.query
        look = candidates.undelivered(
            connection, query, state, job.position.after, self._rows(job), now
        )
        sent = self._sendable(connection, look.found, now)
        candidates.reopen(connection, sent, now)
        return Slice(len(sent), len(look.found) - len(sent), _following(job, look.following))

    def _make_missing(self, connection: Connection, job: Job, now: UnixMs) -> Slice:
        """Ends before its last event when those before have many: the rows of a transaction are
        bounded too.
        """
        rows = self._rows(job)
        look = candidates.stored_events(connection, job.recovery.query, job.position.after, rows)
        missing: list[Lost] = []
        following = look.following
        for event in look.found:
            missing += self._missing(event, job.recovery.query.token, now)
            if len(missing) >= rows and event is not look.found[-1]:
                following = event.key
                break
        sent = self._sendable(connection, missing, now)
        candidates.make(connection, sent, now)
        return Slice(len(sent), len(missing) - len(sent), _following(job, following))

    def _missing(self, stored: StoredEvent, only: TokenId | None, now: UnixMs) -> Iterable[Lost]:
        """What it would have had, were it claimed now, and has not."""
        seeing: dict[CallbackId, TokenId] = owners(
            stored.type, stored.channel_id, self._directory, now
        )
        for callback_id, token_id in seeing.items():
            if only in (None, token_id) and callback_id not in stored.callback_ids:
                yield Lost(stored.id, callback_id, token_id, stored.type, now, stored.facts)

    def _sendable(self, connection: Connection, lost: Sequence[Lost], now: UnixMs) -> list[Lost]:
        stale = candidates.stale(connection, lost)
        wanted = [one for one in lost if one.key not in stale and self._can_be_sent(one, now)]
        stored = candidates.still_stored(connection, wanted)
        return [one for one in wanted if one.event_id in stored]

    def _can_be_sent(self, lost: Lost, now: UnixMs) -> bool:
        """Whether there is something to send, to somebody who is called at present and may see it,
        and nobody is sending it.
        """
        found = self._directory.callback(lost.callback_id)
        if found is None or lost.facts is None or lost.in_flight:
            return False
        token, callback = found
        may_see = token.sees(lost.facts.channel_id)
        return may_see and token.state(now) is TokenState.ACTIVE and callback.state in _CALLED


def _following(job: Job, after: Key | None) -> RecoveryPosition | None:
    """Where it goes on: behind that row, or None, when there was nothing more, with what comes
    after all of this state; None: nothing.
    """
    if after is not None:
        return RecoveryPosition(job.position.state, after)
    states = job.recovery.query.states
    left = states[states.index(job.position.state) + 1 :]
    return RecoveryPosition(left[0]) if left else None
