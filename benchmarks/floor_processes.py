"""Starts the floors: the bare API, the bare dispatcher, both, and the bare embedded mode."""

import itertools
import pathlib
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import amqp
from benchmarks.children import FROM_CHECKOUT, Child, running
from benchmarks.floor_events import QUEUE
from benchmarks.pipelines import Running
from benchmarks.stage import PYTHON, Stage
from tests.kit.waiting import free_port, wait_for

_GRANIAN = str(pathlib.Path(sys.executable).with_name("granian"))
_START_LIMIT_S = 20.0


class Floor:
    """The pipeline `floor`."""

    name = "floor"

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._runs = itertools.count()

    def prepare(self, *, prefilled: int = 0) -> None:
        amqp.declare_floor(self._stage.rabbit.url)
        amqp.fill(self._stage.rabbit.url, QUEUE, prefilled)

    @contextmanager
    def api(self, workers: int) -> Iterator[Running]:
        port = free_port()
        command = [_GRANIAN, "--port", str(port), "--workers", str(workers)]
        with running(
            [
                *command,
                "--interface",
                "rsgi",
                "--loop",
                "uvloop",
                "--no-ws",
                "benchmarks.floor_api:app",
            ],
            self._log("api"),
            FROM_CHECKOUT | {"BENCH_AMQP_URL": self._stage.rabbit.url},
        ) as child:
            _wait_until_listening(child, port)
            yield Running({"api": child.pid}, port)

    @contextmanager
    def dispatcher(self) -> Iterator[Running]:
        database = self._stage.postgres.url.replace("+psycopg", "")
        command = [
            PYTHON,
            "-m",
            "benchmarks.floor",
            self._stage.rabbit.url,
            database,
            self._stage.receiver.url + "/hook",
        ]
        with running(command, self._log("dispatcher"), FROM_CHECKOUT) as child:
            yield Running({"dispatcher": child.pid})

    @contextmanager
    def on_services(self) -> Iterator[Running]:
        self.prepare()
        with self.dispatcher() as dispatcher, self.api(workers=1) as api:
            yield Running({**api.roots, **dispatcher.roots, **self._stage.service_pids()}, api.port)

    @contextmanager
    def embedded(self) -> Iterator[Running]:
        port, database = free_port(), self._stage.folder / f"floor-{next(self._runs)}.db"
        command = [
            PYTHON,
            "-m",
            "benchmarks.floor_embedded",
            str(port),
            self._stage.receiver.url + "/hook",
            str(database),
        ]
        with running(command, self._log("embedded"), FROM_CHECKOUT) as child:
            _wait_until_listening(child, port)
            yield Running({"serve": child.pid}, port)

    def _log(self, part: str) -> pathlib.Path:
        return self._stage.folder / f"floor-{part}-{next(self._runs)}.log"


def _wait_until_listening(child: Child, port: int) -> None:
    def listens() -> bool:
        child.check()
        with socket.create_connection(("127.0.0.1", port), 1):
            return True

    wait_for("the floor listens", listens, _START_LIMIT_S)
