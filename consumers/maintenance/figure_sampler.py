"""The figure sampler: once a minute, samples what waits.

A job in every dispatcher process. Which of them samples a minute is decided by a lease, which ends
with the minute. A minute without a sample is a gap in the charts, never a zero. An error here
affects no delivery.
"""

import time
from collections.abc import Callable

from consumers.loop import Loop, OnBug
from schemas.errors import RingbackError
from schemas.figures import MINUTE_MS, Gauges
from schemas.observer import Observer
from schemas.times import UnixMs
from store.engine.database import Database
from store.figures.samples import add_sample
from store.maintenance import job_leases
from store.stats import gauges

_AGAIN_S = 1.0
"""How soon a sample is tried again while the store is unavailable."""

_LATE_S = 0.01
"""How long after the beginning of a minute it is sampled: a clock may be behind by as much."""


class FigureSampler(Loop):
    """Samples each minute in which it is the first to ask. `queue_depth` returns how many messages
    wait at the broker, and raises RingbackError when it does not answer.
    """

    name = "figure_sampler"
    on_bug = OnBug.LOG_AND_RETRY
    """A chart with a gap is no reason to stop delivering."""

    def __init__(
        self, database: Database, observer: Observer, queue_depth: Callable[[], int | None]
    ):
        super().__init__(observer, poll_s=_AGAIN_S)
        self._database, self._queue_depth = database, queue_depth

    async def step(self) -> float:
        """Sample this minute, in the job's thread, and return the seconds until the next one."""
        return await self.in_thread(self.work)

    def work(self) -> float:
        """Sample this minute if no process did. Return the seconds until the next one. Raises
        StoreUnavailable.
        """
        began_s = time.monotonic()
        with self._database.write() as connection:
            now = self._database.now(connection)
            left_ms = MINUTE_MS - now % MINUTE_MS
            is_ours = job_leases.acquire(connection, "figure_sample", now, left_ms)
        if is_ours:
            self._sample(UnixMs(now - now % MINUTE_MS))
        return max(0.0, left_ms / 1000 - (time.monotonic() - began_s)) + _LATE_S

    def _sample(self, minute_at: UnixMs) -> None:
        read = gauges.read(self._database)
        sample = Gauges(
            read.deliveries_due,
            int(read.deliveries_due_oldest_s * 1000),
            read.outbox_depth,
            self._depth_of_queue(),
        )
        with self._database.write() as connection:
            add_sample(connection, minute_at, sample)

    def _depth_of_queue(self) -> int | None:
        try:
            return self._queue_depth()
        except RingbackError:  # that it is unavailable is logged by what publishes and consumes
            return None
