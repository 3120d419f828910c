"""What an embedded process does at its start. Its file lock says that it is alone with its
database. And whether a database is still unused, for the demo.
"""

import sqlalchemy as sa

from schemas.ids import TokenId
from store.deliveries import status_locks
from store.engine.database import Database
from store.tables import deliveries, events, outbox, requested_attempts, tokens


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


def is_unused(database: Database, known: TokenId | None) -> bool:
    """Return whether a migrated database holds no traffic and no token, or the token `known`."""
    with database.read() as connection:
        if known is not None:
            mine = sa.select(tokens.c.id).where(tokens.c.id == known)
            if connection.execute(mine).one_or_none():
                return True
        return not any(
            connection.execute(sa.select(column).limit(1)).one_or_none()
            for column in (tokens.c.id, events.c.id, outbox.c.id)
        )
