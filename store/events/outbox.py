"""The outbox: messages that no broker took, or that it gave up, as a queue with leases
(docs/invariants.md#the-outbox-is-a-queue of the architecture).

Many dispatchers take from it at once. A row that was taken is leased, not gone: it is deleted by
the transaction that settles it, and comes again when its lease lapses before. Rows with a reason
are dead letters and are never taken.
"""

import json
from collections.abc import Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from schemas.times import UnixMs
from store.engine import bulk
from store.engine.database import Connection
from store.engine.prepared import Prepared
from store.tables import outbox

NOTIFICATION = "outbox"
"""Rung once per commit that adds rows."""

LEASE_MS = 30_000
"""Longer: what a killed dispatcher held waits longer. Shorter: what is merely settled slowly is
taken twice. A healthy dispatcher settles within two seconds, or else makes a row of the delivery.
"""


class OutboxRow(msgspec.Struct, frozen=True):
    """`accepted_at` is None for one that a backend published by AMQP itself."""

    id: int
    body: bytes
    accepted_at: UnixMs | None
    message_id: str | None


_waits = outbox.c.reason.is_(None)
_oldest_free = (
    sa.select(outbox.c.id)
    .where(_waits, outbox.c.leased_until <= sa.bindparam("now"))
    .order_by(outbox.c.id)
    .limit(sa.bindparam("most"))
    .with_for_update(skip_locked=True)
)
# As a CTE PostgreSQL evaluates it once; a plain subquery with a limit may be run again for every
# row.
_take = Prepared(
    sa.update(outbox)
    .where(outbox.c.id.in_(sa.select(_oldest_free.cte())))
    .values(leased_until=sa.bindparam("until"))
    .returning(
        outbox.c.id, outbox.c.body, outbox.c.accepted_at, outbox.c.via_amqp, outbox.c.message_id
    )
)
_last_id = Prepared(sa.text("SELECT last_insert_rowid()"))
_named = sa.func.json_each(sa.bindparam("row_ids")).table_valued("value")
_forget_named = Prepared(sa.delete(outbox).where(outbox.c.id.in_(sa.select(_named.c.value))))
_forget_all = Prepared(
    sa.delete(outbox).where(
        outbox.c.id
        == sa.func.any(sa.cast(sa.bindparam("row_ids", type_=sa.Text), ARRAY(sa.BigInteger)))
    )
)


def add(connection: Connection, rows: Sequence[bulk.Row]) -> None:
    """Rows of `body` and `accepted_at`, in this order. All may have `via_amqp`, `message_id` and
    `reason`, too.
    """
    bulk.insert(connection, outbox, rows)


def add_leased(connection: Connection, rows: Sequence[bulk.Row], now: UnixMs) -> list[int]:
    """The same, taken already by who adds them; their ids. For SQLite, whose one writer can count
    up by itself.
    """
    bulk.insert(connection, outbox, [{"leased_until": now + LEASE_MS, **row} for row in rows])
    last: int = _last_id.run(connection, {}).scalar_one()
    return list(range(last + 1 - len(rows), last + 1))


def take(connection: Connection, limit: int, now: UnixMs) -> list[OutboxRow]:
    """At most `limit` rows that are free or whose lease has lapsed, oldest first; leased from now
    on.
    """
    found = _take.run(connection, {"now": now, "most": limit, "until": now + LEASE_MS}).all()
    rows = (
        OutboxRow(
            row.id, bytes(row.body), None if row.via_amqp else row.accepted_at, row.message_id
        )
        for row in found
    )
    return sorted(rows, key=lambda row: row.id)


def forget(connection: Connection, ids: Sequence[int]) -> None:
    """Delete rows that were settled."""
    if not ids:
        return
    if connection.dialect.name == "postgresql":
        _forget_all.run(connection, {"row_ids": bulk.array_literal(sorted(ids))})
    else:
        _forget_named.run(connection, {"row_ids": json.dumps(ids)})


def bury(connection: Connection, row_id: int, reason: str) -> None:
    """Keep the message as a dead letter: it is no event. As a row of a new id, the last of all: the
    numbers of the others stay.
    """
    kept = (outbox.c.body, outbox.c.accepted_at, outbox.c.via_amqp, outbox.c.message_id)
    for row in (
        connection.execute(sa.delete(outbox).where(outbox.c.id == row_id).returning(*kept))
        .mappings()
        .all()
    ):
        connection.execute(sa.insert(outbox).values(**row, reason=reason))


def depth(connection: Connection) -> int:
    """How many rows wait, leased ones included. Counts them: for a look now and then."""
    return connection.scalar(sa.select(sa.func.count()).where(_waits)) or 0


def dead(connection: Connection) -> int:
    """How many rows are dead letters."""
    return connection.scalar(sa.select(sa.func.count()).where(outbox.c.reason.is_not(None))) or 0


def oldest_accepted_at(connection: Connection) -> UnixMs | None:
    """Of the oldest row that waits; None when none does."""
    found = connection.scalar(
        sa.select(outbox.c.accepted_at).where(_waits).order_by(outbox.c.id).limit(1)
    )
    return None if found is None else UnixMs(found)


def depth_at_most(connection: Connection, enough: int) -> int:
    """The depth, or a figure not below it that is at most `enough`. Ids are counted up, so their
    span bounds how many there are: only when that is too much are the rows counted.
    """
    first = sa.select(sa.func.min(outbox.c.id)).where(_waits).scalar_subquery()
    span = connection.scalar(sa.select(sa.func.max(outbox.c.id) - first + 1)) or 0
    return span if span <= enough else depth(connection)
