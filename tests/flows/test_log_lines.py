"""What processes print: one format, also for the lines of a library."""

import json
import os
import signal

import psutil

from schemas.log_events import LogEvent
from tests.flows.conftest import Starting
from tests.kit.waiting import wait_for


def test_a_worker_that_ends_is_logged_and_replaced(start_on_services: Starting) -> None:
    """A worker that ended is a line of the log, and another is started."""
    ringback = start_on_services(workers=1)
    said = ringback.dir / "api.log"
    parent = psutil.Process(ringback.processes["api"].pid)
    (worker,) = [child for child in parent.children() if child.is_running()]

    os.kill(worker.pid, signal.SIGKILL)

    def lines() -> list[dict[str, object]]:
        return [json.loads(line) for line in said.read_text().splitlines() if line.strip()]

    def ended() -> list[dict[str, object]]:
        return [line for line in lines() if line["event"] == LogEvent.WORKER_ENDED]

    wait_for("word of the worker", ended)
    assert [(line["worker"], line["exit_code"]) for line in ended()] == [("worker-1", -9)]
    wait_for("another worker", lambda: [c for c in parent.children() if c.pid != worker.pid])
