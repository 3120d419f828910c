"""The recovery runner: makes undelivered deliveries due again, a slice at a time. The dispatchers'
lanes then send them as they can.

A job in every dispatcher process. The processes take turns at the slices, and several recoveries
take turns among themselves. It sends nothing, and decides only which callbacks can be called.
Built and watched by the worker.
"""

from collections.abc import Sequence

from consumers.loop import Loop, OnBug
from consumers.pipeline.matching import MatchingDirectory
from schemas.deliveries.callback_health import MAY_BE_CALLED
from schemas.deliveries.deliveries import DeliveryState
from schemas.deliveries.recoveries import Recoverable, Recovery, RecoveryState
from schemas.errors import StatementTimedOut, StoreUnavailable
from schemas.events.types import EventType
from schemas.ids import CallbackId, TokenId
from schemas.log_events import LogEvent
from schemas.observer import Observer
from schemas.times import UnixMs
from schemas.tokens.matching import owners
from schemas.tokens.tokens import TokenState
from store.engine.database import Connection, Database
from store.recoveries import candidates, jobs, reopening
from store.recoveries.candidates import Candidate
from store.recoveries.jobs import Job, RecoveryPosition, Slice
from store.recoveries.missing import missing, stored_events
from store.recoveries.scanning import Key

POLL_S = 0.5
"""How much later a recovery that another process created may be noticed. Shorter: more queries that
find nothing.
"""

PAUSE_S = 0.02
"""Pause between slices, in which other writers get their turn. Longer: a recovery of millions takes
longer.
"""

SLICE = 500
"""Deliveries, or events scanned, in one transaction. More: others wait longer for its commit.
Fewer: more commits.
"""

_GROWTH = 20
"""How many slices have to succeed for a size that was halved to grow by a whole slice again. More:
a heavy stretch costs more commits afterwards. Fewer: in a long stretch more slices fail.
"""


class RecoveryRunner(Loop):
    """Works on one slice at a time."""

    name = "recovery_runner"
    on_bug = OnBug.RAISE
    """`step` handles what a recovery or the store does wrong. Anything else is a bug in this file.
    """

    def __init__(
        self,
        database: Database,
        directory: MatchingDirectory,
        observer: Observer,
        slice_rows: int = SLICE,
    ):
        super().__init__(observer, POLL_S)
        self._database, self._directory = database, directory
        self._slice_rows = slice_rows
        self._logged_reason: str | None = None
        self._unavailable = False
        database.subscribe(jobs.NOTIFICATION, self.wake)

    async def step(self) -> float:
        """Do one slice. An error costs repairs only, not what is delivered meanwhile. It is logged
        once, and tried again after the usual pause.
        """
        try:
            worked = await self.in_thread(self.work)
        except Exception as error:  # noqa: BLE001 - also a bug: it must cost repairs only
            self._log_once(error)
            return POLL_S
        self._logged_reason = None
        if self._unavailable:
            self._unavailable = False
            self._observer.log(LogEvent.STORE_AVAILABLE, part="recoveries")
        return PAUSE_S if worked else POLL_S

    def work(self) -> bool:
        """Do one slice of one recovery, in the job's thread. Return False when there is no reason
        to go on at once: there is none to work on, or its slice failed.

        Raises StoreUnavailable, also when the directory is stale and cannot be refreshed: which
        callbacks may be called is not guessed.
        """
        with self._database.read() as connection:
            if not jobs.any_running(connection):
                return False
        if not self._directory.fresh():
            self._directory.refresh()
        job = None
        try:
            with self._database.write() as connection:
                job = jobs.acquire(connection)
                if job is None:
                    return False
                recovery = self._work_on(connection, job)
        except Exception as error:
            if job is None:
                raise
            # any error must cost this recovery only
            self._put_off(job, str(error) or repr(error))
            return False
        if recovery.state is RecoveryState.DONE:
            self._observer.log(
                LogEvent.RECOVERY_DONE,
                recovery=recovery.id,
                done=recovery.done,
                skipped=recovery.skipped,
            )
        return True

    def _log_once(self, error: Exception) -> None:
        reason = str(error) or repr(error)
        if reason != self._logged_reason:
            self._logged_reason = reason
            if isinstance(error, StatementTimedOut):
                self._observer.log(LogEvent.STORE_SLOW, reason=reason)
            elif isinstance(error, StoreUnavailable):
                self._unavailable = True
                self._observer.log(LogEvent.STORE_UNAVAILABLE, part="recoveries", reason=reason)
            else:
                self._observer.log(LogEvent.INTERNAL_ERROR, loop=self.name, error=repr(error))

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
        """Let the other recoveries go first. Raises StoreUnavailable: then all of them wait."""
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
        page = candidates.undelivered(
            connection, query, state, job.position.after, self._rows(job), now
        )
        sendable = self._sendable(connection, page.found, now)
        reopening.reopen(connection, sendable, now)
        skipped = len(page.found) - len(sendable)
        return Slice(len(sendable), skipped, _following(job, page.following))

    def _make_missing(self, connection: Connection, job: Job, now: UnixMs) -> Slice:
        """Make the deliveries that the events of a slice never had. The slice ends before its last
        event when the events before have many: the rows of a transaction are bounded too.
        """
        rows, query = self._rows(job), job.recovery.query
        page = stored_events(connection, query, job.position.after, rows)
        made: list[Candidate] = []
        following = page.following

        def matched(event_type: EventType, channel_id: str) -> dict[CallbackId, TokenId]:
            return owners(event_type, channel_id, self._directory, now)

        for event, pairs in missing(page.found, query, matched):
            made += [
                Candidate(event.id, callback_id, token_id, event.type, now, event.facts)
                for callback_id, token_id in pairs
            ]
            if len(made) >= rows and event is not page.found[-1]:
                following = event.key
                break
        sendable = self._sendable(connection, made, now)
        reopening.make(connection, sendable, now)
        return Slice(len(sendable), len(made) - len(sendable), _following(job, following))

    def _sendable(
        self, connection: Connection, undelivered: Sequence[Candidate], now: UnixMs
    ) -> list[Candidate]:
        stale = candidates.stale(connection, undelivered)
        wanted = [
            candidate
            for candidate in undelivered
            if candidate.key not in stale and self._can_be_sent(candidate, now)
        ]
        stored = candidates.still_stored(connection, wanted)
        return [candidate for candidate in wanted if candidate.event_id in stored]

    def _can_be_sent(self, candidate: Candidate, now: UnixMs) -> bool:
        """Whether there is something to send, to a callback that is called at present and may see
        it, and no process is sending it.
        """
        known = self._directory.callback(candidate.callback_id)
        if known is None or candidate.facts is None or candidate.in_flight:
            return False
        token, callback = known
        may_see = token.sees(candidate.facts.channel_id)
        return may_see and token.state(now) is TokenState.ACTIVE and callback.state in MAY_BE_CALLED


def _following(job: Job, after: Key | None) -> RecoveryPosition | None:
    """Return where the next slice begins: behind the row `after`, or with the next state when this
    state has no more rows. None: the recovery is done.
    """
    if after is not None:
        return RecoveryPosition(job.position.state, after)
    states = job.recovery.query.states
    left = states[states.index(job.position.state) + 1 :]
    return RecoveryPosition(left[0]) if left else None
