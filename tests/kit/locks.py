"""What PostgreSQL's transactions wait for."""

import sqlalchemy as sa

from store.engine.database import Database

_WAITING = sa.text(
    "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND "
    "datname = current_database()"
)


def waiting(database: Database) -> int:
    """How many locks of others its transactions wait for."""
    with database.read() as connection:
        return connection.scalar(_WAITING) or 0


def has_waiting_locks(database: Database) -> bool:
    """Whether a transaction in it waits for another's lock."""
    return waiting(database) > 0
