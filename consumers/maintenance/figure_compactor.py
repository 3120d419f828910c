"""The figure compactor: merges old figures into fewer rows, a slice at a time, in a small share of
the store's time.

A job in every dispatcher process, of which one at a time holds the lease. What is merged and
deleted is decided by `store.maintenance.figure_compaction`. An error here affects no delivery.
"""

import time
from collections import deque

from consumers.loop import Loop, OnBug
from schemas.observer import Observer
from store.engine.database import Database
from store.maintenance import figure_compaction, job_leases

APART_S = 300.0
"""Seconds between the beginnings of two compactions. Longer: old minutes stay for longer. Shorter:
more queries that find nothing.
"""

SHARE = 0.1
"""The share of the time in which slices are worked on, at most. More: a backlog is merged sooner.
Less: other users of the store feel less of it.
"""

_POLL_S = 0.1 * APART_S
"""How late the next compaction may begin."""


class FigureCompactor(Loop):
    """Takes the steps of a compaction in turn while it holds the lease."""

    name = "figure_compactor"
    on_bug = OnBug.LOG_AND_RETRY
    """Old figures can wait: a dispatcher that ended would deliver nothing because of them."""

    def __init__(self, database: Database, observer: Observer):
        super().__init__(observer, poll_s=_POLL_S)
        self._database = database
        self._until_s = float("-inf")  # the end of this process's lease, by its own clock
        self._left = deque(figure_compaction.STEPS)

    async def step(self) -> float:
        """Do one slice in the job's thread."""
        return await self.in_thread(self.work)

    def work(self) -> float:
        """Do one slice if this process holds the lease and there is something left to do. Return
        the seconds to pause. Raises StoreUnavailable.
        """
        began_s = time.monotonic()
        if began_s >= self._until_s and not self._acquire_lease(began_s):
            return _POLL_S
        if not self._left:
            return self._until_s - began_s
        step = self._left.popleft()  # if it fails, the others are done meanwhile
        with self._database.write() as connection:
            handled = step(connection, self._database.now(connection))
        if handled:
            self._left.append(step)
        return (time.monotonic() - began_s) * (1 / SHARE - 1)

    def _acquire_lease(self, now_s: float) -> bool:
        with self._database.write() as connection:
            now = self._database.now(connection)
            if not job_leases.acquire(connection, "figures", now, int(APART_S * 1000)):
                return False
        self._left = deque(figure_compaction.STEPS)
        self._until_s = now_s + APART_S
        return True
