"""The statements of bulk writes, as each database takes them fastest. Called by `store.engine.bulk`
alone.

PostgreSQL's arrays are written as text here: psycopg's own array dumper takes five times as long,
which was a fifth of a dispatcher's processor time.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.sql.elements import KeyedColumnElement

from store.engine.clock import SERVER_MS
from store.engine.database import Connection
from store.engine.prepared import Prepared
from store.engine.sql_types import SqlExpression, SqlRow

Row = Mapping[str, Any]
"""A row to write: column name to value."""

_ROWS_MAX = 32
"""Rows of an SQLite statement. Each count up to this has a statement that the driver keeps
prepared. More: more of these in memory. Fewer: more statements, each with a wait for the GIL.
"""

_Insert = postgresql.Insert | sqlite.Insert


class Upsert:
    """What to do with a row that is already there.

    Compared by identity: create each one once, at module level.

    columns: take the new value.
    where: the condition for changing anything; None: always.
    keep_if_null: those of `columns` that keep the old value where the new one is NULL.
    computed: columns that take the value of an expression.
    """

    def __init__(
        self,
        columns: Sequence[str],
        where: sa.ColumnElement[bool] | None = None,
        keep_if_null: Sequence[str] = (),
        computed: Mapping[str, SqlExpression] | None = None,
    ):
        self.columns, self.where, self.keep_if_null = tuple(columns), where, frozenset(keep_if_null)
        self.computed = computed or {}

    def values(
        self,
        table: sa.Table,
        excluded: ReadOnlyColumnCollection[str, KeyedColumnElement[Any]],
    ) -> dict[str, SqlExpression]:
        """Return what each changed column becomes. `excluded` is the row that was not inserted."""
        given = {
            c: sa.func.coalesce(excluded[c], table.c[c]) if c in self.keep_if_null else excluded[c]
            for c in self.columns
        }
        return {**given, **self.computed}


def columns_of(names: Sequence[str], rows: Sequence[Row]) -> dict[str, str]:
    """Return each column of these rows as the text of a PostgreSQL array."""
    return {name: array_literal([row[name] for row in rows]) for name in names}


def array_literal(values: Sequence[str | int | bool | bytes | None]) -> str:
    """Return a PostgreSQL array as text, such as `{1,NULL,3}`. All values are of one type.

    https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO
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
def ids_known(table: sa.Table) -> Prepared:
    """Return the query for which of `row_ids` (a JSON list) are in the table.

    For SQLite, whose RETURNING costs a step of the driver for each row.
    """
    asked = sa.func.json_each(sa.bindparam("row_ids")).table_valued("value")
    return Prepared(sa.select(table.c.id).where(table.c.id.in_(sa.select(asked.c.value))))


@lru_cache(maxsize=64)
def postgres_insert(
    table: sa.Table,
    names: tuple[str, ...],
    upsert: Upsert | None,
    *,
    returned: tuple[str, ...] = (),
    clocked: tuple[str, ...] = (),
) -> Prepared:
    """Return the INSERT of rows given as one array per column (`columns_of`)."""
    arrays = [
        sa.func.unnest(sa.cast(sa.bindparam(name, type_=sa.Text), ARRAY(table.c[name].type)))
        for name in names
    ]
    # as a subquery it is evaluated once, not for each row
    clock = sa.select(SERVER_MS).scalar_subquery()
    values = sa.select(*arrays, *(clock for _ in clocked))
    statement = postgresql.insert(table).from_select(
        [*names, *clocked], values, include_defaults=False
    )
    resolved = _resolved(statement, table, upsert)
    if returned:
        return Prepared(resolved.returning(*(table.c[name] for name in returned)))
    return Prepared(resolved)


def insert_sqlite(
    connection: Connection,
    table: sa.Table,
    names: tuple[str, ...],
    upsert: Upsert | None,
    rows: Sequence[Row],
    *,
    returned: bool = False,
) -> list[SqlRow]:
    """Insert rows, many in one statement. Return them as they are now, if `returned`.

    The driver releases the GIL for each step of a statement, and `executemany` takes a step per
    row. Under load each costs a wait among all the other threads.
    """
    written: list[SqlRow] = []
    for start in range(0, len(rows), _ROWS_MAX):
        some = rows[start : start + _ROWS_MAX]
        statement = _sqlite_insert(table, names, upsert, len(some), returned=returned)
        result = connection.exec_driver_sql(
            statement.text,
            (*[row[name] for row in some for name in statement.order], *statement.constants),
        )
        written += result.all() if returned else ()
    return written


class _SqliteInsert(NamedTuple):
    """A statement, the order of a row's values, and the constants that follow the rows."""

    text: str
    order: tuple[str, ...]
    constants: tuple[Any, ...]


@lru_cache(maxsize=16 * _ROWS_MAX)
def _sqlite_insert(
    table: sa.Table, names: tuple[str, ...], upsert: Upsert | None, count: int, *, returned: bool
) -> _SqliteInsert:
    statement = _resolved(
        sqlite.insert(table).values({name: sa.bindparam(name) for name in names}), table, upsert
    )
    compiled = (statement.returning(*table.c) if returned else statement).compile(
        dialect=sqlite.dialect()
    )
    assert compiled.positiontup is not None, "SQLite's parameters are positional"
    order, constants = compiled.positiontup[: len(names)], compiled.positiontup[len(names) :]
    row = "(" + ", ".join("?" * len(names)) + ")"
    return _SqliteInsert(
        str(compiled).replace(row, ", ".join([row] * count), 1),
        tuple(order),
        tuple(compiled.params[name] for name in constants),
    )


def _resolved(statement: _Insert, table: sa.Table, upsert: Upsert | None) -> _Insert:
    if upsert is None:
        return statement.on_conflict_do_nothing()
    return statement.on_conflict_do_update(
        index_elements=list(table.primary_key.columns),
        set_=upsert.values(table, statement.excluded),
        where=upsert.where,
    )
