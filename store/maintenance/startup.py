"""What an embedded process, alone with its database, does at its start."""

import sqlalchemy as sa

from store.deliveries import status_locks
from store.engine.database import Database
from store.tables import deliveries, outbox, requested_attempts


def void_leases(database: Database) -> None:
    """At the start of an embedded process, which is alone by its file lock: whoever held a lease is
    gone.
    """
    with database.write() as connection:
        now = database.now(connection)
        open_rows = sa.and_(deliveries.c.due_at.is_not(None), deliveries.c.leased)
        connection.execute(sa.update(deliveries).where(open_rows).values(due_at=now, leased=False))
        connection.execute(sa.update(requested_attempts).values(due_at=now))
        status_locks.void_leases(connection, now)
        connection.execute(
            sa.update(outbox).values(leased_until=0).where(outbox.c.leased_until > 0)
        )
