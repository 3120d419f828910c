"""Recording outcomes with the figures of the charts, and without them: what the charts cost.

Batches with and without figures take turns in the same store, so that one that grows slower does so
for both.
"""

import statistics
import time

from benchmarks.comparison import Row, Target
from benchmarks.stage import Stage
from schemas.times import now_ms
from store.deliveries.settlement import settle
from store.engine import migrate
from store.engine.database import Database
from store.figures.settled import SettledCounts
from tests.kit.figures import add_events, settlements

_BATCH = 100
"""Outcomes in a transaction: what a busy dispatcher gathers while the one before is committed."""

_WITHIN_MS = 1_000
"""In what time the attempts of a batch began. Longer: it writes figures of more minutes than a batch
of a dispatcher does.
"""

_FLUSHED_EVERY = 20
"""Batches between two writes of the figures by callback: at some hundred outcomes a second a
dispatcher writes them every five seconds.
"""

_TARGET = Target(1.03, at_least=False, of_ratio=True)


def settling(stage: Stage) -> list[Row]:
    """Measure medians of a batch in milliseconds, on both databases."""
    batches = stage.size(600, quick=60)
    urls = {
        "PostgreSQL": stage.postgres.fresh_database(),
        "SQLite": f"sqlite:///{stage.folder}/settling.db",
    }
    return [_row(name, url, batches) for name, url in urls.items()]


def _row(name: str, url: str, batches: int) -> Row:
    database, counts = Database(url), SettledCounts()
    migrate.upgrade(database)
    plain_ms, counted_ms, flush_ms = [], [], []
    for number in range(batches):
        plain_ms.append(_settled_ms(database, 2 * number, None))
        counted_ms.append(_settled_ms(database, 2 * number + 1, counts))
        if number % _FLUSHED_EVERY == 0:
            flush_ms.append(_flushed_ms(database, counts))
    database.close()
    return Row(
        "settling",
        f"a batch of {_BATCH}, {name}, ms",
        statistics.median(counted_ms) + statistics.median(flush_ms) / _FLUSHED_EVERY,
        statistics.median(plain_ms),
        _TARGET,
        {"with": counted_ms, "without": plain_ms, "flush": flush_ms},
    )


def _settled_ms(database: Database, number: int, counts: SettledCounts | None) -> float:
    now = now_ms()
    made = settlements(_BATCH, now, seed=number, within_ms=_WITHIN_MS)
    add_events(database, made)
    began_s = time.perf_counter()
    with database.write() as connection:
        settle(connection, made, now)
        if counts:
            counts.write(connection, made, now)
    if counts:
        counts.committed(now)
    return (time.perf_counter() - began_s) * 1000


def _flushed_ms(database: Database, counts: SettledCounts) -> float:
    now = now_ms()
    began_s = time.perf_counter()
    with database.write() as connection:
        hours = counts.flush(connection, now)
    counts.committed(now)
    counts.flushed(hours, now)
    return (time.perf_counter() - began_s) * 1000
