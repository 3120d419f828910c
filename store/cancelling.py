"""Open deliveries of callbacks that will never be called again are cancelled: token revoked, callback deleted."""

from collections.abc import Sequence

import sqlalchemy as sa

from schemas.deliveries import DeliveryState
from schemas.ids import CallbackId
from store.database import Connection, Database
from store.tables import deliveries, requested_attempts

SLICE = 10_000
"""Rows a transaction. More: whoever settles one of them waits longer. Fewer: cancelling a great backlog takes longer."""


def cancel_open(connection: Connection, callback_ids: Sequence[CallbackId], reason: str) -> dict[CallbackId, int]:
    """Cancel at most a slice per callback, and every attempt that was asked for. Returns how many were cancelled."""
    connection.execute(sa.delete(requested_attempts).where(requested_attempts.c.callback_id.in_(callback_ids)))
    return {callback_id: _cancel_slice(connection, callback_id, reason) for callback_id in callback_ids}


def cancel_rest(database: Database, cancelled: dict[CallbackId, int], reason: str) -> dict[CallbackId, int]:
    """What a first slice left, in transactions of its own: one alone could outlast the statement timeout.

    Not needed for the promise: the directory already forbids these attempts, and due rows of such callbacks are cancelled
    by whoever takes them. Returns the totals.
    """
    totals = dict(cancelled)
    for callback_id, last in cancelled.items():
        while last == SLICE:
            with database.write() as connection:
                last = _cancel_slice(connection, callback_id, reason)
            totals[callback_id] += last
    return totals


def _cancel_slice(connection: Connection, callback_id: CallbackId, reason: str) -> int:
    chosen = (
        sa.select(deliveries.c.event_id)
        .where(deliveries.c.callback_id == callback_id, deliveries.c.due_at.is_not(None))
        .order_by(deliveries.c.due_at)
        .limit(SLICE)
        .with_for_update()
    )
    statement = (
        sa.update(deliveries)
        .where(deliveries.c.callback_id == callback_id, deliveries.c.event_id.in_(sa.select(chosen.cte())))
        .values(state=DeliveryState.CANCELLED.value, reason=reason, due_at=None, leased=False)
        .returning(deliveries.c.event_id)
    )
    return len(connection.execute(statement).all())  # SQLite counts no rows of a statement that begins WITH
