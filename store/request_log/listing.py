"""The request log as people see it: a token's requests, newest first, by any filter. Reads only;
called by the API.

Every page is read in the order of one index, (token, time, id); with a filter it looks at a bounded
number of rows (`store.engine.paging`).
"""

import operator
from collections.abc import Iterable, Iterator
from typing import Any

import sqlalchemy as sa

from schemas.ids import RequestId, TokenId
from schemas.listings import Page
from schemas.request_log import LoggedRequest, RequestFilter
from schemas.times import UnixMs
from schemas.tokens.permissions import Permission
from store.engine.database import Connection, Database
from store.engine.paging import Key, Row, after, bounded, end_of_look, page_by_time
from store.tables import requests

_PAGE = 2_000  # rows of a download's transaction
_KEY = (requests.c.at, requests.c.id)
_NEWEST_FIRST = tuple(column.desc() for column in _KEY)

Conditions = list[sa.ColumnElement[bool]]


def list_requests(
    connection: Connection,
    token_id: TokenId,
    chosen: RequestFilter,
    limit: int,
    cursor: str | None = None,
) -> Page[LoggedRequest]:
    """Newest first. A page may hold fewer than `limit`, even none, and still have a `next_cursor`.
    Raises Invalid for a cursor that is none.
    """
    among = _among(token_id, chosen, cursor)
    filters = list(_filters(chosen))
    looked_to = end_of_look(connection, _KEY, among) if filters else None
    rows = connection.execute(_page_query(among, filters, looked_to, limit)).all()
    return page_by_time(
        rows,
        limit,
        lambda row: (row.at, row.id),
        lambda shown: [_request(row) for row in shown],
        looked_to,
    )


def every_request(
    database: Database, token_id: TokenId, chosen: RequestFilter
) -> Iterator[LoggedRequest]:
    """All of them, newest first. A transaction a page, so that a slow reader holds none open."""
    cursor = None
    while True:
        with database.read() as connection:
            found = list_requests(connection, token_id, chosen, _PAGE, cursor)
        yield from found.rows
        cursor = found.next_cursor
        if cursor is None:
            return


def _page_query(
    among: Conditions, filters: Conditions, looked_to: Key | None, limit: int
) -> sa.Select[Any]:
    """In the order of the index, so that it stops when the page is full, or where it was to stop
    looking.
    """
    bound = [] if looked_to is None else bounded(_KEY, looked_to, operator.ge)
    return (
        sa.select(requests)
        .where(*among, *bound, *filters)
        .order_by(*_NEWEST_FIRST)
        .limit(limit + 1)
    )


def _among(token_id: TokenId, chosen: RequestFilter, cursor: str | None) -> Conditions:
    """What the index knows."""
    conditions = [requests.c.token_id == token_id, *after(_KEY, cursor, descending=True)]
    if chosen.since is not None:
        conditions.append(requests.c.at >= chosen.since)
    if chosen.until is not None:
        conditions.append(requests.c.at < chosen.until)
    return conditions


def _filters(chosen: RequestFilter) -> Iterable[sa.ColumnElement[bool]]:
    """What only the rows know."""
    c = requests.c
    if chosen.status is not None:
        yield c.status == chosen.status
    if chosen.method is not None:
        yield sa.or_(
            sa.func.upper(c.method) == chosen.method.upper(), c.method == chosen.method.lower()
        )  # Turkish locales: i is not I there
    if chosen.path is not None:
        yield (
            sa.func.substr(c.path, 1, len(chosen.path)) == chosen.path
        )  # SQLite's LIKE takes no notice of case
    if chosen.allowed is not None:
        yield c.allowed.is_(chosen.allowed)


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
