"""The statements that a store runs, to count them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from store.engine.database import Database


@contextmanager
def counted(database: Database) -> Iterator[list[str]]:
    """Keep the statements that are run meanwhile, in any thread."""
    run: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        run.append(statement)

    sa.event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield run
    finally:
        sa.event.remove(database.engine, "before_cursor_execute", note)
