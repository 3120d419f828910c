"""The outbox: messages that no broker accepted, or that it returned, as a queue with leases
(docs/invariants.md#the-outbox-is-a-queue).

Many dispatchers read it at once. A row that was read is leased, not gone: it is deleted by the
transaction that settles it, and is leased again when its lease lapses before. Rows with a reason
are dead letters and are never leased.
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
"""The notification that is sent once per commit that adds rows."""

LEASE_MS = 30_000
"""How long a row is leased. Longer: the rows of a killed dispatcher wait longer. Shorter: what is
only settled slowly is leased twice. A healthy dispatcher settles within two seconds, or else makes
a row of the delivery.
"""


class OutboxRow(msgspec.Struct, frozen=True):
    """A message in the outbox, leased by the caller."""

    id: int
    body: bytes
    accepted_at: UnixMs | None
    """When the API accepted it; None: a backend published it by AMQP."""
    message_id: str | None
    """The id that came outside the body, if any."""


_waits = outbox.c.reason.is_(None)
_oldest_free = (
    sa.select(outbox.c.id)
    .where(_waits, outbox.c.leased_until <= sa.bindparam("now"))
    .order_by(outbox.c.id)
    .limit(sa.bindparam("most"))
    .with_for_update(skip_locked=True)
)
_lease = Prepared(
    sa.update(outbox)
    .where(outbox.c.id.in_(bulk.once(_oldest_free)))
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
    """Add rows of `body` and `accepted_at`, in this order. All may have `via_amqp`, `message_id`
    and `reason`, too.
    """
    bulk.insert(connection, outbox, rows)


def add_leased(connection: Connection, rows: Sequence[bulk.Row], now: UnixMs) -> list[int]:
    """Add rows that the caller has leased already, and return their ids. Only for SQLite, whose
    single writer can count them itself.
    """
    bulk.insert(connection, outbox, [{"leased_until": now + LEASE_MS, **row} for row in rows])
    last: int = _last_id.run(connection, {}).scalar_one()
    return list(range(last + 1 - len(rows), last + 1))


def lease(connection: Connection, limit: int, now: UnixMs) -> list[OutboxRow]:
    """Lease at most `limit` rows that are free or whose lease has lapsed, oldest first."""
    leased = _lease.run(connection, {"now": now, "most": limit, "until": now + LEASE_MS}).all()
    rows = (
        OutboxRow(
            row.id, bytes(row.body), None if row.via_amqp else row.accepted_at, row.message_id
        )
        for row in leased
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


def dead_letter(connection: Connection, row_id: int, reason: str) -> None:
    """Keep a message as a dead letter: it is no event. It becomes a row with a new id, the last of
    all, so that the other ids stay as they are.
    """
    kept = (outbox.c.body, outbox.c.accepted_at, outbox.c.via_amqp, outbox.c.message_id)
    deleted = connection.execute(sa.delete(outbox).where(outbox.c.id == row_id).returning(*kept))
    for row in deleted.mappings().all():
        connection.execute(sa.insert(outbox).values(**row, reason=reason))


def depth(connection: Connection) -> int:
    """Return how many rows wait, leased ones included. It counts them, so it is not for every
    message.
    """
    return connection.scalar(sa.select(sa.func.count()).where(_waits)) or 0


def dead(connection: Connection) -> int:
    """Return how many rows are dead letters."""
    return connection.scalar(sa.select(sa.func.count()).where(outbox.c.reason.is_not(None))) or 0


def oldest_accepted_at(connection: Connection) -> UnixMs | None:
    """Return when the oldest waiting row was accepted; None: no row waits."""
    oldest = sa.select(outbox.c.accepted_at).where(_waits).order_by(outbox.c.id).limit(1)
    accepted_at = connection.scalar(oldest)
    return None if accepted_at is None else UnixMs(accepted_at)


def depth_at_most(connection: Connection, enough: int) -> int:
    """Return the depth, or a number not below it that is at most `enough`.

    Ids are counted up, so their span bounds how many rows there are. Rows are counted only when the
    span is too large.
    """
    first = sa.select(sa.func.min(outbox.c.id)).where(_waits).scalar_subquery()
    span = connection.scalar(sa.select(sa.func.max(outbox.c.id) - first + 1)) or 0
    return span if span <= enough else depth(connection)
