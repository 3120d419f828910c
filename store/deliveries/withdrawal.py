"""Whether deliveries are withdrawn for good, by what the store says of their callbacks and tokens,
and by its clock.

What a process remembers may be behind, or wrong, and so may its host's clock: that is reason enough
not to send, but not to cancel. Asked in the transaction that cancels, and only of what is about to
be: one look at an index.
"""

from collections.abc import Collection, Sequence

import msgspec
import sqlalchemy as sa

from schemas.deliveries.deliveries import DeliveryState, Settlement, given_back
from schemas.deliveries.withdrawal import ended, withdrawal_reason
from schemas.ids import CallbackId
from schemas.times import UnixMs
from schemas.tokens.tokens import Token
from store.engine.bulk import once
from store.engine.database import Connection
from store.tables import callbacks, deliveries, tokens
from store.tokens.rows import read_token_alone

DOUBT_S = 1.0
"""When a delivery may be looked at again that a dispatcher would not send and the store would not
cancel: about when the directory is right again. Shorter: more looks in vain. Longer: it is later.
"""


def owners(connection: Connection, callback_ids: Collection[CallbackId]) -> dict[CallbackId, Token]:
    """Whose these callbacks are, of those that there are: the tokens as they stand now, without
    callbacks and secrets.
    """
    chosen = sa.select(callbacks.c.id.label("of_callback"), tokens).join_from(
        callbacks, tokens, tokens.c.id == callbacks.c.token_id
    )
    rows = connection.execute(chosen.where(callbacks.c.id.in_(callback_ids)))
    return {CallbackId(row.of_callback): read_token_alone(row) for row in rows}


def judge(
    connection: Connection, settlements: Sequence[Settlement], now: UnixMs
) -> Sequence[Settlement]:
    """The same, in their order; those that would be cancelled only where the store says so too,
    else they are given back.
    """
    doubtful = {
        one.delivery.callback_id for one in settlements if one.state is DeliveryState.CANCELLED
    }
    if not doubtful:
        return settlements
    known = owners(connection, doubtful)
    return [_judged(one, known.get(one.delivery.callback_id), now) for one in settlements]


def _judged(one: Settlement, token: Token | None, now: UnixMs) -> Settlement:
    if one.state is not DeliveryState.CANCELLED:
        return one
    reason = withdrawal_reason(token, one.delivery, now)
    return (
        given_back(one.delivery, DOUBT_S)
        if reason is None
        else msgspec.structs.replace(one, reason=reason)
    )


_CANCEL_SLICE = 1000


def cancel(connection: Connection, callback_id: CallbackId, now: UnixMs) -> int:
    """Settle due rows of a callback that will never be called again, if the store says so too; at
    most a slice at a time. Returns how many. What somebody is just settling is left to that: it may
    have been delivered.
    """
    reason = ended(owners(connection, [callback_id]).get(callback_id), now)
    if reason is None:
        return 0
    chosen = (
        sa.select(deliveries.c.event_id)
        .where(deliveries.c.callback_id == callback_id, deliveries.c.due_at <= now)
        .limit(_CANCEL_SLICE)
        .with_for_update(skip_locked=True)
    )
    statement = (
        sa.update(deliveries)
        .where(deliveries.c.callback_id == callback_id, deliveries.c.event_id.in_(once(chosen)))
        .where(deliveries.c.state == DeliveryState.PENDING.value)
        .values(state=DeliveryState.CANCELLED.value, reason=reason, due_at=None, leased=False)
        .returning(deliveries.c.event_id)
    )
    return len(
        connection.execute(statement).all()
    )  # SQLite's driver counts no rows of an UPDATE that begins with WITH
