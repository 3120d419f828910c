"""Lists of the request log: a token's requests, newest first, by any filter. Reads only; called by
the API.

Every page is read in the order of one index, (token, time, id). With a filter it scans a bounded
number of rows (`store.engine.paging`).
"""

import operator
from collections import deque
from collections.abc import Collection, Iterable, Iterator

import sqlalchemy as sa

from schemas.ids import RequestId, TokenId
from schemas.listings import Page
from schemas.request_log import LoggedRequest, RequestFilter
from schemas.times import UnixMs
from schemas.tokens.permissions import Permission
from store.engine.database import Connection, Database
from store.engine.paging import Key, Row, after, bounded, end_of_scan, page_by_time
from store.engine.sql_types import SqlSelect
from store.tables import requests, tokens

_FIRST_PAGE, _PAGE = 10, 250
"""Rows of a transaction of a download. More: longer transactions, and more memory for each download
that waits. Fewer: more transactions. The first are few, as they are read before the answer begins.
"""

_KEY = (requests.c.at, requests.c.id)
_NEWEST_FIRST = tuple(column.desc() for column in _KEY)

_Conditions = list[sa.ColumnElement[bool]]


def list_requests(
    connection: Connection,
    token_id: TokenId,
    wanted: RequestFilter,
    limit: int,
    cursor: str | None = None,
) -> Page[LoggedRequest]:
    """Return a page of a token's requests, newest first.

    It may hold fewer than `limit`, even none, and still have a `next_cursor`. Raises Invalid for a
    malformed cursor.
    """
    among = _among(token_id, wanted, cursor)
    filters = list(_filters(wanted))
    scanned_to = end_of_scan(connection, _KEY, among) if filters else None
    rows = connection.execute(_page_query(among, filters, scanned_to, limit)).all()
    return page_by_time(
        rows,
        limit,
        lambda row: (row.at, row.id),
        lambda shown: [_request(row) for row in shown],
        scanned_to,
    )


def last_use_addresses(
    connection: Connection, token_ids: Collection[TokenId]
) -> dict[TokenId, str | None]:
    """Return from which address each of these tokens was last used, for a page of a list.

    The address is that of the newest row; None: it is unknown. A token without rows is left out.
    Each costs one look into the index.
    """
    of_token = requests.alias()
    newest = (
        sa.select(of_token.c.id)
        .where(of_token.c.token_id == tokens.c.id)
        .order_by(of_token.c.at.desc(), of_token.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    query = (
        sa.select(tokens.c.id, requests.c.address)
        .join_from(tokens, requests, requests.c.id == newest)
        .where(tokens.c.id.in_(sorted(token_ids)))
    )
    return {TokenId(row.id): row.address for row in connection.execute(query)}


def every_request(
    database: Database, token_id: TokenId, wanted: RequestFilter
) -> Iterator[LoggedRequest]:
    """Yield all requests of a token that match, newest first.

    Each page has a transaction of its own, so that a slow reader holds none open.
    """
    cursor, limit = None, _FIRST_PAGE
    while True:
        with database.read() as connection:
            page = list_requests(connection, token_id, wanted, limit, cursor)
        limit = _PAGE
        rows, cursor = deque(page.rows), page.next_cursor
        del page  # a slow reader keeps no rows that it has read
        while rows:
            yield rows.popleft()
        if cursor is None:
            return


def _page_query(
    among: _Conditions, filters: _Conditions, scanned_to: Key | None, limit: int
) -> SqlSelect:
    """Return the query in the order of the index.

    So it stops when the page is full, or at the end of the scan.
    """
    bound = [] if scanned_to is None else bounded(_KEY, scanned_to, operator.ge)
    return (
        sa.select(requests)
        .where(*among, *bound, *filters)
        .order_by(*_NEWEST_FIRST)
        .limit(limit + 1)
    )


def _among(token_id: TokenId, wanted: RequestFilter, cursor: str | None) -> _Conditions:
    """Return the conditions that the index answers."""
    conditions = [requests.c.token_id == token_id, *after(_KEY, cursor, descending=True)]
    if wanted.since is not None:
        conditions.append(requests.c.at >= wanted.since)
    if wanted.until is not None:
        conditions.append(requests.c.at < wanted.until)
    return conditions


def _filters(wanted: RequestFilter) -> Iterable[sa.ColumnElement[bool]]:
    """Yield the conditions that need the rows."""
    c = requests.c
    if wanted.status is not None:
        yield c.status == wanted.status
    if wanted.method is not None:
        # Turkish locales: the capital of i is not I there
        yield sa.or_(
            sa.func.upper(c.method) == wanted.method.upper(), c.method == wanted.method.lower()
        )
    if wanted.path is not None:
        # not LIKE: on SQLite it ignores case
        yield sa.func.substr(c.path, 1, len(wanted.path)) == wanted.path
    if wanted.allowed is not None:
        yield c.allowed.is_(wanted.allowed)


def _request(row: Row) -> LoggedRequest:
    return LoggedRequest(
        id=RequestId(row.id),
        at=UnixMs(row.at),
        token_id=TokenId(row.token_id),
        request_id=row.request_id,
        method=row.method,
        path=row.path,
        status=row.status,
        duration_ms=row.duration_ms,
        address=row.address,
        user_agent=row.user_agent,
        permission=row.permission and Permission(row.permission),
        allowed=row.allowed,
        reason=row.reason,
        count=row.stands_for,
    )
