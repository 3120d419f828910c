"""How many deliveries each token has in each state. Reads every delivery there is, in slices, so
that ten million are no statement that takes too long: what each slice holds is added up in memory.
Called by the export.

A delivery whose first attempt is still under way has no row yet: as in the lists, it does not
count. Nor do samples.
"""

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from schemas.deliveries.deliveries import DeliveryState
from schemas.ids import TokenId
from store.deliveries.held import callback_holds, is_kept
from store.deliveries.samples import no_test
from store.engine.database import Connection, Database
from store.engine.paging import Row
from store.tables import callbacks, deliveries, tokens

SLICE = 50_000
"""Rows a statement. More: on a slow disk one takes longer than a statement may. Fewer: more of
them.
"""

Counts = dict[DeliveryState, int]

_KEY = (deliveries.c.created_at, deliveries.c.event_id, deliveries.c.callback_id)
_holding = (
    sa.exists()
    .select_from(sa.join(callbacks, tokens, tokens.c.id == callbacks.c.token_id))
    .where(callbacks.c.id == deliveries.c.callback_id)
    .where(sa.or_(callback_holds, is_kept(deliveries.c, callbacks.c)))
)
_state = sa.case(
    (
        deliveries.c.due_at.is_(None),
        deliveries.c.state,
    ),  # settled: its callback is not even looked at
    (_holding, DeliveryState.HELD.value),
    else_=deliveries.c.state,
).label("state")


def count_deliveries(database: Database, counted: Callable[[int], None]) -> dict[TokenId, Counts]:
    """By token; one without deliveries is not there. `counted` is told after each slice how many
    there were so far.
    """
    totals: dict[TokenId, Counts] = {}
    seen, last = 0, None
    while True:
        with database.read() as connection:
            end = connection.execute(_end_of_slice(last)).one_or_none()
            seen += _add(connection, last, end, totals)
        counted(seen)
        if end is None:
            return totals
        last = end


def _add(
    connection: Connection, last: Row | None, end: Row | None, totals: dict[TokenId, Counts]
) -> int:
    """How many there were."""
    found = 0
    for row in connection.execute(_slice(last, end)):
        counts = totals.setdefault(TokenId(row.token_id), {})
        state = DeliveryState(row.state)
        counts[state] = counts.get(state, 0) + row.n
        found += row.n
    return found


def _end_of_slice(last: Row | None) -> sa.Select[Any]:
    return sa.select(*_KEY).where(*_between(last, None)).order_by(*_KEY).offset(SLICE - 1).limit(1)


def _slice(last: Row | None, end: Row | None) -> sa.Select[Any]:
    counted = (
        sa.select(deliveries.c.token_id, _state)
        .where(*_between(last, end), no_test(deliveries.c.event_id))
        .subquery()
    )
    return sa.select(counted.c.token_id, counted.c.state, sa.func.count().label("n")).group_by(
        counted.c.token_id, counted.c.state
    )


def _between(last: Row | None, end: Row | None) -> Sequence[sa.ColumnElement[bool]]:
    """Behind `last`, up to and with `end`."""
    key = sa.tuple_(*_KEY)
    return [*([key > sa.tuple_(*last)] if last else ()), *([key <= sa.tuple_(*end)] if end else ())]
