"""Cancelling open deliveries of callbacks that will never be called again: token revoked, callback
deleted. And counting them before.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from schemas.deliveries.cancel_reason import CancelReason
from schemas.deliveries.deliveries import DeliveryState, Move
from schemas.ids import CallbackId
from store.engine import bulk
from store.engine.database import Connection, Database
from store.figures.counting import Ended, count_ended
from store.tables import deliveries, delivery_moves, requested_attempts

SLICE = 10_000
"""Rows cancelled in a transaction. More: concurrent settlements of these rows wait longer. Fewer:
cancelling a great backlog takes longer.
"""


def count_open(connection: Connection, callback_ids: Sequence[CallbackId], most: int) -> int:
    """Return how many deliveries of these callbacks are open. At most `most` are counted: a great
    backlog would take long.
    """
    is_open = sa.and_(deliveries.c.callback_id.in_(callback_ids), deliveries.c.due_at.is_not(None))
    some = sa.select(sa.literal(1)).where(is_open).limit(most).subquery()
    return connection.scalar(sa.select(sa.func.count()).select_from(some)) or 0


def drop_requested(connection: Connection, callback_ids: Sequence[CallbackId]) -> None:
    """Delete every requested attempt of these callbacks.

    One that a dispatcher is leasing or settling at this moment is left to it: it is refused there.
    """
    c = requested_attempts.c
    free = sa.select(c.id).where(c.callback_id.in_(callback_ids)).with_for_update(skip_locked=True)
    connection.execute(sa.delete(requested_attempts).where(c.id.in_(sa.select(free.cte()))))


def cancel_open(
    database: Database, callback_ids: Sequence[CallbackId], reason: CancelReason
) -> dict[CallbackId, int]:
    """Cancel everything that is open for these callbacks. Return how many were cancelled of each.

    Call it when the reason is committed. It uses transactions of its own: a single one could
    outlast the statement timeout, and would lock deliveries in another order than settling does
    (`store.engine.bulk`). No attempt depends on it: the directory already forbids them, and the
    dispatchers cancel due rows of such callbacks.
    """
    totals = dict.fromkeys(callback_ids, 0)
    for callback_id in callback_ids:
        last = SLICE
        while last == SLICE:
            with database.write() as connection:
                cancelled = _cancel_slice(connection, callback_id, reason)
                now = database.now(connection)
                count_ended(connection, DeliveryState.CANCELLED, cancelled, now)
            last = len(cancelled)
            totals[callback_id] += last
    return totals


def _cancel_slice(
    connection: Connection, callback_id: CallbackId, reason: CancelReason
) -> list[Ended]:
    """Cancel a slice, locked in the order of its keys, as settling does.

    What is settled meanwhile stays as it is.
    """
    is_open = sa.and_(deliveries.c.callback_id == callback_id, deliveries.c.due_at.is_not(None))
    oldest = (
        sa.select(deliveries.c.event_id)
        .where(is_open)
        .order_by(deliveries.c.due_at)
        .limit(SLICE)
        .cte()
    )
    selected = sa.select(deliveries.c.event_id).where(
        is_open, deliveries.c.event_id.in_(sa.select(oldest))
    )
    locked = bulk.by_key(connection, selected, deliveries.c.event_id)
    statement = (
        sa.update(deliveries)
        .where(
            deliveries.c.callback_id == callback_id,
            deliveries.c.event_id.in_(sa.select(locked.cte())),
        )
        .where(delivery_moves.permitted(Move.WITHDRAWN))
        .values(delivery_moves.columns(Move.WITHDRAWN, reason))
        .returning(deliveries.c.event_id, deliveries.c.callback_id, deliveries.c.type)
    )
    # SQLite counts no rows of a statement that begins with WITH
    return [Ended(*row) for row in connection.execute(statement)]
