"""Rows of the outbox that are dead letters: each has its reason, and nobody takes it. Called by
`exchange.outbox.dead_letters`.
"""

import msgspec
import sqlalchemy as sa

from schemas.times import UnixMs
from store.engine.database import Connection, Database
from store.events.outbox import NOTIFICATION
from store.tables import outbox

_dead = outbox.c.reason.is_not(None)


class DeadRow(msgspec.Struct, frozen=True):
    """`accepted_at` is None for one that a backend published by AMQP itself."""

    id: int
    body: bytes
    accepted_at: UnixMs | None
    message_id: str | None
    reason: str


def oldest(connection: Connection, most: int) -> list[DeadRow]:
    """In the order in which they died: `outbox.bury` gives each a new id."""
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
    """Of all, oldest first."""
    return list(connection.scalars(sa.select(outbox.c.id).where(_dead).order_by(outbox.c.id)))


def revive(database: Database, connection: Connection, row_id: int) -> None:
    """Have it taken as a message once more, at once. Nothing happens to one that is dead no longer.
    """
    this = sa.and_(outbox.c.id == row_id, _dead)
    connection.execute(sa.update(outbox).where(this).values(reason=None, leased_until=0))
    database.notify(connection, NOTIFICATION)


def drop(connection: Connection, row_id: int) -> None:
    connection.execute(sa.delete(outbox).where(outbox.c.id == row_id, _dead))
