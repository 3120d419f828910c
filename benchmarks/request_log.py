"""Pages of the request log at ten million rows: the first, deep ones, and those of filters that
match little or nothing.

The floor is the same with few rows: a page must cost what it shows, or what it may read, however
many there are. The plans of the queries are kept with the figures.
"""

import pathlib
import statistics
import sys
import time
from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from benchmarks.comparison import Row, Target
from benchmarks.stage import Stage
from schemas.ids import TokenId
from schemas.request_log import RequestFilter
from schemas.times import UnixMs
from store.engine.database import Database
from store.engine.paging import SCAN_ROWS
from store.request_log.listing import list_requests
from store.tables import metadata
from tests.kit.plans import plans

ROWS = 10_000_000
FEW = 200_000
PLANS = pathlib.Path(__file__).parent / "out" / "request_log-plans.txt"

_BUSY = TokenId("tok_busy")  # makes six of ten requests; four others the rest
_PAGES = 40
_LIMIT = 100
_FILLING_S = 3600.0
_IN_TIME = Target(100, at_least=False)
_ANY, _NOTHING, _RARE = (
    RequestFilter(),
    RequestFilter(path="/v1/not-called"),
    RequestFilter(status=503),
)

_FILL = """
INSERT INTO requests
    (id, token_id, at, request_id, method, path, status, duration_ms, address, user_agent,
    permission, allowed, reason)
SELECT 'req_' || lpad(to_hex(n), 32, '0'),
    CASE WHEN n % 10 < 6 THEN '{busy}' ELSE 'tok_' || (n % 10) END, n,
    'req_' || lpad(to_hex(n), 32, '0'), CASE WHEN n % 3 = 0 THEN 'POST' ELSE 'GET' END,
    '/v1/conversations/' || (n % 9973), CASE WHEN n % 100003 = 0 THEN 503 ELSE 200 END,
    n % 300, '192.0.2.' || (n % 250), 'python-requests/2.32.3', 'conversations:read', true, NULL
FROM generate_series(1, {rows}) AS n
"""


def request_log(stage: Stage) -> list[Row]:
    """Measure medians of a page in milliseconds, on PostgreSQL."""
    rows = stage.size(ROWS, FEW * 2)
    few, many = (dict(_measured(stage.postgres.fresh_database(), size)) for size in (FEW, rows))
    return [
        Row("request log", f"{what}, {rows:,} rows, ms", many[what], few[what], _IN_TIME)
        for what in many
    ]


def _measured(url: str, rows: int) -> Iterator[tuple[str, float]]:
    """Yield medians. The pages start all over the log, so that none finds in memory what another
    read.
    """
    _fill(url, rows)
    database = Database(url)
    starts = [_cursor(database, rows * (number + 1) // (_PAGES + 1)) for number in range(_PAGES)]
    yield f"first page of {_LIMIT}", _median(database, _ANY, [None] * _PAGES)
    yield "page deep in it", _median(database, _ANY, starts)
    yield "page of a rare status", _median(database, _RARE, starts)
    yield f"page past {SCAN_ROWS:,} that do not match", _median(database, _NOTHING, starts)
    _keep_plans(database, rows, starts[_PAGES // 2])
    database.close()


def _median(database: Database, selected: RequestFilter, cursors: Sequence[str | None]) -> float:
    took: list[float] = []
    for cursor in cursors:
        began_s = time.perf_counter()
        with database.read() as connection:
            list_requests(connection, _BUSY, selected, _LIMIT, cursor)
        took.append((time.perf_counter() - began_s) * 1000)
    return statistics.median(took)


def _cursor(database: Database, before: int) -> str | None:
    """Return the cursor of a page that ends at `before`."""
    with database.read() as connection:
        return list_requests(
            connection, _BUSY, RequestFilter(until=UnixMs(before)), _LIMIT
        ).next_cursor


def _keep_plans(database: Database, rows: int, cursor: str | None) -> None:
    texts = [f"{rows:,} rows"]
    for selected in (_ANY, _NOTHING, _RARE):
        texts += plans(
            database,
            lambda c, selected=selected: list_requests(c, _BUSY, selected, _LIMIT, cursor),
            "EXPLAIN (ANALYZE, BUFFERS)",
        )
    PLANS.parent.mkdir(exist_ok=True)
    PLANS.write_text("\n\n".join(texts) + "\n")
    print(*texts, sep="\n\n", file=sys.stderr, flush=True)


def _fill(url: str, rows: int) -> None:
    database = Database(url, timeout_s=_FILLING_S)
    with database.engine.begin() as connection:
        metadata.create_all(connection)
        connection.execute(sa.text(_FILL.format(busy=_BUSY, rows=rows)))
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE requests")  # as autovacuum would have by then
    database.close()
