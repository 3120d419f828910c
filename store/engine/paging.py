"""Pages by key: each starts where the one before ended, so a page costs the same however deep it
lies in the list.

A cursor is the sort key of a page's last row, as opaque text. Rows that come or go meanwhile
neither repeat others nor hide them.

A filter that matches little would walk on and on along its list's index, and an index for each
filter would cost every write: so a page with a filter looks at a bounded number of rows, and says
where to go on.
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

T = TypeVar("T")
Row = sa.Row[Any]
Key = Sequence[int | str]


LOOK = 20_000
"""Rows that a page with a filter looks at. More: pages that match little take longer. Fewer: more
of them hold nothing.
"""


def end_of_look(
    connection: Connection,
    columns: Sequence[sa.ColumnElement[Any]],
    among: Iterable[sa.ColumnElement[bool]],
) -> Key | None:
    """The last row, newest first, that may be looked at, read off the index of `columns` alone;
    None when there are not so many. It is found first: rows that come meanwhile then belong to this
    page or to one before.
    """
    newest_first = (column.desc() for column in columns)
    row = connection.execute(
        sa.select(*columns).where(*among).order_by(*newest_first).offset(LOOK - 1).limit(1)
    ).first()
    return None if row is None else tuple(row)


def after(
    columns: Sequence[sa.ColumnElement[Any]], cursor: str | None, *, descending: bool
) -> list[sa.ColumnElement[bool]]:
    """The condition that a page starts behind `cursor`; none for the first page. Raises Invalid for
    a text that is no cursor.
    """
    if cursor is None:
        return []
    key = _key(cursor, [int if isinstance(column.type, sa.Integer) else str for column in columns])
    return bounded(columns, key, operator.lt if descending else operator.gt)


def bounded(
    columns: Sequence[sa.ColumnElement[Any]], key: Key, compare: Callable[[Any, Any], Any]
) -> list[sa.ColumnElement[bool]]:
    """That a row's key compares so with `key`. Also by its first column alone, as PostgreSQL does
    not see that two comparisons of rows are the ends of a range, and would take it for half of the
    table.
    """
    loosely = operator.le if compare in {operator.lt, operator.le} else operator.ge
    return [compare(sa.tuple_(*columns), sa.tuple_(*key)), loosely(columns[0], key[0])]


def page(
    rows: Sequence[Row],
    limit: int,
    key: Callable[[Row], Key],
    shaped: Callable[[Sequence[Row]], list[T]],
) -> Page[T]:
    """The page of what a query with `limit + 1` gave: one row too many says that there is more."""
    shown = rows[:limit]
    return Page(shaped(shown), cursor_of(key(shown[-1])) if len(rows) > limit else None)


def page_by_time(
    rows: Sequence[Row],
    limit: int,
    key: Callable[[Row], Key],
    shaped: Callable[[Sequence[Row]], list[T]],
    looked_to: Key | None,
) -> Page[T]:
    """The same of a list by time, which a key begins with. `looked_to` is where the query was to
    stop looking, if not at the end: there the next page goes on, however few were found.
    """
    shown = rows[:limit]
    last = key(shown[-1]) if len(rows) > limit else looked_to
    if last is None:
        return Page(shaped(shown), None)
    return Page(shaped(shown), cursor_of(last), UnixMs(int(last[0])))


def cursor_of(key: Key) -> str:
    """The next page starts behind this key, whether or not there is a row with it."""
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
            "the cursor is not one of ours",
            faults=[Fault("a cursor is the next_cursor of the page before", "/cursor")],
        )
    return key


def _is_storable(part: int | str) -> bool:
    """PostgreSQL takes no NUL in a text, neither database a greater number."""
    return "\0" not in part if isinstance(part, str) else part.bit_length() <= 63
