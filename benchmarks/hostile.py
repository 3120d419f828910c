"""Hostile clients, against embedded mode and against one API worker on RabbitMQ and PostgreSQL: what
they do to a backend that publishes, to /healthz and to memory.

First a backend publishes alone at a steady rate, which is the floor, then among `hostile_clients`.
The rows of a kind of client say how often one connected; the last says how busy their process was.
"""

import contextlib
import dataclasses
import functools
import itertools
import json
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import psutil  # type: ignore[import-untyped]  # it ships no types
import sqlalchemy as sa

from benchmarks.children import FROM_CHECKOUT, running
from benchmarks.comparison import Row, Target
from benchmarks.hostile_clients import RAMP_S, Crowd
from benchmarks.load import Plan, Report
from benchmarks.meter import resident_mb
from benchmarks.pipelines import Running
from benchmarks.probing import Probes
from benchmarks.ringback_processes import Ringback
from benchmarks.stage import PYTHON, Stage
from schemas.times import now_ms
from store.engine.database import Database
from store.tables import requests

_RATE, _CONNECTIONS, _WARM_UP = 100.0, 32, 200
_LATE_S = 15.0
"""How long after the last event an answer may come. Later ones count as none."""
_ROWS, _BATCH = 40_000, 2_000
_LEAST_BYTES = 4 * 2**20
"""Of the download. A smaller one would fit into the buffers between server and client."""
_SAMPLE_S = 0.5
_SPARE_S = 60.0

_ALIVE, _NO_SLOWER = Target(100, at_least=False), Target(2, at_least=False, of_ratio=True)
_GROWTH, _LEFT, _NONE = (Target(mb, at_least=False) for mb in (64, 16, 0))


@dataclasses.dataclass(frozen=True)
class Times:
    """Seconds of each part."""

    alone_s: int = 20
    together_s: int = 60
    after_s: int = 30


@dataclasses.dataclass(frozen=True)
class Window:
    """What the backend and the prober saw in one part."""

    report: Report
    probes: Probes

    @property
    def not_accepted(self) -> int:
        return sum(count for status, count in self.report.answers.items() if status != "202")


@dataclasses.dataclass(frozen=True)
class Memory:
    """Resident MB of all processes of the server: before the clients came, at most, and after."""

    before_mb: float
    peak_mb: float
    after_mb: float


@dataclasses.dataclass(frozen=True)
class Seen:
    """All that was seen of one server. `clients` is what `hostile_clients` printed."""

    alone: Window
    together: Window
    memory: Memory
    clients: dict[str, Any]


def hostile(stage: Stage) -> list[Row]:
    """Measure both servers, one after the other."""
    times = Times(*(stage.size(full, quick=10) for full in dataclasses.astuple(Times())))
    ways: dict[str, Callable[[Ringback], AbstractContextManager[Running]]] = {
        "serve": lambda ringback: ringback.embedded(),
        "api": _api,
    }
    found: list[Row] = []
    for name, way in ways.items():
        ringback = Ringback(stage, permissions=("events:publish", "platform:admin"))
        with way(ringback) as server:
            path = _fill(ringback.database_url, server)
            crowd = Crowd(server.port, server.token, path, times.together_s + _SPARE_S)
            found += rows(f"hostile, {name}", observe(stage, server, crowd, times))
    return found


@contextlib.contextmanager
def _api(ringback: Ringback) -> Iterator[Running]:
    """Run one API worker without a dispatcher: events stay in the queue."""
    ringback.prepare()
    with ringback.api(workers=1) as server:
        yield server


def observe(stage: Stage, server: Running, crowd: Crowd, times: Times) -> Seen:
    """Watch a server that is running, without the clients and with them."""
    (pid,) = server.roots.values()
    stage.load(Plan(server.port, server.token, _WARM_UP, _CONNECTIONS))
    alone = _window(stage, server, times.alone_s)
    before_mb = resident_mb(pid)
    crowd_words = json.dumps(dataclasses.asdict(crowd))
    with _peak(pid) as samples, _printing(stage, "hostile_clients", crowd_words) as printed:
        time.sleep(RAMP_S)
        together = _window(stage, server, times.together_s)
    time.sleep(times.after_s)
    memory = Memory(before_mb, max(samples), resident_mb(pid))
    return Seen(alone, together, memory, printed())


def rows(benchmark: str, seen: Seen) -> list[Row]:
    """Return the lines of the table for one server."""
    alone, together, memory = seen.alone, seen.together, seen.memory
    row = functools.partial(Row, benchmark)
    return [
        row(
            "/healthz, the slowest, ms; floor: alone",
            together.probes.slowest_ms,
            alone.probes.slowest_ms,
            _ALIVE,
        ),
        row("/healthz, p99, ms", together.probes.p99_ms, alone.probes.p99_ms),
        row("/healthz, not answered 200", together.probes.failed, target=_NONE),
        row(
            "p99 of publishing, ms; floor: alone",
            together.report.p99_ms,
            alone.report.p99_ms,
            _NO_SLOWER,
        ),
        row("p50 of publishing, ms", together.report.p50_ms, alone.report.p50_ms),
        row("events not answered 202", together.not_accepted, target=_NONE),
        row("memory before, MB", memory.before_mb),
        row("its growth at the peak, MB", memory.peak_mb - memory.before_mb, target=_GROWTH),
        row("its growth afterwards, MB", memory.after_mb - memory.before_mb, target=_LEFT),
        *(
            row(f"connections of {kind}", did["connections"])
            for kind, did in seen.clients["kinds"].items()
        ),
        row("cores that the clients used", seen.clients["cores"]),
    ]


def _window(stage: Stage, server: Running, window_s: int) -> Window:
    plan = Plan(
        server.port,
        server.token,
        int(_RATE * window_s),
        _CONNECTIONS,
        _RATE,
        limit_s=window_s + _LATE_S,
    )
    with _printing(stage, "probing", str(server.port)) as printed:
        report = stage.attempt(plan)
    return Window(report, Probes(**printed()))


_runs = itertools.count()


@contextlib.contextmanager
def _printing(stage: Stage, module: str, argument: str) -> Iterator[Callable[[], dict[str, Any]]]:
    """Run a module for the block, and give a function for what it printed when it was ended."""
    log = stage.folder / f"{module}-{next(_runs)}.log"

    def printed() -> dict[str, Any]:
        read: dict[str, Any] = json.loads(log.read_text().splitlines()[-1])
        return read

    with running([PYTHON, "-m", f"benchmarks.{module}", argument], log, FROM_CHECKOUT):
        yield printed


@contextlib.contextmanager
def _peak(pid: int) -> Iterator[Sequence[float]]:
    """Sample the resident memory for the block."""
    samples, stop = [resident_mb(pid)], threading.Event()

    def sample() -> None:
        while not stop.wait(_SAMPLE_S):
            # A process may end between being listed and being read.
            with contextlib.suppress(psutil.NoSuchProcess):
                samples.append(resident_mb(pid))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()


def _fill(database_url: str, server: Running) -> str:
    """Fill the request log of the server's token, and return the path of its download. Raises
    RuntimeError if that is too small to keep a server busy.
    """
    token_id = json.loads(_get(server, "/v1/me"))["id"]
    database, now = Database(database_url), now_ms()
    for first in range(0, _ROWS, _BATCH):
        with database.write() as connection:
            connection.execute(
                sa.insert(requests),
                [_logged(token_id, now, number) for number in range(first, first + _BATCH)],
            )
    database.close()
    path = f"/v1/tokens/{token_id}/requests.csv"
    if (size := len(_get(server, path))) < _LEAST_BYTES:
        raise RuntimeError(f"the download has only {size:,} bytes")
    return path


def _logged(token_id: str, now: int, number: int) -> dict[str, object]:
    name = f"req_bench_{number:026d}"
    return {
        "id": name,
        "token_id": token_id,
        "at": now - number,
        "request_id": name,
        "method": "GET",
        "path": f"/v1/conversations/{number % 9973}",
        "status": 200,
        "duration_ms": number % 300,
        "address": "192.0.2.7",
        "user_agent": "python-requests/2.32.3",
        "permission": "conversations:read",
        "allowed": True,
    }


def _get(server: Running, path: str) -> bytes:
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}{path}",
        headers={"authorization": f"Bearer {server.token}"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - as above
        body: bytes = answer.read()
    return body
