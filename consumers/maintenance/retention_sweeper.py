"""The retention sweeper: deletes what is older than `RETENTION`, a slice at a time, in a small
share of the store's time.

A job in every dispatcher process, of which one at a time holds the lease. Which rows may go is
decided by `store.maintenance.retention`. An error here affects no delivery.
"""

import datetime as dt
import time
from collections import deque

from consumers.loop import Loop, OnBug
from schemas.errors import StoreUnavailable
from schemas.log_events import LogEvent
from schemas.observer import Observer
from schemas.times import UnixMs
from store.engine.database import Database
from store.maintenance import job_leases, retention
from store.maintenance.retention import Age, ExpiryScan, Key, Sweep

SLICE = 100
"""Rows scanned, and events or deliveries deleted, in one transaction. More: on SQLite a publish
waits longer for it. Fewer: more commits.
"""

SHARE = 0.1
"""The share of the time in which slices are worked on, at most. More: a backlog is gone sooner.
Less: other users of the store feel less of it.
"""

HURRIED_SHARE = 0.5
"""The share of the time when a whole lease was not enough for a sweep. What comes must go, or the
disk fills up.
"""

MOST_APART_S = 300.0
"""Seconds between the beginnings of two sweeps, at most. Longer: more gathers, and goes at once.
Shorter: more scans that find nothing.
"""

LEAST_APART_S = 1.0
"""Seconds between the beginnings of two sweeps with a retention of minutes, which has a hundred
sweeps.
"""

_WALK_APART = 1 / 30
"""Time between two walks through a table without an index on age, as a part of the retention. Less:
the table is read more often. More: it is larger.
"""

_POLL_SHARE = 0.1
"""How late the next sweep may begin, as a part of the time between sweeps."""


class RetentionSweeper(Loop):
    """Sweeps the tables in rotation while it holds the lease."""

    name = "retention_sweeper"
    on_bug = OnBug.LOG_AND_RETRY
    """Old rows can wait: a dispatcher that ended would deliver nothing because of them."""

    def __init__(
        self,
        database: Database,
        kept_for: dt.timedelta,
        observer: Observer,
        slice_rows: int = SLICE,
    ):
        self._apart_s = min(MOST_APART_S, max(LEAST_APART_S, kept_for.total_seconds() / 100))
        super().__init__(observer, poll_s=_POLL_SHARE * self._apart_s)
        self._database, self._slice_rows = database, slice_rows
        self._kept_for_ms = kept_for // dt.timedelta(milliseconds=1)
        self._until_s = float("-inf")  # the end of this process's lease, by its own clock
        self._share = SHARE
        self._left: deque[Sweep] = deque()
        self._after: dict[str, Key] = {}
        self._rows: dict[str, int] = {}  # of a slice; fewer after one that failed

    async def step(self) -> float:
        """Do one slice in the job's thread."""
        return await self.in_thread(self.work)

    def work(self) -> float:
        """Do one slice if this process holds the lease, and return the seconds to pause. Raises
        StoreUnavailable.
        """
        began_s = time.monotonic()
        if (began_s >= self._until_s or not self._left) and not self._acquire_lease(began_s):
            return self._poll_s
        self._do_slice(self._left.popleft())
        return (time.monotonic() - began_s) * (1 / self._share - 1)

    def _acquire_lease(self, now_s: float) -> bool:
        """Acquire the lease for as long as sweeps are apart, so that the next sweep may begin when
        it ends. What was left of the last sweep comes first.
        """
        with self._database.write() as connection:
            now = self._database.now(connection)
            if not job_leases.acquire(connection, "retention", now, int(self._apart_s * 1000)):
                return False
            walk = job_leases.acquire(
                connection, retention.STATUS_LOCKS.name, now, int(_WALK_APART * self._kept_for_ms)
            )
        self._share = HURRIED_SHARE if self._left else SHARE
        begun = {sweep.name for sweep in self._left}
        self._left += [
            sweep
            for sweep in (*retention.SWEEPS, *([retention.STATUS_LOCKS] if walk else []))
            if sweep.name not in begun
        ]
        self._until_s = now_s + self._apart_s
        return True

    def _do_slice(self, sweep: Sweep) -> None:
        """Scan without a writer's lock, as there is mostly nothing to delete. The next slice
        is another table's: a backlog of one keeps none of the others waiting.
        """
        rows = self._rows.get(sweep.name, self._slice_rows)
        try:
            age, scan = self._scan(sweep, rows)
        except StoreUnavailable:
            self._left.append(sweep)
            raise
        if scan.expired:
            self._remove(sweep, age, scan.expired, rows)
        self._after.pop(sweep.name, None)
        self._rows.pop(sweep.name, None)
        if scan.following is not None:
            self._after[sweep.name] = scan.following
            self._rows[sweep.name] = min(self._slice_rows, rows + 1)
            self._left.append(sweep)

    def _scan(self, sweep: Sweep, rows: int) -> tuple[Age, ExpiryScan]:
        with self._database.read() as connection:
            now = self._database.now(connection)
            age = Age(now, UnixMs(now - self._kept_for_ms))
            return age, sweep.scan(connection, age, self._after.get(sweep.name), rows)

    def _remove(self, sweep: Sweep, age: Age, expired: list[Key], rows: int) -> None:
        """Delete expired rows. Rows that fail are tried again in smaller slices. A row that fails
        alone is left until the next sweep: it must not keep all that are younger.
        """
        try:
            with self._database.write() as connection:
                removed = sweep.remove(connection, age, expired)
        except Exception as error:
            if len(expired) > 1:
                self._rows[sweep.name] = rows // 2
                self._left.append(sweep)
                raise
            self._observer.log(
                LogEvent.RETENTION_FAILED,
                sweep=sweep.name,
                key=str(expired[0]),
                error=repr(error),
            )
            return
        for table, count in removed.items():
            self._observer.expired(table, count)
