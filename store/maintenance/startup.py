"""What an embedded process does at its start. Its file lock says that it is alone with its
database.
"""

import sqlalchemy as sa

from store.deliveries import status_locks
from store.engine.database import Database
from store.tables import deliveries, outbox, requested_attempts


def void_leases(database: Database) -> None:
    """End all leases: their holder was the process before this one."""
    with database.write() as connection:
        now = database.now(connection)
        leased = sa.and_(deliveries.c.due_at.is_not(None), deliveries.c.leased)
        connection.execute(sa.update(deliveries).where(leased).values(due_at=now, leased=False))
        connection.execute(sa.update(requested_attempts).values(due_at=now))
        status_locks.void_leases(connection, now)
        connection.execute(
            sa.update(outbox).values(leased_until=0).where(outbox.c.leased_until > 0)
        )
