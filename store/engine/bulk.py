"""Many rows in one statement, the fast way of each database. The one place where the two differ for
many rows.

PostgreSQL takes one array per column (a third of the processor time of a VALUES list), SQLite a
VALUES list. The arrays are written as text here: psycopg's own array dumper takes five times as
long, which was a fifth of a dispatcher.

Rows are locked in one order everywhere, so that no two transactions wait for each other:

1. `directory_version`, by whoever changes a token or locks several callbacks
2. `tokens`, by id, and `callbacks`
3. `events`, by id
4. `deliveries`, by key: the event, then the callback (`by_key`)
5. `requested_attempts`
6. `status_places`, by key
7. anything else

Out of it only those are locked that nobody else has (SKIP LOCKED): that waits for nobody. Of
several deliveries of one callback the whole slice is locked at once; of several callbacks each in a
transaction of its own.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from store.engine.clock import SERVER_MS
from store.engine.database import Connection
from store.engine.prepared import Prepared

Row = Mapping[str, Any]

_ROWS_MAX = 32
"""Rows of a SQLite statement. Each count up to this has one that the driver keeps prepared: more
would be more of them in memory.
"""


def insert(
    connection: Connection, table: sa.Table, rows: Sequence[Row], upsert: "Upsert | None" = None
) -> None:
    """Insert rows that all have the same keys; on a primary key already there, do nothing, or what
    `upsert` says.

    The rows must not hold one key twice (PostgreSQL refuses to touch a row twice), and should be in
    key order (no deadlocks).
    """
    if not rows:
        return
    names = tuple(rows[0])
    if connection.dialect.name == "postgresql":
        _postgres(table, names, upsert).run(connection, _columns(names, rows))
    else:
        _insert_sqlite(connection, table, names, upsert, rows)


def insert_new(
    connection: Connection, table: sa.Table, rows: Sequence[Row], clocked: tuple[str, ...] = ()
) -> set[str]:
    """Insert those whose `id` is not there yet, and say which those were. `clocked` (PostgreSQL
    alone): columns beside those of the rows that take the server's clock, read once in this
    statement.
    """
    if not rows:
        return set()
    names = tuple(rows[0])
    if connection.dialect.name == "postgresql":
        return set(
            _postgres(table, names, None, returned=("id",), clocked=clocked)
            .run(connection, _columns(names, rows))
            .scalars()
        )
    there = set(
        _ids_there(table)
        .run(connection, {"row_ids": json.dumps([row["id"] for row in rows])})
        .scalars()
    )
    new = [row for row in rows if row["id"] not in there]  # nobody else writes meanwhile
    _insert_sqlite(connection, table, names, None, new)
    return {row["id"] for row in new}


def upsert(
    connection: Connection, table: sa.Table, rows: Sequence[Row], rule: "Upsert"
) -> list[sa.Row[Any]]:
    """`insert` by a rule without a condition, and the rows as they are now, in no order."""
    if not rows:
        return []
    names = tuple(rows[0])
    if connection.dialect.name == "postgresql":
        return list(
            _postgres(table, names, rule, returned=tuple(table.c.keys()))
            .run(connection, _columns(names, rows))
            .all()
        )
    return _insert_sqlite(connection, table, names, rule, rows, returned=True)


def among(
    connection: Connection, column: sa.ColumnElement[Any], values: Sequence[str | int]
) -> sa.ColumnElement[bool]:
    """`column IN (…)` with one parameter for all of them. With one for each, the driver would take
    the statement apart anew each time.
    """
    if connection.dialect.name == "postgresql":
        return column == sa.func.any(
            sa.cast(sa.bindparam(None, array_literal(values), sa.Text), ARRAY(column.type))
        )
    given = sa.func.json_each(json.dumps(list(values))).table_valued("value")
    return column.in_(sa.select(given.c.value))


def by_key(
    connection: Connection, chosen: sa.Select[Any], *key: sa.ColumnElement[str]
) -> sa.Select[Any]:
    """These rows, locked in the order of their keys, as bulk writes lock what Python has sorted: by
    code points. A PostgreSQL with a locale has an order of its own, in which `aX` comes before
    `BX`. SQLite has no locks of rows.
    """
    if connection.dialect.name != "postgresql":
        return chosen
    return chosen.order_by(*(sa.collate(column, "C") for column in key)).with_for_update()


class Upsert:
    """What to do with a row that is already there. Compared by identity: make each one once, at
    module level.

    `columns` take the new value, `computed` that of their expression; nothing happens where `where` does not hold.
    """

    def __init__(
        self,
        columns: Sequence[str],
        where: sa.ColumnElement[bool] | None = None,
        keep_if_null: Sequence[str] = (),
        computed: Mapping[str, sa.ColumnElement[Any]] | None = None,
    ):
        self.columns, self.where, self.keep_if_null = tuple(columns), where, frozenset(keep_if_null)
        self.computed = computed or {}

    def values(self, table: sa.Table, excluded: Any) -> dict[str, Any]:
        taken = {
            c: sa.func.coalesce(excluded[c], table.c[c]) if c in self.keep_if_null else excluded[c]
            for c in self.columns
        }
        return {**taken, **self.computed}


def _columns(names: Sequence[str], rows: Sequence[Row]) -> dict[str, str]:
    return {name: array_literal([row[name] for row in rows]) for name in names}


def array_literal(values: Sequence[str | int | bool | bytes | None]) -> str:
    """A PostgreSQL array as text (section 8.15.2 of its manual), such as `{1,NULL,3}`; the values
    are all of one type.
    """
    return "{" + ",".join([_element(value) for value in values]) + "}"


def _element(value: str | int | bool | bytes | None) -> str:
    if isinstance(value, str):
        if "\\" in value or '"' in value:
            value = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{value}"'
    if isinstance(value, bytes):
        return f'"\\\\x{value.hex()}"'
    return "NULL" if value is None else str(value)


@lru_cache(maxsize=16)
def _ids_there(table: sa.Table) -> Prepared:
    """For SQLite, whose RETURNING is a step of the driver for each row."""
    asked = sa.func.json_each(sa.bindparam("row_ids")).table_valued("value")
    return Prepared(sa.select(table.c.id).where(table.c.id.in_(sa.select(asked.c.value))))


@lru_cache(maxsize=64)
def _postgres(
    table: sa.Table,
    names: tuple[str, ...],
    upsert: Upsert | None,
    *,
    returned: tuple[str, ...] = (),
    clocked: tuple[str, ...] = (),
) -> Prepared:
    arrays = [
        sa.func.unnest(sa.cast(sa.bindparam(name, type_=sa.Text), ARRAY(table.c[name].type)))
        for name in names
    ]
    clock = sa.select(
        SERVER_MS
    ).scalar_subquery()  # as a subquery it is evaluated once, not for each row
    values = sa.select(*arrays, *(clock for _ in clocked))
    statement = postgres_insert(table).from_select(
        [*names, *clocked], values, include_defaults=False
    )
    resolved = _resolved(statement, table, upsert)
    return Prepared(
        resolved.returning(*(table.c[name] for name in returned)) if returned else resolved
    )


def _insert_sqlite(
    connection: Connection,
    table: sa.Table,
    names: tuple[str, ...],
    upsert: Upsert | None,
    rows: Sequence[Row],
    *,
    returned: bool = False,
) -> list[sa.Row[Any]]:
    """Many rows in one statement. The driver gives the GIL away for each step of a statement, and
    `executemany` takes a step a row: under load each costs a wait among all the other threads.
    """
    there: list[sa.Row[Any]] = []
    for start in range(0, len(rows), _ROWS_MAX):
        some = rows[start : start + _ROWS_MAX]
        text, order, constants = _sqlite(table, names, upsert, len(some), returned=returned)
        done = connection.exec_driver_sql(
            text, (*[row[name] for row in some for name in order], *constants)
        )
        there += done.all() if returned else ()
    return there


@lru_cache(maxsize=16 * _ROWS_MAX)
def _sqlite(
    table: sa.Table,
    names: tuple[str, ...],
    upsert: Upsert | None,
    count: int,
    *,
    returned: bool = False,
) -> tuple[str, tuple[str, ...], tuple[Any, ...]]:
    """The statement, the order of a row's values, and the constants that follow the rows."""
    statement = _resolved(
        sqlite_insert(table).values({name: sa.bindparam(name) for name in names}), table, upsert
    )
    one = (statement.returning(*table.c) if returned else statement).compile(
        dialect=sqlite_dialect()
    )
    order, constants = one.positiontup[: len(names)], one.positiontup[len(names) :]
    row = "(" + ", ".join("?" * len(names)) + ")"
    return (
        str(one).replace(row, ", ".join([row] * count), 1),
        tuple(order),
        tuple(one.params[name] for name in constants),
    )


def _resolved(statement: Any, table: sa.Table, upsert: Upsert | None) -> Any:
    if upsert is None:
        return statement.on_conflict_do_nothing()
    return statement.on_conflict_do_update(
        index_elements=list(table.primary_key.columns),
        set_=upsert.values(table, statement.excluded),
        where=upsert.where,
    )


def once(chosen: sa.Select[tuple[str]]) -> sa.Select[tuple[str]]:
    """As a CTE, which PostgreSQL evaluates once; a plain subquery with a limit may be run again for
    every row it joins.
    """
    return sa.select(chosen.cte())
