"""Turns: which of several processes does what one at a time is to do. A turn ends by itself, so
whoever dies in it holds nobody up.

By compare-and-set on the end of the last one. Called by `consumers.maintenance.retention_sweeper`.
"""

import sqlalchemy as sa

from schemas.times import UnixMs
from store.engine import bulk
from store.engine.database import Connection
from store.tables import leases


def take(connection: Connection, name: str, now: UnixMs, length_ms: int) -> bool:
    """Whether the turn is the caller's, from now on for so long; else it is somebody's already."""
    until = now + length_ms
    over = sa.or_(
        leases.c.until <= now, leases.c.until > until
    )  # later than a turn can end: the clock was set back
    taken = (
        sa.update(leases)
        .where(leases.c.id == name, over)
        .values(until=until)
        .returning(leases.c.id)
    )
    return bool(
        connection.execute(taken).all()
        or bulk.insert_new(connection, leases, [{"id": name, "until": until}])
    )
