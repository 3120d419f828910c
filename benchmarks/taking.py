"""Leasing due rows while one callback has a million of them: what a scan and a lease cost, on
either database.

The floor is the same with few rows for every callback. A backlog must cost neither its own callback
nor the others.
"""

import statistics
import time
from collections.abc import Callable, Iterator

import sqlalchemy as sa

from benchmarks.comparison import Row, Target
from benchmarks.stage import Stage
from schemas.ids import CallbackId
from schemas.times import UnixMs
from store.deliveries import due
from store.deliveries.due import LeaseRequest, Share
from store.engine.database import Connection, Database
from store.tables import metadata

BACKLOG = 1_000_000
OTHERS = 99
FEW = 4_000
ROWS_OF_OTHERS = 100
HANGING = 960
MANY = 64
SLOTS = 16
_LEASES = 60
_LEASE_MS = 25_000
_FILLING_S = 600.0
_NOW = UnixMs(1_000_000_000)
_GREAT = CallbackId("0" * 16)
_NO_DEARER = Target(2, at_least=False, of_ratio=True)

_EVENTS = """
INSERT INTO events
    (id, type, timestamp, accepted_at, via_amqp, channel_id, conversation_id, content_hash,
    conflicts, callbacks, body)
SELECT 'evt_' || n, 'message.received', 0, 0, false, 'chn', 'conversation ' || (n % 97), {hash},
    0, '', {body}
FROM {numbers}
"""
_DELIVERIES = """
INSERT INTO deliveries
    (event_id, callback_id, token_id, type, state, created_at, due_at, leased, lease, failures,
    is_retry, queued_at, conversation_id)
SELECT 'evt_' || n, '{callback}', 'tok', 'message.received', 'pending', n, n, false, 0, 0,
    n % 2 = 1, n,
    CASE WHEN n < {hanging} AND n % 2 = 0 THEN 'hangs' ELSE 'conversation ' || (n % 97) END
FROM {numbers}
"""
_DIALECT = {
    "postgresql": {
        "numbers": "generate_series(0, {last}) AS n",
        "hash": "''::bytea",
        "body": "convert_to(repeat('x', 100), 'UTF8')",
    },
    "sqlite": {
        "numbers": "(WITH RECURSIVE every(n) AS "
        "(SELECT 0 UNION ALL SELECT n + 1 FROM every WHERE n < {last}) SELECT n FROM every)",
        "hash": "x''",
        "body": "zeroblob(100)",
    },
}


def taking(stage: Stage) -> list[Row]:
    """Measure few rows, then the backlog. PostgreSQL has fsync, SQLite is as in embedded mode."""
    rows: list[Row] = []
    backlog = stage.size(BACKLOG, BACKLOG // 20)
    for name, urls in (
        ("PostgreSQL", [stage.postgres.fresh_database() for _ in range(2)]),
        ("SQLite", [f"sqlite:///{stage.folder}/{size}.db" for size in ("few", "many")]),
    ):
        few, many = (
            dict(_measured(url, size)) for url, size in zip(urls, (FEW, backlog), strict=True)
        )
        rows += [
            Row("taking", f"{what}, {backlog:,} rows, {name}", many[what], few[what], _NO_DEARER)
            for what in many
        ]
    return rows


def _measured(url: str, great: int) -> Iterator[tuple[str, float]]:
    """Yield medians in milliseconds. The great callback has `great` rows, and a conversation that
    hangs with the oldest of one share.
    """
    _fill(Database(url, timeout_s=_FILLING_S), great)
    database = Database(url)
    firsts, repeats = Share(_GREAT, is_retry=False), Share(_GREAT, is_retry=True)
    theirs = [Share(_other(number), is_retry=True) for number in range(OTHERS)]
    yield (
        "a scan, ms",
        _median(database, lambda connection, _: due.shares_with_due(connection, _NOW)),
    )
    yield (
        f"a lease of {SLOTS}, ms",
        _median(database, lambda connection, _: _lease(connection, {repeats: LeaseRequest(SLOTS)})),
    )
    # More rows than a lease reads.
    busy = LeaseRequest(MANY, busy_conversations={"hangs"})
    yield (
        "a lease past a busy conversation, ms",
        _median(database, lambda connection, _: _lease(connection, {firsts: busy})),
    )
    yield (
        "a lease of one row of another callback, ms",
        _median(database, lambda connection, n: _lease(connection, {theirs[n]: LeaseRequest(1)})),
    )
    database.close()


def _lease(connection: Connection, lease_requests: dict[Share, LeaseRequest]) -> None:
    leased = due.lease(connection, lease_requests, _NOW, _LEASE_MS, lapsed=True, most=MANY)
    if not leased.deliveries:
        raise RuntimeError("nothing was leased: there is nothing to measure")


def _median(database: Database, job: Callable[[Connection, int], object]) -> float:
    """Return the median milliseconds of a transaction, with its commit."""
    took: list[float] = []
    for number in range(_LEASES):
        began_s = time.perf_counter()
        with database.write() as connection:
            job(connection, number)
        took.append((time.perf_counter() - began_s) * 1000)
    return statistics.median(took)


def _fill(database: Database, great: int) -> None:
    words = _DIALECT[database.dialect]
    with database.engine.begin() as connection:
        metadata.create_all(connection)
        most = {key: value.format(last=great - 1) for key, value in words.items()}
        connection.execute(sa.text(_EVENTS.format(**most)))
        for callback_id, rows in [
            (_GREAT, great),
            *((_other(number), ROWS_OF_OTHERS) for number in range(OTHERS)),
        ]:
            numbers = words["numbers"].format(last=rows - 1)
            connection.execute(
                sa.text(_DELIVERIES.format(callback=callback_id, hanging=HANGING, numbers=numbers))
            )
    if database.dialect == "postgresql":
        with database.engine.connect().execution_options(
            isolation_level="AUTOCOMMIT"
        ) as connection:
            connection.exec_driver_sql("ANALYZE deliveries")
    database.close()


def _other(number: int) -> CallbackId:
    return CallbackId(f"{number + 1:016x}")
