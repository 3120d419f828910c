"""Pages by key: each starts where the one before ended, so a page costs the same however deep in
the list it is.

A cursor is the sort key of a page's last row, as opaque text. Rows that come or go meanwhile
neither repeat others nor hide them.

A filter that matches little would read on and on along its list's index, and an index for each
filter would cost every write. So a page with a filter scans a bounded number of rows, and says
where the next page starts.
"""

import base64
import binascii
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from schemas.errors import Fault, Invalid
from schemas.listings import Page
from schemas.times import UnixMs
from store.engine.database import Connection
from store.engine.sql_types import SqlExpression, SqlRow

T = TypeVar("T")
Row = SqlRow
"""A row of a query; its columns are known to the module that wrote the query."""

Key = Sequence[int | str]
"""The values of a row in the columns by which its list is sorted."""

_Comparison = Callable[[Any, Any], sa.ColumnElement[bool]]

SCAN_ROWS = 20_000
"""Rows that a page with a filter scans. More: pages that match little take longer. Fewer: more of
them hold nothing.
"""


def end_of_scan(
    connection: Connection,
    columns: Sequence[SqlExpression],
    among: Iterable[sa.ColumnElement[bool]],
) -> Key | None:
    """Return the key of the last row, newest first, that this page may scan.

    It is read from the index of `columns` alone. None when there are fewer rows. Find it before the
    page's rows: rows that come meanwhile then belong to this page or to one before.
    """
    newest_first = (column.desc() for column in columns)
    row = connection.execute(
        sa.select(*columns).where(*among).order_by(*newest_first).offset(SCAN_ROWS - 1).limit(1)
    ).first()
    return None if row is None else tuple(row)


def after(
    columns: Sequence[SqlExpression], cursor: str | None, *, descending: bool
) -> list[sa.ColumnElement[bool]]:
    """Return the conditions that a page starts behind `cursor`; none for the first page.

    Raises Invalid for a text that is not a cursor.
    """
    if cursor is None:
        return []
    key = _key(cursor, [int if isinstance(column.type, sa.Integer) else str for column in columns])
    return bounded(columns, key, operator.lt if descending else operator.gt)


def bounded(
    columns: Sequence[SqlExpression], key: Key, compare: _Comparison
) -> list[sa.ColumnElement[bool]]:
    """Return the conditions that a row's key compares with `key` as `compare` says.

    One of them is on the first column alone. PostgreSQL does not see that two comparisons of rows
    are the ends of a range, and would expect half of the table.
    """
    loosely = operator.le if compare in {operator.lt, operator.le} else operator.ge
    return [compare(sa.tuple_(*columns), sa.tuple_(*key)), loosely(columns[0], key[0])]


def page(
    rows: Sequence[Row],
    limit: int,
    key: Callable[[Row], Key],
    shaped: Callable[[Sequence[Row]], list[T]],
) -> Page[T]:
    """Return the page of the rows that a query with `limit + 1` gave.

    One row too many says that there is another page.
    """
    shown = rows[:limit]
    return Page(shaped(shown), cursor_of(key(shown[-1])) if len(rows) > limit else None)


def page_by_time(
    rows: Sequence[Row],
    limit: int,
    key: Callable[[Row], Key],
    shaped: Callable[[Sequence[Row]], list[T]],
    scanned_to: Key | None,
) -> Page[T]:
    """Return the page of a list whose key begins with a time, newest first.

    `scanned_to` is where the query had to stop scanning, None when it was to reach the end. The
    next page starts there, however few rows matched.
    """
    shown = rows[:limit]
    last = key(shown[-1]) if len(rows) > limit else scanned_to
    if last is None:
        return Page(shaped(shown), None)
    return Page(shaped(shown), cursor_of(last), UnixMs(int(last[0])))


def cursor_of(key: Key) -> str:
    """Return the cursor of the page that starts behind this key.

    A row with the key need not exist.
    """
    return base64.urlsafe_b64encode(msgspec.json.encode(list(key))).decode().rstrip("=")


def _key(cursor: str, types: Sequence[type[int | str]]) -> list[int | str]:
    try:
        key = msgspec.json.decode(
            base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=list[int | str]
        )
    except (ValueError, binascii.Error, msgspec.DecodeError):
        key = []
    if [type(part) for part in key] != list(types) or not all(map(_is_storable, key)):
        raise Invalid(
            "the cursor is invalid",
            faults=[Fault("a cursor is the next_cursor of the page before", "/cursor")],
        )
    return key


def _is_storable(part: int | str) -> bool:
    """Return whether both databases take the value: PostgreSQL takes no NUL in a text, neither
    takes an integer of more than 64 bits.
    """
    return "\0" not in part if isinstance(part, str) else part.bit_length() <= 63
