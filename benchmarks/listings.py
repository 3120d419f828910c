"""Lists of all deliveries and events, the gauges of the store, and the creation of a recovery, at
ten million rows of each.

A filter fits one in five million: a page must cost what it may read, and say how far that was,
however many there are.
"""

import statistics
import time
from collections.abc import Callable, Iterator

from benchmarks.comparison import Row, Target
from benchmarks.stage import Stage
from schemas.deliveries.deliveries import Outcome
from schemas.deliveries.recoveries import Recoverable, RecoveryQuery
from schemas.events.types import EventType
from schemas.listings import DeliveryFilter, EventFilter
from schemas.times import LATEST, UnixMs
from store.deliveries.listing import list_deliveries
from store.engine import migrate
from store.engine.database import Connection, Database
from store.events.listing import list_events
from store.recoveries import jobs
from store.stats import gauges

ROWS = 10_000_000
FEW = 400_000

_CALLBACKS = 100
_ONE_IN = 5_000_000
_PAGES = 20
_LIMIT = 50
_FILLING_S = 3600.0
_IN_TIME = Target(300, at_least=False)

_TOKENS = """
INSERT INTO tokens
    (id, version, name, hint, secret_hash, signing_secrets, permissions, enabled, created_at,
    activates_at)
SELECT 'tok_' || (n % {callbacks}), 1, 'busy', 'rbk_', {own}, {blob}, '[]', true, 0, 0
FROM {numbers}
"""
_CALLBACK_ROWS = """
INSERT INTO callbacks (id, token_id, type, url, enabled, headers, created_at)
SELECT 'cb_' || (n % {callbacks}), 'tok_' || (n % {callbacks}), 'message.received',
    'https://x.example/', true, {blob}, 0
FROM {numbers}
"""
_EVENTS = """
INSERT INTO events
    (id, type, timestamp, accepted_at, via_amqp, channel_id, conversation_id, content_hash,
    conflicts, callbacks, body, claimed_at)
SELECT 'evt_' || (1000000000 + n),
    CASE WHEN n % {one_in} = 7 THEN 'message.status' ELSE 'message.received' END,
    n, n, false, 'chn_1', 'cnv_1', {blob}, 0, 'cb_' || (n % {callbacks}), {body}, n
FROM {numbers}
"""
_DELIVERIES = """
INSERT INTO deliveries
    (event_id, callback_id, token_id, type, state, created_at, due_at, leased, lease, failures,
    queued_at, status_code, outcome)
SELECT 'evt_' || (1000000000 + n), 'cb_' || (n % {callbacks}), 'tok_' || (n % {callbacks}),
    'message.received',
    CASE n % 10 WHEN 1 THEN 'pending' WHEN 2 THEN 'exhausted' WHEN 3 THEN 'exhausted'
        ELSE 'delivered' END,
    n, CASE n % 10 WHEN 1 THEN n END, false, 0, 0, CASE n % 10 WHEN 1 THEN n END, 200,
    CASE WHEN n % {one_in} = 7 THEN 'tls' ELSE 'delivered' END
FROM {numbers}
"""
_PARTS = {
    "postgresql": {
        "numbers": "generate_series(1, {rows}) AS n",
        "blob": "'\\x00'::bytea",
        "own": "convert_to(n::text, 'UTF8')",
        "body": "convert_to(repeat('x', 400), 'UTF8')",
    },
    "sqlite": {
        "numbers": "(WITH RECURSIVE c(n) AS "
        "(SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {rows}) SELECT n FROM c)",
        "blob": "x'00'",
        "own": "CAST(n AS BLOB)",
        "body": "CAST(printf('%.400c', 'x') AS BLOB)",
    },
}


def listings(stage: Stage) -> list[Row]:
    """Measure medians in milliseconds, on both databases."""
    rows = stage.size(ROWS, FEW)
    measured: list[Row] = []
    for name, url in (
        ("PostgreSQL", stage.postgres.fresh_database()),
        ("SQLite", f"sqlite:///{stage.folder}/listings.db"),
    ):
        database = _filled(url, rows)
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


def _filled(url: str, rows: int) -> Database:
    filling = Database(url, timeout_s=_FILLING_S)
    migrate.upgrade(filling)
    parts = {name: text.format(rows=rows) for name, text in _PARTS[filling.dialect].items()}
    few = parts | {"numbers": _PARTS[filling.dialect]["numbers"].format(rows=_CALLBACKS)}
    with filling.write() as connection:
        for statement, filled in (
            (_TOKENS, few),
            (_CALLBACK_ROWS, few),
            (_EVENTS, parts),
            (_DELIVERIES, parts),
        ):
            text = statement.format(callbacks=_CALLBACKS, one_in=_ONE_IN, **filled)
            connection.exec_driver_sql(
                text.replace("%", "%%") if filling.dialect == "postgresql" else text
            )
    if filling.dialect == "postgresql":
        with filling.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")  # as autovacuum would have by then
    filling.close()
    return Database(url)
