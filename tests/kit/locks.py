"""What PostgreSQL's transactions wait for."""

import sqlalchemy as sa

from store.database import Database

_WAITING = sa.text("SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database()")


def somebody_waits(database: Database) -> bool:
    """Whether a transaction in it waits for another's lock."""
    with database.read() as connection:
        return bool(connection.scalar(_WAITING))
