"""The life of a delivery in SQL: what a move writes, and which rows it may write.

Both are derived from the transition table in `schemas.deliveries.deliveries`, and no other module
of `store` writes a state. `columns` gives the values, `permitted` the condition; an update needs
both. It stands here so that every room of the store may use it.
"""

import sqlalchemy as sa

from schemas.deliveries.deliveries import (
    SETTLED,
    DeliveryState,
    Move,
    source_states,
    target_state,
)
from store.tables.traffic import deliveries

_STORED = SETTLED | {DeliveryState.PENDING}


def columns(move: Move, reason: str | None = None) -> dict[str, object]:
    """Return the columns of a delivery after `move`.

    A move that ends the delivery also clears its due time and its lease.
    """
    state = target_state(move)
    if state not in SETTLED:
        return {"state": state.value, "reason": reason}
    return {"state": state.value, "reason": reason, "due_at": None, "leased": False}


def permitted(*moves: Move) -> sa.ColumnElement[bool]:
    """Return the condition that a stored delivery may make one of `moves`.

    It is spelled with OR, never with IN: statements that are compiled once
    (`store.engine.prepared`) cannot hold a list that SQLAlchemy expands at each execution.
    """
    states = frozenset[DeliveryState]().union(*map(source_states, moves))
    if states == _STORED:
        return sa.true()
    return sa.or_(sa.false(), *(deliveries.c.state == state.value for state in sorted(states)))
