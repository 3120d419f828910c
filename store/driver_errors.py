"""What the database's errors mean to us: try again, or do not. Nobody above `store` sees SQLAlchemy's or a driver's errors.

Called by `Database` around every transaction.
"""

import contextlib
from collections.abc import Iterator

from sqlalchemy import exc

from schemas.errors import StatementTimedOut, StoreRefused, StoreUnavailable

_DATA_CLASSES = ("22", "23")
"""SQLSTATE: data exception, integrity constraint violation. Only these are the data's own fault. Whatever else a database says
(read-only after a fail-over, a table that a migration has not made yet, no right to it) ends without the data being changed."""

_TIMED_OUT = "57014"
"""SQLSTATE of a statement that was ended by `statement_timeout`, or by an administrator."""

_LOST_CLASSES = ("08", "53", "55", "57", "40")  # connection, resources, lock not available, operator intervention, rollback


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raises StoreUnavailable and StoreRefused for what SQLAlchemy raises."""
    try:
        yield
    except exc.TimeoutError as error:
        raise StoreUnavailable("no database connection became free in time") from error
    except exc.DBAPIError as error:
        raise _meaning(error) from error


def _meaning(error: exc.DBAPIError) -> Exception:
    state = getattr(error.orig, "sqlstate", None) or ""
    text = first_line(error.orig)
    if state[:2] in _DATA_CLASSES or (not state and isinstance(error, (exc.DataError, exc.IntegrityError))):
        return StoreRefused(f"the database refuses this: {text}")
    if state == _TIMED_OUT:
        return StatementTimedOut(f"the database took too long for this: {text}")
    if error.connection_invalidated or not state or state[:2] in _LOST_CLASSES:
        return StoreUnavailable(f"the database does not answer: {text}")
    return StoreUnavailable(f"the database cannot do this now: {text} (SQLSTATE {state})")


def first_line(error: BaseException | None) -> str:
    """Drivers add the statement, hints and positions on further lines."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
