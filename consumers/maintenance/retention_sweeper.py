"""Sweeping: what is older than `RETENTION` is deleted, a slice at a time, and at a small share of
the store's time.

A loop in every dispatcher process, of which one at a time has the turn. Which rows may go,
`store.maintenance.retention` knows. Nothing that goes wrong here touches a delivery.
"""

import asyncio
import contextlib
import datetime as dt
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor

from schemas.errors import StoreUnavailable
from schemas.log_events import LogEvent
from schemas.observer import Observer
from schemas.times import UnixMs
from store.engine.database import Database
from store.maintenance import leases, retention
from store.maintenance.retention import Age, Key, Scan, Sweep

SLICE = 100
"""Rows looked at, and events or deliveries deleted, in a transaction. More: on SQLite a publish
waits longer for it. Fewer: more commits.
"""

SHARE = 0.1
"""Of the time, at most, in which a slice is worked on. More: a backlog is gone sooner. Less:
everybody else feels less of it.
"""

HURRIED_SHARE = 0.5
"""The same while a whole turn was not enough: what comes must go, or the disk fills up."""

MOST_APART_S = 300.0
"""Between the beginnings of two sweeps. Longer: more gathers, and goes at once. Shorter: more looks
that find nothing.
"""

LEAST_APART_S = 1.0
"""The same, with a retention of minutes, which has a hundred sweeps."""

_WALK_APART = 1 / 30
"""Of the retention: between two walks through a table without an index for it. Less: it is read
more often. More: it is larger.
"""

_LOOK = 0.1
"""Of the time between sweeps: how late the next one may begin."""

ERROR_PAUSE_S = 60.0
"""Until the loop tries again after a mistake of ours. Shorter: the same mistake more often in the
log.
"""


class RetentionSweeper:
    """Build and `start` it on a running event loop, `stop` it at the end."""

    def __init__(
        self,
        database: Database,
        kept_for: dt.timedelta,
        observer: Observer,
        slice_rows: int = SLICE,
    ):
        self._database, self._observer, self._slice_rows = database, observer, slice_rows
        self._kept_for_ms = kept_for // dt.timedelta(milliseconds=1)
        self._apart_s = min(MOST_APART_S, max(LEAST_APART_S, kept_for.total_seconds() / 100))
        self._look_s = _LOOK * self._apart_s
        self._thread = ThreadPoolExecutor(1, "sweep")
        self._stopping = asyncio.Event()
        self._until_s = float("-inf")  # the end of our turn, by our clock
        self._share = SHARE
        self._left: deque[Sweep] = deque()
        self._after: dict[str, Key] = {}
        self._rows: dict[str, int] = {}  # of a slice; fewer after one that failed
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="sweep")

    async def stop(self, limit_s: float) -> None:
        """Begin no slice any more, and let the one that is under way end."""
        self._stopping.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=limit_s)
            self._task.cancel()

    async def _run(self) -> None:
        while not self._stopping.is_set():
            await self._nap(await self._work_safely())

    async def _nap(self, pause_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._stopping.wait()

    async def _work_safely(self) -> float:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self.work)
        except StoreUnavailable:
            return self._look_s  # as the process's other loops have said
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not end a dispatcher that delivers
            self._observer.log(LogEvent.INTERNAL_ERROR, loop="sweep", error=repr(error))
            return ERROR_PAUSE_S

    def work(self) -> float:
        """One slice, in the store's thread, if it is our turn. Returns how many seconds to pause.
        Raises StoreUnavailable.
        """
        began_s = time.monotonic()
        if (began_s >= self._until_s or not self._left) and not self._take_turn(began_s):
            return self._look_s
        self._do_slice(self._left.popleft())
        return (time.monotonic() - began_s) * (1 / self._share - 1)

    def _take_turn(self, now_s: float) -> bool:
        """For as long as sweeps are apart, so that the end of a turn is when the next one may
        begin. What was left of our last turn is gone on with.
        """
        with self._database.write() as connection:
            now = self._database.now(connection)
            if not leases.take(connection, "retention", now, int(self._apart_s * 1000)):
                return False
            walk = leases.take(
                connection, retention.PLACES.name, now, int(_WALK_APART * self._kept_for_ms)
            )
        self._share = HURRIED_SHARE if self._left else SHARE
        begun = {sweep.name for sweep in self._left}
        self._left += [
            sweep
            for sweep in (*retention.SWEEPS, *([retention.PLACES] if walk else []))
            if sweep.name not in begun
        ]
        self._until_s = now_s + self._apart_s
        return True

    def _do_slice(self, sweep: Sweep) -> None:
        """Look without a writer's lock: mostly there is nothing to be done. Then the next table's
        turn comes: a backlog of one keeps none of the others waiting.
        """
        rows = self._rows.get(sweep.name, self._slice_rows)
        try:
            age, look = self._look(sweep, rows)
        except StoreUnavailable:
            self._left.append(sweep)
            raise
        if look.doomed:
            self._remove(sweep, age, look.doomed, rows)
        self._after.pop(sweep.name, None)
        self._rows.pop(sweep.name, None)
        if look.following is not None:
            self._after[sweep.name] = look.following
            self._rows[sweep.name] = min(self._slice_rows, rows + 1)
            self._left.append(sweep)

    def _look(self, sweep: Sweep, rows: int) -> tuple[Age, Scan]:
        with self._database.read() as connection:
            now = self._database.now(connection)
            age = Age(now, UnixMs(now - self._kept_for_ms))
            return age, sweep.look(connection, age, self._after.get(sweep.name), rows)

    def _remove(self, sweep: Sweep, age: Age, doomed: list[Key], rows: int) -> None:
        """What fails is tried in smaller slices. One row that fails alone is left until the next
        sweep: it must not keep all that are younger.
        """
        try:
            with self._database.write() as connection:
                removed = sweep.remove(connection, age, doomed)
        except Exception as error:
            if len(doomed) > 1:
                self._rows[sweep.name] = rows // 2
                self._left.append(sweep)
                raise
            self._observer.log(
                LogEvent.RETENTION_FAILED,
                sweep=sweep.name,
                key=str(doomed[0]),
                error=repr(error),
            )
            return
        for table, count in removed.items():
            self._observer.expired(table, count)
