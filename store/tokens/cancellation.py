"""Open deliveries of callbacks that will never be called again are cancelled: token revoked,
callback deleted.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from schemas.deliveries.deliveries import DeliveryState
from schemas.ids import CallbackId
from store.engine import bulk
from store.engine.database import Connection, Database
from store.tables import deliveries, requested_attempts

SLICE = 10_000
"""Rows a transaction. More: whoever settles one of them waits longer. Fewer: cancelling a great
backlog takes longer.
"""


def drop_requested(connection: Connection, callback_ids: Sequence[CallbackId]) -> None:
    """Every attempt that was asked for of these. One that somebody just takes or settles is left to
    that: it is refused.
    """
    c = requested_attempts.c
    free = sa.select(c.id).where(c.callback_id.in_(callback_ids)).with_for_update(skip_locked=True)
    connection.execute(sa.delete(requested_attempts).where(c.id.in_(sa.select(free.cte()))))


def cancel_open(
    database: Database, callback_ids: Sequence[CallbackId], reason: str
) -> dict[CallbackId, int]:
    """Cancel all that is open for these, when the reason is committed, in transactions of their
    own: one alone could outlast the statement timeout, and would lock deliveries in another order
    than settling does (`store.engine.bulk`).

    Not needed for the promise: the directory already forbids these attempts, and due rows of such
    callbacks are cancelled by whoever takes them. Returns how many were cancelled.
    """
    totals = dict.fromkeys(callback_ids, 0)
    for callback_id in callback_ids:
        last = SLICE
        while last == SLICE:
            with database.write() as connection:
                last = _cancel_slice(connection, callback_id, reason)
            totals[callback_id] += last
    return totals


def _cancel_slice(connection: Connection, callback_id: CallbackId, reason: str) -> int:
    """Locked in the order of their keys, as settling does; what is settled meanwhile stays as it
    is.
    """
    ours = sa.and_(deliveries.c.callback_id == callback_id, deliveries.c.due_at.is_not(None))
    oldest = (
        sa.select(deliveries.c.event_id)
        .where(ours)
        .order_by(deliveries.c.due_at)
        .limit(SLICE)
        .cte()
    )
    chosen = sa.select(deliveries.c.event_id).where(
        ours, deliveries.c.event_id.in_(sa.select(oldest))
    )
    locked = bulk.by_key(connection, chosen, deliveries.c.event_id)
    statement = (
        sa.update(deliveries)
        .where(
            deliveries.c.callback_id == callback_id,
            deliveries.c.event_id.in_(sa.select(locked.cte())),
        )
        .where(deliveries.c.state == DeliveryState.PENDING.value)
        .values(state=DeliveryState.CANCELLED.value, reason=reason, due_at=None, leased=False)
        .returning(deliveries.c.event_id)
    )
    return len(
        connection.execute(statement).all()
    )  # SQLite counts no rows of a statement that begins WITH
