"""A revoked token that keeps calling while a backend publishes: what it costs the publisher, and
how many rows it makes.

The windows repeat: the publisher alone, with the revoked token, and with as many calls of a token
in force.
"""

import statistics
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import sqlalchemy as sa

from benchmarks.comparison import Row, Target
from benchmarks.load import Plan
from benchmarks.ringback_processes import Ringback
from benchmarks.stage import Stage
from store.engine.database import Database
from store.tables import requests
from tests.kit.waiting import wait_for

_RATE, _CALLS = 200.0, 300.0
_CONNECTIONS = 32
_NAME = f"refusing, {_CALLS:g} calls/s"


def refusing(stage: Stage) -> list[Row]:
    """Measure one API worker on RabbitMQ and PostgreSQL, without a dispatcher."""
    window_s, rounds = stage.size(20, quick=3), stage.size(3, quick=2)
    ringback = Ringback(stage)
    ringback.prepare()
    revoked, in_force = ringback.make_token("revoked"), ringback.make_token("in-force")
    ringback.command("token", "revoke", revoked["id"])
    with ringback.api(workers=1) as running:
        plan = Plan(running.port, running.token, int(_RATE * window_s), _CONNECTIONS, rate=_RATE)
        stage.load(plan)
        p99_ms: dict[str, list[float]] = {"alone": [], "revoked": [], "in force": []}
        for _ in range(rounds):
            p99_ms["alone"].append(stage.load(plan).p99_ms)
            for name, token, status in (("revoked", revoked, 401), ("in force", in_force, 200)):
                with _calling(stage, running.port, token["token"], window_s, status):
                    p99_ms[name].append(stage.load(plan).p99_ms)
        calls = rounds * int(_CALLS * window_s)
        wait_for("the log to be written", lambda: _logged(ringback, in_force["id"])[1] >= calls, 30)
        rows, counted = _logged(ringback, revoked["id"])
    medians = {name: statistics.median(values) for name, values in p99_ms.items()}
    alone, what = medians["alone"], "p99 of publishing, ms; floor: alone"
    return [
        Row(_NAME, "calls of a revoked token that its rows count", counted, calls),
        Row(
            _NAME,
            "rows a second for them",
            rows / (rounds * window_s),
            target=Target(1, at_least=False),
        ),
        Row(
            f"{_NAME} of a revoked token",
            what,
            medians["revoked"],
            alone,
            Target(1.2, at_least=False, of_ratio=True),
            p99_ms,
        ),
        Row(f"{_NAME} of a token in force", what, medians["in force"], alone),
    ]


@contextmanager
def _calling(stage: Stage, port: int, token: str, window_s: int, status: int) -> Iterator[None]:
    """Call the API from another process for the whole block."""
    request = f"GET /v1/me HTTP/1.1\r\nhost: ringback\r\nauthorization: Bearer {token}\r\n\r\n"
    plan = Plan(
        port, token, int(_CALLS * window_s), _CONNECTIONS, _CALLS, request=request, expected=status
    )
    with ThreadPoolExecutor(1) as pool:
        calls = pool.submit(stage.load, plan)
        yield
        calls.result()


def _logged(ringback: Ringback, token_id: str) -> tuple[int, int]:
    """Return the rows of a token's request log, and the calls that they count."""
    database = Database(ringback.database_url)
    with database.read() as connection:
        rows, calls = connection.execute(
            sa.select(
                sa.func.count(), sa.func.coalesce(sa.func.sum(requests.c.stands_for), 0)
            ).where(requests.c.token_id == token_id)
        ).one()
    database.close()
    return int(rows), int(calls)
