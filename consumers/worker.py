"""The pipeline of one dispatcher process, from its sources to settled deliveries: start, watch,
drain.
"""

import asyncio
import contextlib
import datetime as dt
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor

from consumers.loop import Loop
from consumers.maintenance.callback_monitor import CallbackMonitor
from consumers.maintenance.recovery_runner import RecoveryRunner
from consumers.pipeline.dispatcher_port import DispatcherPort
from consumers.pipeline.due_poller import DuePoller
from consumers.pipeline.intake import Intake
from consumers.pipeline.matching import MatchingDirectory
from consumers.pipeline.settled_figures import FLUSH_EVERY_S
from consumers.pipeline.settler import Settler
from consumers.pipeline.store_availability import StoreStatus
from consumers.pipeline.unsettled import TICK_S, Unsettled
from exchange.port import Claimer, Source
from schemas.observer import Observer
from store.engine.database import Database

LEASE_MARGIN_S = 10.0
"""How much longer a lease is than the longest attempt: five seconds in which the attempt may start,
five for its outcome to be written. Longer: deliveries of a process that died wait longer. Shorter:
more attempts are repeated by another process.
"""

HOLD_MESSAGES_S = 60.0
"""How long messages are held while the store is unavailable, before they go back to the broker
(docs/invariants.md#an-unavailable-store-stops-sending). Longer: other processes get them later.
Shorter: more messages move at each short outage.
"""

_CHECK_EVERY_S = 0.02


class Worker:
    """Owns the stages of the pipeline and its background jobs. Build it on a running event loop,
    then call `start`.
    """

    def __init__(
        self,
        database: Database,
        directory: MatchingDirectory,
        *,
        sources: Sequence[Source],
        observer: Observer,
        timeout_s: float,
        horizon: dt.timedelta,
    ):
        """`timeout_s` is that of the longest attempt, `horizon` the retry schedule's total."""
        lease_s = self._lease_s = timeout_s + LEASE_MARGIN_S
        self._sources, self._observer = sources, observer
        self._status = StoreStatus(observer)
        self._settler = Settler(database, observer, self._status)
        self.unsettled = Unsettled(self._settler, observer, lease_s)
        thread = ThreadPoolExecutor(1, "claim")  # one claim at a time, whichever source it is from
        self._intakes = [self._intake(source, database, directory, thread) for source in sources]
        self._due_poller = DuePoller(
            database,
            directory,
            unsettled=self.unsettled,
            observer=observer,
            status=self._status,
            lease_s=lease_s,
        )
        monitor = CallbackMonitor(
            database,
            self.unsettled,
            observer=observer,
            status=self._status,
            lease_s=lease_s,
            horizon=horizon,
        )
        recoveries = RecoveryRunner(database, directory, observer)
        self._jobs: Sequence[Loop] = (self._due_poller, monitor, recoveries)
        self._tasks: list[asyncio.Task[None]] = []
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Ends with the error when a stage or job ends by a bug."""

    @property
    def claimer(self) -> Claimer:
        """The intake of the outbox, which is the last source, for a publisher in this process."""
        return self._intakes[-1]

    def start(self, dispatcher: DispatcherPort) -> None:
        """Connect the dispatcher, and start all stages and jobs."""
        self.unsettled.connect(dispatcher, on_spilled=self._due_poller.wake)
        self._watch("settle", self._settler.run())
        self._watch("tick", self._tick())
        self._watch("figures", self._flush_figures())
        for intake in self._intakes:
            self._watch("intake", intake.run())
        for job in self._jobs:
            job.start(self.fail)

    async def drain(self, limit_s: float) -> None:
        """Stop fetching, let what is in flight end within the limit, give the rest back,
        acknowledge, and close the sources (docs/invariants.md#a-stop-drains).

        Messages are acknowledged or given back long before the slowest attempt ends, as deliveries
        in flight become rows.
        """
        end_s = time.monotonic() + limit_s
        self.unsettled.dispatcher.stop_starting()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await asyncio.gather(
                    *(job.stop(limit_s) for job in self._jobs),
                    *(intake.stop() for intake in self._intakes),
                )
                self.unsettled.give_back_unstarted()
                await _until(lambda: not self.unsettled.holds_messages)
                await self._settler.flushed()
        # a broker that does not answer notices the end of the process
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(1.0, end_s - time.monotonic())):
                await asyncio.gather(*(source.close() for source in self._sources))
        # what is still in flight or unwritten then comes again, by its lease or its message
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(1.0, end_s - time.monotonic())):
                await _until(lambda: not self.unsettled.dispatcher.in_flight)
                await self._settler.flushed()
                await self._settler.flush_figures()
        self._settler.give_up()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(
            *self._tasks, *(job.stop(0.0) for job in self._jobs), return_exceptions=True
        )

    def fail(self, error: BaseException) -> None:
        """End the process because of a bug. It is started again, which is better than to go on
        without a part.
        """
        if not self.failed.done():
            self.failed.set_exception(error)

    def _intake(
        self, source: Source, database: Database, directory: MatchingDirectory, thread: Executor
    ) -> Intake:
        return Intake(
            source,
            database,
            directory=directory,
            unsettled=self.unsettled,
            observer=self._observer,
            status=self._status,
            figures=self._settler.figures,
            thread=thread,
            lease_s=self._lease_s,
        )

    def _watch(self, name: str, stage: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(stage, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self.fail(error)

    async def _flush_figures(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_EVERY_S)
            await self._settler.flush_figures()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.unsettled.tick()
            for source in self._sources:
                if self._status.unavailable_for_s > HOLD_MESSAGES_S:
                    source.pause()
                elif not self._status.unavailable_for_s:
                    source.resume()


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - a few checks, once in a process's life
        await asyncio.sleep(_CHECK_EVERY_S)
