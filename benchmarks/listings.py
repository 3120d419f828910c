"""Lists of all deliveries and events, the gauges of the store, and the creation of a recovery, at
ten million rows of each.

A filter fits one in five million: a page must cost what it may read, and say how far that was,
however many there are.
"""

import statistics
import time
from collections.abc import Callable, Iterator

from benchmarks.comparison import Row, Target
from benchmarks.filled_store import Times, filled
from benchmarks.stage import Stage
from schemas.deliveries.deliveries import Outcome
from schemas.deliveries.recoveries import Recoverable, RecoveryQuery
from schemas.events.types import EventType
from schemas.listings import DeliveryFilter, EventFilter
from schemas.times import LATEST, UnixMs
from store.deliveries.listing import list_deliveries
from store.engine.database import Connection, Database
from store.events.listing import list_events
from store.recoveries import jobs
from store.stats import gauges

ROWS = 10_000_000
FEW = 400_000

_PAGES = 20
_LIMIT = 50
_IN_TIME = Target(300, at_least=False)


def listings(stage: Stage) -> list[Row]:
    """Measure medians in milliseconds, on both databases."""
    rows = stage.size(ROWS, FEW)
    measured: list[Row] = []
    for name, url in (
        ("PostgreSQL", stage.postgres.fresh_database()),
        ("SQLite", f"sqlite:///{stage.folder}/listings.db"),
    ):
        database = filled(url, rows, Times())
        measured += [
            Row("listings", f"{what}, {rows:,} rows, ms, {name}", took, None, _IN_TIME)
            for what, took in _measured(database, rows)
        ]
        database.close()
    return measured


def _measured(database: Database, rows: int) -> Iterator[tuple[str, float]]:
    """Yield medians. The pages start all over the lists, so that none finds in memory what another
    read.
    """
    ends = [UnixMs(rows - number * rows // (_PAGES + 1)) for number in range(_PAGES)]
    yield (
        "deliveries, no filter",
        _median(
            database, ends, lambda c, end: list_deliveries(c, DeliveryFilter(until=end), _LIMIT)
        ),
    )
    yield (
        "deliveries, error=tls",
        _median(database, ends, lambda c, end: list_deliveries(c, _tls(end), _LIMIT)),
    )
    yield (
        "events, type=message.status",
        _median(database, ends, lambda c, end: list_events(c, _status(end), _LIMIT)),
    )
    yield "the gauges of the store", _time(lambda: gauges.read(database))
    query = RecoveryQuery(UnixMs(0), LATEST, (Recoverable.EXHAUSTED,))
    yield "a recovery is created", _time(lambda: jobs.create(database, query))


def _tls(until: UnixMs) -> DeliveryFilter:
    return DeliveryFilter(until=until, error=Outcome.TLS)


def _status(until: UnixMs) -> EventFilter:
    return EventFilter(until=until, type=EventType.MESSAGE_STATUS)


def _median(
    database: Database, ends: list[UnixMs], query: Callable[[Connection, UnixMs], object]
) -> float:
    def page(end: UnixMs) -> None:
        with database.read() as connection:
            query(connection, end)

    return statistics.median(_time(lambda end=end: page(end)) for end in ends)


def _time(job: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    job()
    return (time.perf_counter() - began_s) * 1000
