"""How a database goes about the queries that some code runs: each is explained as it ran, with its
parameters.

Called by tests and benchmarks of what must stay fast however much there is.
"""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from store.engine.database import Connection, Database

_EXPLAIN = {"sqlite": "EXPLAIN QUERY PLAN", "postgresql": "EXPLAIN"}


def plans(
    database: Database, job: Callable[[Connection], object], explain: str | None = None
) -> list[str]:
    """One text for each query that `job` runs. `explain` says how to ask for it, where the usual is
    not enough.
    """
    ran: list[tuple[str, Any]] = []

    def note(
        _connection: object, _cursor: object, statement: str, parameters: Any, *_: object
    ) -> None:
        ran.append((statement, parameters))

    with database.read() as connection:
        sa.event.listen(connection, "before_cursor_execute", note)
        job(connection)
        sa.event.remove(connection, "before_cursor_execute", note)
        return [
            _plan(connection, f"{explain or _EXPLAIN[database.dialect]} {statement}", parameters)
            for statement, parameters in ran
        ]


def _plan(connection: Connection, statement: str, parameters: Any) -> str:
    return "\n".join(str(row[-1]) for row in connection.exec_driver_sql(statement, parameters))


def explain(database: Database, query: sa.Select[Any]) -> str:
    """The plan of a query, in capitals."""
    compiled = query.compile(database.engine, compile_kwargs={"literal_binds": True})
    prefix = "EXPLAIN QUERY PLAN " if database.dialect == "sqlite" else "EXPLAIN "
    with database.read() as connection:
        rows = connection.exec_driver_sql(prefix + str(compiled).replace("%", "%%")).all()
    return "\n".join(str(row[-1]) for row in rows).upper()
