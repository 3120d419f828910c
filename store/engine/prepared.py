"""Statements of the hot path, compiled once per database and then given to the driver as they are.

SQLAlchemy looks a statement up in its cache by walking through it, and prepares parameters and
results by type, each time: for a one-row transaction that is as much as the database's own work.
What goes in and comes out here needs no conversion: text, numbers, bytes.
"""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, CursorResult

Parameters = Mapping[str, Any]


class Prepared:
    """Make each one once. Thread-safe: compiling twice at first does no harm."""

    def __init__(self, statement: sa.Executable):
        self._statement = statement
        self._compiled: dict[str, tuple[str, tuple[str, ...] | None, dict[str, Any]]] = {}

    def run(self, connection: Connection, parameters: Parameters) -> CursorResult[Any]:
        text, order, constants = self._for(connection)
        return connection.exec_driver_sql(text, _ordered(order, constants, parameters))

    def _for(self, connection: Connection) -> tuple[str, tuple[str, ...] | None, dict[str, Any]]:
        name = connection.dialect.name
        found = self._compiled.get(name)
        if found is None:
            compiled: Any = self._statement.compile(dialect=connection.dialect)  # type: ignore[attr-defined]  # every statement has it
            constants = {key: value for key, value in compiled.params.items() if value is not None}
            order = tuple(compiled.positiontup) if compiled.positional else None
            found = self._compiled[name] = (str(compiled), order, constants)
        return found


def _ordered(
    order: tuple[str, ...] | None, constants: dict[str, Any], parameters: Parameters
) -> Any:
    if order is None:
        return {**constants, **parameters} if constants else parameters
    if constants:
        return tuple(
            [parameters[name] if name in parameters else constants[name] for name in order]
        )
    return tuple([parameters[name] for name in order])
