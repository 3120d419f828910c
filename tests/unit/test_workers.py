"""The parent of worker processes: it replaces, gives up, and stops."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest

from tests.kit.waiting import wait_for

ROOT = Path(__file__).parents[2]
PROGRAM = """
import os, signal, sys, time
from ringback.observability.log import AtOnce
from ringback.processes.workers import run_workers

def work(number):
    if sys.argv[1] == "fails":
        sys.exit(3)
    signal.signal(signal.SIGTERM, lambda *_: None if sys.argv[1] == "hangs" else sys.exit(0))
    while True:
        time.sleep(1)

if sys.argv[1] == "starved":
    fork, tries = os.fork, iter(range(100))
    def starved():
        if next(tries) == 1:
            raise BlockingIOError("Resource temporarily unavailable")
        return fork()
    os.fork = starved

run_workers(
    work,
    2,
    before_stop=lambda: print('{"event":"before"}', flush=True),
    stop_timeout_s=0.5,
    log=AtOnce(1, pretty=False),
)
"""


class Parent:
    """The program above, running."""

    def __init__(self, what: str):
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, what],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def workers(self) -> list[int]:
        return [child.pid for child in psutil.Process(self.process.pid).children()]

    def both(self) -> list[int]:
        wait_for("two workers", lambda: len(self.workers()) == 2)
        return self.workers()

    def lines(self) -> list[dict[str, Any]]:
        """What it logged. The last line is that of `before_stop`, unless workers had to be
        killed.
        """
        out, _ = self.process.communicate(timeout=30)
        lines = [orjson.loads(line) for line in out.splitlines()]
        self.stopped_at = next(n for n, line in enumerate(lines) if line["event"] == "before")
        return [line for line in lines if line["event"] != "before"]


@pytest.fixture
def started() -> Iterator[list[Parent]]:
    made: list[Parent] = []
    yield made
    for parent in made:
        parent.process.kill()
        parent.process.wait(10)
        assert parent.process.stdout is not None
        parent.process.stdout.close()


@pytest.fixture
def parent(started: list[Parent]) -> Parent:
    started.append(Parent("stops"))
    return started[0]


def test_a_worker_that_was_killed_is_replaced_and_the_others_stay(parent: Parent) -> None:
    """A crash, or the kernel for want of memory."""
    first, second = parent.both()

    os.kill(first, signal.SIGKILL)
    wait_for("the first is gone", lambda: first not in parent.workers())
    again = parent.both()

    assert second in again
    parent.process.terminate()
    (line,) = parent.lines()
    assert (line["event"], line["worker"], line["exit_code"]) == ("worker_ended", "worker-1", -9)
    assert parent.process.returncode == 0


def test_workers_that_are_killed_as_soon_as_they_start_are_replaced_again(parent: Parent) -> None:
    """For want of memory the kernel may choose the same one several times in a row."""
    for _ in range(4):
        newest = max(parent.both())
        os.kill(newest, signal.SIGKILL)
        wait_for("it is gone", lambda killed=newest: killed not in parent.workers())

    parent.both()
    parent.process.terminate()
    assert [line["exit_code"] for line in parent.lines()] == [-9] * 4
    assert parent.process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_all_of_them(parent: Parent, number: signal.Signals) -> None:
    workers = parent.both()

    parent.process.send_signal(number)

    assert parent.process.wait(10) == 0
    assert not [pid for pid in workers if psutil.pid_exists(pid)]


def test_a_worker_that_does_not_stop_is_killed(started: list[Parent]) -> None:
    """A service manager would kill the parent at last, and lose the others' time to finish."""
    started.append(parent := Parent("hangs"))
    workers = parent.both()
    time.sleep(0.5)  # it has to ignore the signal first

    parent.process.terminate()

    assert [line["event"] for line in parent.lines()] == ["worker_killed"] * 2
    assert parent.stopped_at == 0  # clients are refused before, or they would wait for no one
    assert not [pid for pid in workers if psutil.pid_exists(pid)]


def test_a_parent_whose_workers_cannot_start_gives_up(started: list[Parent]) -> None:
    """The service manager should see that nothing works."""
    started.append(parent := Parent("fails"))

    lines = parent.lines()

    assert {line["exit_code"] for line in lines} == {3}
    assert len(lines) in {5, 6}  # the other may not have ended for the third time
    assert parent.process.returncode == 1


def test_workers_end_with_a_parent_that_was_killed(parent: Parent) -> None:
    """No one would replace them, and they would go on answering at the address."""
    workers = parent.both()

    parent.process.kill()

    wait_for("none left", lambda: not [pid for pid in workers if psutil.pid_exists(pid)])


def test_a_worker_that_cannot_be_forked_is_tried_again(started: list[Parent]) -> None:
    """The kernel may have no memory for a moment, of all moments when a worker was killed for it."""
    started.append(parent := Parent("starved"))

    parent.both()
    parent.process.terminate()

    (line,) = parent.lines()
    assert (line["event"], line["worker"]) == ("worker_ended", "worker-2")
    assert "unavailable" in line["error"]
    assert parent.process.returncode == 0
