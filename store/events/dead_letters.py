"""Rows of the outbox that are dead letters: each has its reason, and no dispatcher leases it.
Called by `exchange.outbox.dead_letters`.
"""

import msgspec
import sqlalchemy as sa

from schemas.times import UnixMs
from store.engine.database import Connection, Database
from store.events.outbox import NOTIFICATION
from store.tables import outbox

_dead = outbox.c.reason.is_not(None)


class DeadRow(msgspec.Struct, frozen=True):
    """A message in the outbox that is no event."""

    id: int
    body: bytes
    accepted_at: UnixMs | None
    """When the API accepted it; None: a backend published it by AMQP."""
    message_id: str | None
    """The id that came outside the body, if any."""
    reason: str
    """Why it is no event."""


def oldest(connection: Connection, most: int) -> list[DeadRow]:
    """Return the dead letters that came first, in that order: each got a new id then."""
    rows = connection.execute(sa.select(outbox).where(_dead).order_by(outbox.c.id).limit(most))
    return [
        DeadRow(
            row.id,
            bytes(row.body),
            None if row.via_amqp else UnixMs(row.accepted_at),
            row.message_id,
            row.reason,
        )
        for row in rows
    ]


def ids(connection: Connection) -> list[int]:
    """Return the ids of all dead letters, oldest first."""
    return list(connection.scalars(sa.select(outbox.c.id).where(_dead).order_by(outbox.c.id)))


def requeue(database: Database, connection: Connection, row_id: int) -> None:
    """Have a dead letter read as a message again, now. Any other row is left alone."""
    this = sa.and_(outbox.c.id == row_id, _dead)
    connection.execute(sa.update(outbox).where(this).values(reason=None, leased_until=0))
    database.notify(connection, NOTIFICATION)


def drop(connection: Connection, row_id: int) -> None:
    """Delete a dead letter. Any other row is left alone."""
    connection.execute(sa.delete(outbox).where(outbox.c.id == row_id, _dead))
