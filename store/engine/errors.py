"""What the database's errors mean to Ringback: try again, or do not.

No module above `store` sees errors of SQLAlchemy or of a driver. Called by `Database` around every
transaction.
"""

import contextlib
from collections.abc import Iterator

from sqlalchemy import exc

from schemas.errors import StatementTimedOut, StoreRefused, StoreUnavailable, Unstorable

_DATA_CLASSES = ("22", "23")
"""SQLSTATE: data exception, integrity constraint violation. Only these are the data's own fault.
Whatever else a database reports (read-only after a fail-over, a table that a migration has not
created yet, a missing right) ends without the data being changed.
"""

_READ_ONLY = "25006"
"""SQLSTATE: the server is a standby, or was set read-only."""

_NO_RIGHT = "42501"
"""SQLSTATE: insufficient privilege."""

_STATEMENT_POOLING = "statement pooling"  # PgBouncer's words

_OUT_OF_TIME = ("57014", "55P03")
"""SQLSTATE: a statement that was cancelled by `statement_timeout`, or by `lock_timeout`. Its
connection is as good as before.
"""

# connection, resources, lock not available, operator intervention, rollback
_LOST_CLASSES = ("08", "53", "55", "57", "40")


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Translate what SQLAlchemy raises inside the block.

    Raises StoreUnavailable (StatementTimedOut is one of it) and StoreRefused (Unstorable is one).
    """
    try:
        yield
    except exc.TimeoutError as error:
        raise StoreUnavailable("no database connection became free in time") from error
    except exc.DBAPIError as error:
        raise _meaning(error) from error
    except (UnicodeError, OverflowError) as error:
        # the drivers' own, before the database sees anything: SQLAlchemy lets these through
        raise Unstorable(f"the database cannot store this value: {error}") from error


def _meaning(error: exc.DBAPIError) -> Exception:
    state = getattr(error.orig, "sqlstate", None) or ""
    text = first_line(error.orig)
    if not state and isinstance(error, exc.DataError):
        return Unstorable(f"the database refuses this: {text}")
    if state[:2] in _DATA_CLASSES or (not state and isinstance(error, exc.IntegrityError)):
        return StoreRefused(f"the database refuses this: {text}")
    if state == _READ_ONLY:
        return StoreUnavailable(f"the database can only be read: {text} (SQLSTATE {state})")
    if state == _NO_RIGHT:
        return StoreUnavailable(
            f"the database's role lacks a right: {text}: GRANT it, or use the role that owns the"
            f" tables (SQLSTATE {state})"
        )
    if _STATEMENT_POOLING in text:
        return StoreUnavailable(
            f"the connection pooler does not allow transactions: {text}: set its pool_mode to"
            " transaction or session"
        )
    if state in _OUT_OF_TIME and not error.connection_invalidated:
        return StatementTimedOut(f"the database cancelled this statement: {text}")
    if error.connection_invalidated or not state or state[:2] in _LOST_CLASSES:
        return StoreUnavailable(f"the database does not answer: {text}")
    return StoreUnavailable(f"the database cannot do this now: {text} (SQLSTATE {state})")


def first_line(error: BaseException | None) -> str:
    """Return the first line of a driver's error.

    Drivers add the statement, hints and positions on further lines.
    """
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
