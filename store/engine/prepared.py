"""Statements of the hot path, compiled once per database and then passed to the driver unchanged.

SQLAlchemy looks a statement up in its cache by walking through it, and prepares parameters and
results by type, each time. For a transaction of one row that is as much work as the database's own.
What goes in and comes out here needs no conversion: text, numbers, bytes.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection, CursorResult

Parameters = Mapping[str, object]


class _Compiled(NamedTuple):
    """A statement as one driver takes it. `order` is None for drivers that take names."""

    text: str
    order: tuple[str, ...] | None
    constants: dict[str, Any]


class Prepared:
    """A statement that is compiled once for each kind of database.

    Create each at module level. Thread-safe: compiling twice at first does no harm.
    """

    def __init__(self, statement: sa.ClauseElement):
        self._statement = statement
        self._compiled: dict[str, _Compiled] = {}

    def run(self, connection: Connection, parameters: Parameters) -> CursorResult[Any]:
        """Execute the statement with these parameters, by name."""
        compiled = self._for(connection)
        return connection.exec_driver_sql(compiled.text, _ordered(compiled, parameters))

    def _for(self, connection: Connection) -> _Compiled:
        name = connection.dialect.name
        known = self._compiled.get(name)
        if known is None:
            compiled: Any = self._statement.compile(dialect=connection.dialect)
            constants = {key: value for key, value in compiled.params.items() if value is not None}
            order = tuple(compiled.positiontup) if compiled.positional else None
            known = self._compiled[name] = _Compiled(str(compiled), order, constants)
        return known


def _ordered(compiled: _Compiled, parameters: Parameters) -> Sequence[Any] | Mapping[str, Any]:
    order, constants = compiled.order, compiled.constants
    if order is None:
        return {**constants, **parameters} if constants else parameters
    if constants:
        return tuple(
            [parameters[name] if name in parameters else constants[name] for name in order]
        )
    return tuple([parameters[name] for name in order])
