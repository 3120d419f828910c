"""Cancelling deliveries for good, by what the store says of their callbacks and tokens, and by the
store's clock.

What a process has in memory may be behind, or wrong, and so may its host's clock. That is reason
enough not to send, but not to cancel. The store is asked in the transaction that cancels, and only
about deliveries that are about to be cancelled: that is one lookup in an index.
"""

from collections.abc import Collection, Sequence

import msgspec
import sqlalchemy as sa

from schemas.deliveries.deliveries import DeliveryState, Move
from schemas.deliveries.settlement import Settlement, given_back
from schemas.deliveries.withdrawal import ended, withdrawal_reason
from schemas.ids import CallbackId
from schemas.times import UnixMs
from schemas.tokens.tokens import Token
from store.engine.bulk import once
from store.engine.database import Connection
from store.figures.counting import Ended, count_ended
from store.tables import callbacks, deliveries, delivery_moves, tokens
from store.tokens.rows import read_token_alone

DOUBT_S = 1.0
"""When a delivery is due again that a dispatcher would not send and the store would not cancel:
about when the directory is right again. Shorter: more lookups without effect. Longer: it is later.
"""

_CANCEL_SLICE = 1000
"""Rows cancelled in a transaction. More: concurrent settlements of these rows wait longer. Fewer:
more transactions.
"""


def owners(connection: Connection, callback_ids: Collection[CallbackId]) -> dict[CallbackId, Token]:
    """Return the tokens of those of these callbacks that exist, as they are stored now, without
    callbacks and secrets.
    """
    selected = sa.select(callbacks.c.id.label("of_callback"), tokens).join_from(
        callbacks, tokens, tokens.c.id == callbacks.c.token_id
    )
    rows = connection.execute(selected.where(callbacks.c.id.in_(callback_ids)))
    return {CallbackId(row.of_callback): read_token_alone(row) for row in rows}


def judge(
    connection: Connection, settlements: Sequence[Settlement], now: UnixMs
) -> Sequence[Settlement]:
    """Return the settlements in their order, with those that would cancel confirmed by the store.

    One that the store does not confirm is given back instead.
    """
    doubtful = {
        settlement.delivery.callback_id for settlement in settlements if _cancels(settlement)
    }
    if not doubtful:
        return settlements
    known = owners(connection, doubtful)
    return [
        _judged(settlement, known.get(settlement.delivery.callback_id), now)
        for settlement in settlements
    ]


def cancel(connection: Connection, callback_id: CallbackId, now: UnixMs) -> int:
    """Cancel due rows of a callback that will never be called again, at most a slice, if the store
    says so too.

    Return how many were cancelled. A row that another process is settling is left to it: it may
    have been delivered.
    """
    reason = ended(owners(connection, [callback_id]).get(callback_id), now)
    if reason is None:
        return 0
    due = (
        sa.select(deliveries.c.event_id)
        .where(deliveries.c.callback_id == callback_id, deliveries.c.due_at <= now)
        .limit(_CANCEL_SLICE)
        .with_for_update(skip_locked=True)
    )
    statement = (
        sa.update(deliveries)
        .where(deliveries.c.callback_id == callback_id, deliveries.c.event_id.in_(once(due)))
        .where(delivery_moves.permitted(Move.WITHDRAWN))
        .values(delivery_moves.columns(Move.WITHDRAWN, reason))
        .returning(deliveries.c.event_id, deliveries.c.callback_id, deliveries.c.type)
    )
    # SQLite's driver counts no rows of an UPDATE that begins with WITH
    cancelled = [Ended(*row) for row in connection.execute(statement)]
    count_ended(connection, DeliveryState.CANCELLED, cancelled, now)
    return len(cancelled)


def _cancels(settlement: Settlement) -> bool:
    return settlement.state is DeliveryState.CANCELLED


def _judged(settlement: Settlement, token: Token | None, now: UnixMs) -> Settlement:
    if not _cancels(settlement):
        return settlement
    reason = withdrawal_reason(token, settlement.delivery, now)
    if reason is None:
        return given_back(settlement.delivery, DOUBT_S)
    return msgspec.structs.replace(settlement, reason=reason)
