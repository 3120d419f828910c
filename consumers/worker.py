"""One dispatcher process's whole line, from its sources to settled deliveries: start, watch, drain."""

import asyncio
import contextlib
import time
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from consumers.due import DueTaker
from consumers.hand import TICK_S, Dispatching, Hand
from consumers.intake import Intake
from consumers.matching import Directory
from consumers.settling import Settler
from exchange.port import Claimer, Source
from schemas.reports import Observer
from store.database import Database

LEASE_MARGIN_S = 10.0
"""A lease outlives the longest attempt by this: five seconds in which it may start, five for its outcome to be written."""


class Worker:
    """Build on a running event loop, then `start`. `failed` ends with the error when one of its loops dies of a mistake."""

    def __init__(self, database: Database, directory: Directory, sources: Sequence[Source], observer: Observer, timeout_s: float):
        lease_s = timeout_s + LEASE_MARGIN_S
        self._sources = sources
        self._settler = Settler(database, observer)
        self.hand = Hand(self._settler, observer, lease_s)
        claims = ThreadPoolExecutor(1, "claim")  # one claim in flight, whichever source it is from
        self._intakes = [Intake(source, database, directory, self.hand, observer, claims) for source in sources]
        self._due = DueTaker(database, directory, self.hand, observer, lease_s)
        self._tasks: list[asyncio.Task[Any]] = []
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def claimer(self) -> Claimer:
        """The intake of the outbox, which is the last source: for a publisher in the same process."""
        return self._intakes[-1]

    def start(self, dispatcher: Dispatching) -> None:
        self.hand.connect(dispatcher)
        for name, loop in (("settle", self._settler.run()), ("tick", self._tick())):
            self._watch(name, loop)
        for intake in self._intakes:
            self._watch("intake", intake.run())
        self._watch("due", self._due.run())

    async def drain(self, limit_s: float) -> None:
        """Take no more, let what is in flight end within the limit, release the rest, acknowledge, let go (rule 14)."""
        end_s = time.monotonic() + limit_s
        self.hand.dispatcher.stop_starting()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await asyncio.gather(self._due.stop(), *(intake.stop() for intake in self._intakes))
        self.hand.give_back_unstarted()
        while self.hand.dispatcher.in_flight and time.monotonic() < end_s:  # noqa: ASYNC110 - once in a process's life
            await asyncio.sleep(0.02)
        with contextlib.suppress(TimeoutError):  # the store is away: leases and unacknowledged messages speak for what is unwritten
            async with asyncio.timeout(max(1.0, end_s - time.monotonic())):
                await self._settler.flushed()
        self._settler.give_up()
        await asyncio.gather(*(source.close() for source in self._sources))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _watch(self, name: str, loop: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(loop, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) and not self.failed.done():
            self.failed.set_exception(error)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.hand.tick()
