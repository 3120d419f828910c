"""Leases of jobs that only one of several processes does at a time. A lease ends by itself, so a
process that dies with it blocks no other one.

They are acquired by compare-and-set on the end of the last lease. Called by
`consumers.maintenance.retention_sweeper`.
"""

import sqlalchemy as sa

from schemas.times import UnixMs
from store.engine import bulk
from store.engine.database import Connection
from store.tables import leases


def acquire(connection: Connection, name: str, now: UnixMs, length_ms: int) -> bool:
    """Acquire the lease `name` from now on for `length_ms`. Return whether it is the caller's: else
    another process holds it.
    """
    until = now + length_ms
    # an end later than a lease can last: the clock was set back
    over = sa.or_(leases.c.until <= now, leases.c.until > until)
    acquired = (
        sa.update(leases)
        .where(leases.c.id == name, over)
        .values(until=until)
        .returning(leases.c.id)
    )
    return bool(
        connection.execute(acquired).all()
        or bulk.insert_new(connection, leases, [{"id": name, "until": until}])
    )
