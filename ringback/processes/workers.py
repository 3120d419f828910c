"""Worker processes: the parent starts them, replaces one that ends, and stops all. It does nothing
else, so that it can hardly fail.

No library was taken: the supervisors of granian, uvicorn and gunicorn belong to their servers.
"""

import ctypes
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.context import ForkProcess

from ringback.observability.log import AtOnce
from ringback.processes.stopping import STOP_SIGNALS
from schemas.errors import RingbackError
from schemas.log_events import LogEvent

_PAUSE_S = 1.0
"""How soon a worker is replaced after it was started. Shorter: one that cannot start keeps a core
busy. Longer: after a crash the others serve alone for longer.
"""

_LASTED_S = 5.0
"""A worker that ends by itself sooner counts as one that could not start."""

_TRIES = 3
"""Once a worker could not start so often in a row, the parent gives up. A service manager should
see it, and clients that the kernel gives to this worker would wait for ever.
"""

_IDLE_S = 60.0  # a worker that ends wakes the parent earlier, by SIGCHLD
_PR_SET_PDEATHSIG = 1
_WATCHED = {*STOP_SIGNALS, signal.SIGCHLD}


def run_workers(
    work: Callable[[int], None],
    count: int,
    *,
    before_stop: Callable[[], None],
    stop_timeout_s: float,
    log: AtOnce,
) -> None:
    """Run `work(number)` in so many processes until SIGTERM or SIGINT, which the workers get too,
    after `before_stop` was called. One that has not ended after `stop_timeout_s` is killed. Raises
    RingbackError when one of them cannot start.

    Call it before any thread starts: the processes are forked.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    slots = [_Slot(work, number) for number in range(count)]
    try:
        while True:
            received = signal.sigtimedwait(_WATCHED, min(slot.start(log) for slot in slots))
            if received is not None and received.si_signo in STOP_SIGNALS:
                return
            for slot in slots:
                slot.check(log)
            if any(slot.failures >= _TRIES for slot in slots):
                raise RingbackError("a worker cannot start: the lines above say why")
    finally:
        before_stop()
        _stop([slot.process for slot in slots if slot.process], stop_timeout_s, log)


class _Slot:
    """The place of one worker, and the process in it."""

    def __init__(self, work: Callable[[int], None], number: int):
        self._work, self._number = work, number
        self._started_s = -_PAUSE_S
        self.process: ForkProcess | None = None
        self.failures = 0
        """How often in a row a process ended as soon as it was started."""

    def start(self, log: AtOnce) -> float:
        """Start a process if there is none. Return within how many seconds to call this again."""
        if self.process is not None:
            return _IDLE_S
        left_s = self._started_s + _PAUSE_S - time.monotonic()
        if left_s > 0:
            return left_s
        process = multiprocessing.get_context("fork").Process(
            target=_worker,
            args=(self._work, self._number, os.getpid()),
            name=f"worker-{self._number + 1}",
        )
        self._started_s = time.monotonic()
        try:
            process.start()
        except OSError as error:  # no memory, or no process is left
            log.log(LogEvent.WORKER_ENDED, worker=process.name, error=str(error))
            self.failures += 1
            return _PAUSE_S
        self.process = process
        return _IDLE_S

    def check(self, log: AtOnce) -> None:
        """Log and forget a process that has ended."""
        process = self.process
        if process is None or process.is_alive():
            return
        log.log(LogEvent.WORKER_ENDED, worker=process.name, exit_code=process.exitcode)
        if time.monotonic() - self._started_s >= _LASTED_S:
            self.failures = 0
        elif process.exitcode != -signal.SIGKILL:  # killed from outside, or for want of memory
            self.failures += 1
        self.process = None


def _worker(work: Callable[[int], None], number: int, parent: int) -> None:
    # Without its parent no one would replace it.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)
    if os.getppid() == parent:
        work(number)


def _stop(workers: list[ForkProcess], timeout_s: float, log: AtOnce) -> None:
    for worker in workers:
        worker.terminate()
    end_s = time.monotonic() + timeout_s
    for worker in workers:
        worker.join(max(0.0, end_s - time.monotonic()))
        if worker.is_alive():
            log.log(LogEvent.WORKER_KILLED, worker=worker.name, after_s=timeout_s)
            worker.kill()
            worker.join()
