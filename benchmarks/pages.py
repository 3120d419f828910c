"""Pages as their people open them, rendered in this process: with the demo's data, and with ten
million deliveries of the last 30 days.

Every page that the browser tests look at is opened, by an administrator. What is measured is the
time of the server, without network and browser.
"""

import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import sqlalchemy as sa

from benchmarks.children import running
from benchmarks.comparison import Row, Target
from benchmarks.filled_store import FILLING_S, Times, filled
from benchmarks.ringback_processes import PROGRAM
from benchmarks.stage import Stage
from schemas.deliveries.deliveries import DeliveryState, Outcome
from schemas.events.types import EventType
from schemas.figures import HOUR_MS, KEPT_BY_HOUR_MS, KEPT_BY_MINUTE_MS, MINUTE_MS, Figures
from schemas.ids import CallbackId, EventId, delivery_id
from schemas.times import now_ms
from store.engine.database import Database
from store.figures.rows import columns_of_traffic
from store.tables import (
    deliveries,
    figure_hours,
    figure_minutes,
    recoveries,
)
from tests.browser.test_looks import STATES
from tests.kit.looking import Looking
from tests.kit.pages import Site
from tests.kit.waiting import free_port

ROWS = 10_000_000
FEW = 400_000

_TIMES = 20
_DEMO_S = 40.0
_DAY_MS = 24 * HOUR_MS
_FIGURES = Figures(
    accepted=900,
    outcomes={Outcome.DELIVERED: 800, Outcome.HTTP_5XX: 90, Outcome.TIMEOUT: 10},
    latency=dict.fromkeys(range(10, 40), 30),
    first_delay=dict.fromkeys(range(5, 25), 40),
)


def pages(stage: Stage) -> list[Row]:
    """Measure the 95th percentile of every page in milliseconds."""
    rows = stage.size(ROWS, FEW)
    demo = _row("the demo's data, SQLite", 150, _measured(stage.folder, _of_demo(stage)))
    return [demo, *_with_many(stage, rows)]


def _with_many(stage: Stage, rows: int) -> Iterator[Row]:
    for name, url in (
        ("PostgreSQL", stage.postgres.fresh_database()),
        ("SQLite", f"sqlite:///{stage.folder}/pages.db"),
    ):
        step_ms = 30 * _DAY_MS // rows
        times = Times(now_ms() - rows * step_ms, step_ms)
        database = filled(url, rows, times, with_attempts=True)
        _add_figures(url)
        yield _row(f"{rows:,} deliveries, {name}", 300, _measured(stage.folder, database))


def _row(what: str, target_ms: float, took_ms: Mapping[str, list[float]]) -> Row:
    """Return a row of the slowest page, with those of all as its rounds."""
    p95_ms = {page: sorted(took)[len(took) * 95 // 100 - 1] for page, took in took_ms.items()}
    slowest = max(p95_ms, key=lambda page: p95_ms[page])
    for page in sorted(p95_ms, key=lambda page: -p95_ms[page])[:8]:
        print(f"pages, {what}: {page} {p95_ms[page]:.0f} ms", file=sys.stderr, flush=True)
    return Row(
        "pages",
        f"slowest of {len(p95_ms)}, {slowest!r}, p95, {what}, ms",
        p95_ms[slowest],
        target=Target(target_ms, at_least=False),
        rounds=took_ms,
    )


def _measured(folder: Path, database: Database) -> dict[str, list[float]]:
    site = Site(folder, database)
    looking = Looking(site, _ids(database))
    took_ms = {state: _open_often(looking, state) for state in STATES}
    site.close()
    return took_ms


def _open_often(looking: Looking, state: str) -> list[float]:
    took_ms = []
    for _ in range(_TIMES):
        began_s = time.perf_counter()
        response = looking.open(state)
        response.get_data()
        took_ms.append((time.perf_counter() - began_s) * 1000)
        if response.status_code >= 500:
            raise RuntimeError(f"{state} answered {response.status_code}")
    return took_ms


def _ids(database: Database) -> dict[str, str]:
    """Return what stands for the variable parts of addresses, of deliveries in the middle."""
    columns = deliveries.c

    def one(state: DeliveryState) -> sa.Row[tuple[str, str, str]]:
        found = (
            sa.select(columns.event_id, columns.callback_id, columns.token_id)
            .where(columns.state == state.value)
            .order_by(columns.created_at.desc())
        )
        with database.read() as connection:
            return connection.execute(found.limit(1)).one()

    works, failed = one(DeliveryState.DELIVERED), one(DeliveryState.EXHAUSTED)
    with database.read() as connection:
        recovery_id = connection.scalar(sa.select(recoveries.c.id).limit(1))
    return {
        "token_id": works.token_id,
        "broken_id": failed.token_id,
        "empty_id": works.token_id,
        "event_id": works.event_id,
        "delivery_id": delivery_id(EventId(works.event_id), CallbackId(works.callback_id)),
        "failed_id": delivery_id(EventId(failed.event_id), CallbackId(failed.callback_id)),
        "recovery_id": recovery_id or "none",
    }


def _of_demo(stage: Stage) -> Database:
    """Return what the demo made, once it has run for a while."""
    url = f"sqlite:///{stage.folder}/demo.db"
    settings = {
        "RINGBACK_DATABASE_URL": url,
        "RINGBACK_LISTEN": f"127.0.0.1:{free_port()}",
        "RINGBACK_SECRET_KEY": "benchmark-" + "k" * 40,
    }
    log = stage.folder / "demo.log"
    with running([PROGRAM, "serve", "--demo"], log, settings) as child:
        time.sleep(_DEMO_S)
        child.check()
    return Database(url)


def _add_figures(url: str) -> None:
    """Write figures of 13 months by hour, and of two days by minute, of two dispatchers."""
    database = Database(url, timeout_s=FILLING_S)
    now, columns = now_ms(), columns_of_traffic(_FIGURES)
    hour_at, minute_at = now - now % HOUR_MS, now - now % MINUTE_MS
    hours = [
        {"hour_at": at, "type": kind.value, **columns}
        for at in range(hour_at - KEPT_BY_HOUR_MS, hour_at - KEPT_BY_MINUTE_MS, HOUR_MS)
        for kind in EventType
    ]
    minutes = [
        {"minute_at": at, "type": kind.value, "writer": writer, "written_at": now, **columns}
        for at in range(minute_at - KEPT_BY_MINUTE_MS, minute_at, MINUTE_MS)
        for kind in EventType
        for writer in ("one", "other")
    ]
    with database.write() as connection:
        connection.execute(sa.insert(figure_hours), hours)
        connection.execute(sa.insert(figure_minutes), minutes)
    database.close()
