"""The base of the background jobs of a dispatcher process: how a job starts, wakes, stops, pauses
between its steps, and what an error does to it.

Used by `due_poller`, `callback_monitor`, `recovery_runner`, `retention_sweeper` and `alert_relay`.
Each of them is its `step`. A job knows nothing of the others.
"""

import abc
import asyncio
import contextlib
import enum
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar, TypeVar, TypeVarTuple

from schemas.errors import StoreUnavailable
from schemas.log_events import LogEvent
from schemas.observer import Observer

ERROR_PAUSE_S = 60.0
"""Pause of a job after a bug, before its next step. Longer: a bug that passes by itself stops the
job for longer. Shorter: the same error is logged more often.
"""

_Result = TypeVar("_Result")
_Arguments = TypeVarTuple("_Arguments")


class OnBug(enum.Enum):
    """What happens when a step raises anything but StoreUnavailable."""

    LOG_AND_RETRY = enum.auto()
    """Log it as `internal_error`, pause for ERROR_PAUSE_S, and go on."""
    RAISE = enum.auto()
    """End the job and report the error, so that the process ends and is started again."""


class Loop(abc.ABC):
    """A background job of one process: runs `step` again and again until stopped, sooner when
    woken.

    May be built anywhere; `start` and `stop` belong to a running event loop.
    """

    name: ClassVar[str]
    """What the log, the job's task and its thread are called."""
    on_bug: ClassVar[OnBug]
    """What a bug does to the job. Each job says why."""

    def __init__(self, observer: Observer, poll_s: float):
        """`poll_s`: seconds to pause while the store is unavailable."""
        self._observer, self._poll_s = observer, poll_s
        self._thread = ThreadPoolExecutor(1, self.name)
        self._event_loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._stopping = False

    @abc.abstractmethod
    async def step(self) -> float:
        """Do a part of the work, and return the seconds to pause before the next step. 0: no pause.

        May raise StoreUnavailable, which another job of the process has logged.
        """

    def start(self, on_failure: Callable[[BaseException], None] | None = None) -> None:
        """Begin, on the running event loop. `on_failure` gets the error of a job that ends by one
        (OnBug.RAISE).
        """
        self._event_loop = asyncio.get_running_loop()
        self._task = self._event_loop.create_task(self._run(), name=self.name)
        if on_failure is not None:
            self._task.add_done_callback(lambda task: _report(task, on_failure))

    def wake(self) -> None:
        """End the current pause, or skip the next one. May be called from any thread, and does
        nothing before `start`: the first step comes at once.
        """
        if self._event_loop is not None:
            with contextlib.suppress(RuntimeError):  # that loop has ended, and the job with it
                self._event_loop.call_soon_threadsafe(self._woken.set)

    async def stop(self, timeout_s: float) -> None:
        """Begin no further step, and let the current one end. Cancel it after `timeout_s`."""
        self._stopping = True
        self._woken.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=timeout_s)
            self._task.cancel()
            await asyncio.wait([self._task])

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called: a long step should return. May be asked from any thread."""
        return self._stopping

    async def in_thread(
        self, work: Callable[[*_Arguments], _Result], *arguments: *_Arguments
    ) -> _Result:
        """Run `work` in the job's own thread, where it may wait for the store."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, work, *arguments)

    async def _run(self) -> None:
        while not self._stopping:
            if (pause_s := await self._step_safely()) > 0:
                await self._pause(pause_s)

    async def _step_safely(self) -> float:
        try:
            return await self.step()
        except StoreUnavailable:
            return self._poll_s
        except Exception as error:
            if self.on_bug is OnBug.RAISE:
                raise
            self._observer.log(LogEvent.INTERNAL_ERROR, loop=self.name, error=repr(error))
            return ERROR_PAUSE_S

    async def _pause(self, pause_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._woken.wait()
        self._woken.clear()


def _report(task: asyncio.Task[None], on_failure: Callable[[BaseException], None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        on_failure(error)
