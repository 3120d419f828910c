"""Many rows in one statement, the fast way of each database. The one place where the two differ for
many rows.

PostgreSQL takes one array per column (a third of the processor time of a VALUES list), SQLite a
VALUES list (`store.engine.bulk_statements`).

Rows are locked in one order everywhere, so that no two transactions wait for each other:

1. `directory_version`, by every transaction that changes a token or locks several callbacks
2. `tokens`, by id, and `callbacks`
3. `events`, by id
4. `deliveries`, by key: the event, then the callback (`by_key`)
5. `requested_attempts`
6. `status_locks`, by key
7. anything else

A statement that locks out of this order takes only rows that no other transaction has locked (SKIP
LOCKED): it waits for none. The deliveries of one callback are locked a slice at a time; those of
several callbacks in one transaction per callback.
"""

import json
from collections.abc import Sequence
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from store.engine.bulk_statements import (
    Row,
    Upsert,
    array_literal,
    columns_of,
    ids_known,
    insert_sqlite,
    postgres_insert,
)
from store.engine.database import Connection
from store.engine.sql_types import SqlExpression, SqlRow, SqlSelect

__all__ = [
    "Row",
    "Upsert",
    "among",
    "array_literal",
    "by_key",
    "insert",
    "insert_new",
    "once",
    "upsert",
]

T = TypeVar("T")


def insert(
    connection: Connection, table: sa.Table, rows: Sequence[Row], upsert: Upsert | None = None
) -> None:
    """Insert rows that all have the same keys.

    For a primary key that is there already, do nothing, or what `upsert` says. The rows must not
    hold one key twice (PostgreSQL refuses to touch a row twice), and should be in key order (no
    deadlocks).
    """
    if not rows:
        return
    names = tuple(rows[0])
    if connection.dialect.name == "postgresql":
        postgres_insert(table, names, upsert).run(connection, columns_of(names, rows))
    else:
        insert_sqlite(connection, table, names, upsert, rows)


def insert_new(
    connection: Connection, table: sa.Table, rows: Sequence[Row], clocked: tuple[str, ...] = ()
) -> set[str]:
    """Insert the rows whose `id` is not there yet. Return the ids of these.

    `clocked` (PostgreSQL alone) names columns, in addition to those of the rows, that take the
    server's clock, read once in this statement.
    """
    if not rows:
        return set()
    names = tuple(rows[0])
    if connection.dialect.name == "postgresql":
        return set(
            postgres_insert(table, names, None, returned=("id",), clocked=clocked)
            .run(connection, columns_of(names, rows))
            .scalars()
        )
    known = set(
        ids_known(table)
        .run(connection, {"row_ids": json.dumps([row["id"] for row in rows])})
        .scalars()
    )
    new = [row for row in rows if row["id"] not in known]  # SQLite has no other writer meanwhile
    insert_sqlite(connection, table, names, None, new)
    return {str(row["id"]) for row in new}


def upsert(
    connection: Connection, table: sa.Table, rows: Sequence[Row], rule: Upsert
) -> Sequence[SqlRow]:
    """Insert or update rows by a rule without a condition. Return them as they are now, in no
    particular order.
    """
    if not rows:
        return []
    names = tuple(rows[0])
    if connection.dialect.name == "postgresql":
        return (
            postgres_insert(table, names, rule, returned=tuple(table.c.keys()))
            .run(connection, columns_of(names, rows))
            .all()
        )
    return insert_sqlite(connection, table, names, rule, rows, returned=True)


def among(
    connection: Connection, column: SqlExpression, values: Sequence[str | int]
) -> sa.ColumnElement[bool]:
    """Return `column IN (…)` with one parameter for all values.

    With one for each, the driver would parse the statement again each time.
    """
    if connection.dialect.name == "postgresql":
        return column == sa.func.any(
            sa.cast(sa.bindparam(None, array_literal(values), sa.Text), ARRAY(column.type))
        )
    given = sa.func.json_each(json.dumps(list(values))).table_valued("value")
    return column.in_(sa.select(given.c.value))


def by_key(connection: Connection, selected: SqlSelect, *key: sa.ColumnElement[str]) -> SqlSelect:
    """Return the query so that it locks its rows in the order of their keys, by code points.

    Bulk writes lock in that order, because Python has sorted their rows. A PostgreSQL with a locale
    has an order of its own, in which `aX` comes before `BX`. SQLite has no locks of rows.
    """
    if connection.dialect.name != "postgresql":
        return selected
    return selected.order_by(*(sa.collate(column, "C") for column in key)).with_for_update()


def once(selected: sa.Select[T]) -> sa.Select[T]:
    """Return the query as one that is evaluated once, for use in `column IN (…)`.

    PostgreSQL may run a plain subquery that has a limit again for every row that it is joined to,
    and so select other rows each time. It evaluates a CTE once.
    """
    return sa.select(selected.cte())
