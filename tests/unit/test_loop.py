"""The base of the background jobs: when steps are done, and what an error does to the job."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable

import pytest

from consumers import loop
from consumers.loop import Loop, OnBug
from schemas.errors import StoreUnavailable
from schemas.log_events import LogEvent
from tests.kit.dispatch_scene import Notes
from tests.kit.waiting import eventually

LONG_S = 3600.0


class Job(Loop):
    """A job whose steps are counted, and do as the test says."""

    name = "a_job"
    on_bug = OnBug.LOG_AND_RETRY

    def __init__(self, work: Callable[[int], Awaitable[float]], poll_s: float = LONG_S):
        self.observer, self.steps, self._work = Notes(), 0, work
        super().__init__(self.observer, poll_s)

    async def step(self) -> float:
        self.steps += 1
        return await self._work(self.steps)


class Fragile(Job):
    """A job that a bug ends."""

    on_bug = OnBug.RAISE


async def idle(_step: int) -> float:
    return LONG_S


def failing(error: Exception) -> Callable[[int], Awaitable[float]]:
    async def work(step: int) -> float:
        if step == 1:
            raise error
        return LONG_S

    return work


async def test_steps_follow_each_other_while_there_is_more_to_do() -> None:
    """A backlog is not worked off at the pace of the polls."""

    async def busy(step: int) -> float:
        await asyncio.sleep(0)
        return 0.0 if step < 5 else LONG_S

    job = Job(busy)
    job.start()
    await eventually("all steps", lambda: job.steps == 5)
    await job.stop(10)


async def test_a_wake_ends_the_pause_from_any_thread() -> None:
    """Notifications come from the thread that listens for them."""
    job = Job(idle)
    job.wake()  # before the start there is nothing to wake
    job.start()
    await eventually("the first step", lambda: job.steps == 1)

    threading.Thread(target=job.wake).start()

    await eventually("another step", lambda: job.steps == 2)
    await job.stop(10)


async def test_a_wake_during_a_step_skips_the_next_pause() -> None:
    """What it was about may have come after the step had looked."""
    job = Job(idle)

    async def woken(step: int) -> float:
        if step == 1:
            job.wake()
            await asyncio.sleep(0.01)
        return LONG_S

    job._work = woken
    job.start()
    await eventually("another step", lambda: job.steps == 2)
    await job.stop(10)


async def test_a_stop_waits_for_the_step_and_for_no_pause() -> None:
    """What a step has leased is passed on when the stop returns."""
    done: list[int] = []

    async def slow(step: int) -> float:
        await asyncio.sleep(0.05)
        done.append(step)
        return LONG_S

    job = Job(slow)
    job.start()
    await eventually("it to have begun", lambda: job.steps == 1)
    await job.stop(10)

    assert done == [1]
    assert job.stopping


async def test_a_step_that_takes_too_long_is_cancelled_by_a_stop() -> None:
    """A drain has a limit."""

    async def hang(_step: int) -> float:
        await asyncio.sleep(LONG_S)
        return 0.0

    job = Job(hang)
    job.start()
    await eventually("it to have begun", lambda: job.steps == 1)
    began_s = time.monotonic()
    await job.stop(0.05)

    assert time.monotonic() - began_s < 5


async def test_an_unavailable_store_is_polled() -> None:
    """Without a line in the log: another job has written one."""
    job = Job(failing(StoreUnavailable("no answer")), poll_s=0.01)
    job.start()
    await eventually("another step", lambda: job.steps == 2)
    await job.stop(10)

    assert job.observer.notes == []


async def test_a_bug_is_logged_and_the_step_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A job whose absence harms no delivery must not end the process."""
    monkeypatch.setattr(loop, "ERROR_PAUSE_S", 0.01)
    job = Job(failing(ZeroDivisionError("x")))
    job.start()
    await eventually("another step", lambda: job.steps == 2)
    await job.stop(10)

    assert job.observer.notes == [
        {"event": LogEvent.INTERNAL_ERROR, "loop": "a_job", "error": "ZeroDivisionError('x')"}
    ]


async def test_a_bug_ends_a_job_that_the_process_needs() -> None:
    """The process ends, and is started again with all its parts."""
    failures: list[BaseException] = []
    job = Fragile(failing(ZeroDivisionError("x")))
    job.start(failures.append)
    await eventually("it to be reported", lambda: failures)
    await job.stop(10)

    assert [repr(error) for error in failures] == ["ZeroDivisionError('x')"]
    assert job.steps == 1
