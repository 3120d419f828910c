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
import signal, sys, time
from ringback.observability.log import AtOnce
from ringback.processes.workers import run_workers

def work(number):
    if sys.argv[1] == "fails":
        sys.exit(3)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0) if sys.argv[1] == "stops" else None)
    while True:
        time.sleep(1)

run_workers(
    work, 2, before_stop=lambda: None, stop_timeout_s=0.5, log=AtOnce(1, pretty=False)
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
        out, _ = self.process.communicate(timeout=30)
        return [orjson.loads(line) for line in out.splitlines()]


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
