"""What processes print: one format, also for the lines of a library."""

import json
import os
import signal

import psutil

from schemas.log_events import LogEvent
from tests.flows.conftest import Starting
from tests.kit.waiting import wait_for


def test_the_apis_server_speaks_in_our_lines(start_on_services: Starting) -> None:
    """Nothing at a start that only its authors understand; its news are lines of the log, as of
    every library.
    """
    ringback = start_on_services(workers=1)
    said = ringback.dir / "api.log"
    parent = psutil.Process(ringback.processes["api"].pid)
    (worker,) = [child for child in parent.children() if child.is_running()]

    os.kill(worker.pid, signal.SIGKILL)

    def lines() -> list[dict[str, object]]:
        return [json.loads(line) for line in said.read_text().splitlines() if line.strip()]

    wait_for(
        "word of the worker",
        lambda: any("worker-1" in str(line.get("message")) for line in lines()),
    )
    assert not [line for line in lines() if "threads" in str(line)]
    assert {line["event"] for line in lines() if line.get("library") == "_granian"} == {
        LogEvent.LIBRARY_WARNING
    }
