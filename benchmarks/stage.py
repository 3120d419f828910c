"""What all benchmarks of a run share: private RabbitMQ and PostgreSQL nodes, the receiver, a
folder, and the load generator.

Services start when they are first used and end with the stage. Everything listens on 127.0.0.1, on
ports free at the time.
"""

import dataclasses
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from functools import cached_property
from types import TracebackType
from typing import Self

from benchmarks.children import FROM_CHECKOUT, Child, environment, running
from benchmarks.load import Plan, Report
from benchmarks.receiver import Stats
from tests.kit.postgres import Postgres
from tests.kit.rabbit import Rabbit
from tests.kit.waiting import free_port, wait_for

PYTHON = sys.executable
_POLL_S = 0.1


class Receiver:
    """The receiver, `benchmarks.receiver`, in a separate process."""

    def __init__(self, child: Child, port: int) -> None:
        self._child, self.url = child, f"http://127.0.0.1:{port}"

    def get(self, path: str) -> object:
        url = self.url + path
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - on this machine
            return json.load(answer)

    def reset(self) -> None:
        self.get("/reset")

    def count(self) -> int:
        return int(str(self.get("/count")))

    def stats(self) -> Stats:
        stats = self.get("/stats")
        assert isinstance(stats, dict)
        return Stats(**stats)

    def wait_for(self, count: int, limit_s: float) -> Stats:
        """Return the statistics once `count` webhooks came. Raises TimeoutError."""
        end = time.monotonic() + limit_s
        while (received := self.count()) < count:
            if time.monotonic() > end:
                raise TimeoutError(f"{received} of {count} webhooks came within {limit_s:g} s")
            time.sleep(_POLL_S)
        return self.stats()


class Stage:
    """A context manager. `quick` makes every benchmark small enough to try things out."""

    def __init__(self, *, quick: bool) -> None:
        self._quick = quick
        self.rounds = 2 if quick else 3
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.folder = pathlib.Path(
            self._stack.enter_context(tempfile.TemporaryDirectory(prefix="ringback-bench-"))
        )
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def size(self, full: int, quick: int) -> int:
        """Return the number of events for a benchmark."""
        return quick if self._quick else full

    @cached_property
    def rabbit(self) -> Rabbit:
        node = Rabbit()
        self._stack.callback(node.close)
        node.start()
        return node

    @cached_property
    def postgres(self) -> Postgres:
        node = Postgres(fsync=True)
        self._stack.callback(node.close)
        return node

    @cached_property
    def receiver(self) -> Receiver:
        port = free_port()
        child = self._stack.enter_context(
            running(
                [PYTHON, "-m", "benchmarks.receiver", str(port)],
                self.folder / "receiver.log",
                FROM_CHECKOUT,
            )
        )
        receiver = Receiver(child, port)
        wait_for("the receiver answers", lambda: [receiver.count()])
        return receiver

    def service_pids(self) -> dict[str, int]:
        """Return the process id of the first process of each service."""
        return {
            "rabbitmq": _read_pid(self.rabbit.dir / "pid"),
            "postgresql": _read_pid(self.postgres.dir / "data" / "postmaster.pid"),
        }

    def load(self, plan: Plan) -> Report:
        """Run the plan. Raises RuntimeError unless everything was answered as expected."""
        report = self.attempt(plan)
        if report.answers != {str(plan.expected): plan.count}:
            raise RuntimeError(f"not everything was answered {plan.expected}: {report.answers}")
        return report

    def attempt(self, plan: Plan) -> Report:
        """Run the plan, whatever is answered."""
        command = [PYTHON, "-m", "benchmarks.load"]
        text = json.dumps(dataclasses.asdict(plan))
        done = subprocess.run(
            command,
            input=text,
            cwd=self.folder,
            env=environment(FROM_CHECKOUT),
            text=True,
            stdout=subprocess.PIPE,
            check=True,
        )
        return Report(**json.loads(done.stdout))


def _read_pid(path: pathlib.Path) -> int:
    """Return the first line, where both services write it."""
    return int(path.read_text().splitlines()[0])
