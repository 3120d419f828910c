"""One dispatcher process's whole line, from its sources to settled deliveries: start, watch, drain.
"""

import asyncio
import contextlib
import datetime as dt
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from consumers.maintenance.callback_monitor import CallbackMonitor
from consumers.maintenance.recovery_runner import RecoveryRunner
from consumers.pipeline.due_poller import DuePoller
from consumers.pipeline.intake import Intake
from consumers.pipeline.matching import MatchingDirectory
from consumers.pipeline.settler import Settler
from consumers.pipeline.store_status import StoreStatus
from consumers.pipeline.unsettled import TICK_S, DispatcherPort, Unsettled
from exchange.port import Claimer, Source
from schemas.observer import Observer
from store.engine.database import Database

LEASE_MARGIN_S = 10.0
"""A lease outlives the longest attempt by this: five seconds in which it may start, five for its
outcome to be written.
"""

HOLD_MESSAGES_S = 60.0
"""How long messages are held while the store is away, before they go back to the broker
(docs/invariants.md#an-unavailable-store-stops-sending).
"""

_LOOK_EVERY_S = 0.02


class Worker:
    """Build on a running event loop, then `start`. `failed` ends with the error when one of its
    loops dies of a mistake.

    `timeout_s` is the longest attempt's, `horizon` the retry schedule's total.
    """

    def __init__(
        self,
        database: Database,
        directory: MatchingDirectory,
        sources: Sequence[Source],
        observer: Observer,
        timeout_s: float,
        horizon: dt.timedelta,
    ):
        lease_s = timeout_s + LEASE_MARGIN_S
        self._sources = sources
        self._watch_store = StoreStatus(observer)
        self._settler = Settler(database, observer, self._watch_store)
        self.unsettled = Unsettled(self._settler, observer, lease_s)
        thread = ThreadPoolExecutor(1, "claim")  # one claim in flight, whichever source it is from
        self._intakes = [
            Intake(
                source,
                database,
                directory,
                self.unsettled,
                observer,
                self._watch_store,
                thread,
                lease_s,
            )
            for source in sources
        ]
        self._due = DuePoller(
            database, directory, self.unsettled, observer, self._watch_store, lease_s
        )
        self._reviver = CallbackMonitor(
            database, self.unsettled, observer, self._watch_store, lease_s, horizon
        )
        self._recoverer = RecoveryRunner(database, directory, observer)
        self._tasks: list[asyncio.Task[Any]] = []
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def claimer(self) -> Claimer:
        """The intake of the outbox, which is the last source: for a publisher in the same process.
        """
        return self._intakes[-1]

    def start(self, dispatcher: DispatcherPort) -> None:
        self.unsettled.connect(dispatcher)
        for name, loop in (("settle", self._settler.run()), ("tick", self._tick())):
            self._watch(name, loop)
        for intake in self._intakes:
            self._watch("intake", intake.run())
        self._watch("due", self._due.run())
        self._watch("revive", self._reviver.run())
        self._watch("recover", self._recoverer.run())

    async def drain(self, limit_s: float) -> None:
        """Take no more, let what is in flight end within the limit, release the rest, acknowledge,
        let go (docs/invariants.md#a-stop-drains).

        Messages are given up, and those that only arrived given back, long before the slowest
        attempt ends: patience makes rows of the deliveries in flight.
        """
        end_s = time.monotonic() + limit_s
        self.unsettled.dispatcher.stop_starting()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                stops = (self._due.stop(), self._reviver.stop(), self._recoverer.stop())
                await asyncio.gather(*stops, *(intake.stop() for intake in self._intakes))
                self.unsettled.give_back_unstarted()
                await _until(lambda: not self.unsettled.holds_messages)
                await self._settler.flushed()
        with contextlib.suppress(
            TimeoutError
        ):  # of a broker that does not answer the end of the process takes leave
            async with asyncio.timeout(max(1.0, end_s - time.monotonic())):
                await asyncio.gather(*(source.close() for source in self._sources))
        with contextlib.suppress(
            TimeoutError
        ):  # of what is still in flight or unwritten then, leases and messages speak
            async with asyncio.timeout(max(1.0, end_s - time.monotonic())):
                await _until(lambda: not self.unsettled.dispatcher.in_flight)
                await self._settler.flushed()
        self._settler.give_up()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def fail(self, error: BaseException) -> None:
        """A mistake of ours came to light: better to end, and be started again, than to go on
        without a part.
        """
        if not self.failed.done():
            self.failed.set_exception(error)

    def _watch(self, name: str, loop: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(loop, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self.fail(error)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.unsettled.tick()
            for source in self._sources:
                if self._watch_store.away_for_s > HOLD_MESSAGES_S:
                    source.pause()
                elif not self._watch_store.away_for_s:
                    source.resume()


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - a few looks, once in a process's life
        await asyncio.sleep(_LOOK_EVERY_S)
