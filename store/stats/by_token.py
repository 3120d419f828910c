"""Counts of each token's deliveries by state. Called by the export.

Every delivery is read, in slices, so that ten million are no statement that takes too long. The
counts of the slices are added up in memory. A delivery whose first attempt is still under way has
no row yet: as in the lists, it does not count. Nor do tests.
"""

from collections.abc import Callable, Sequence

import sqlalchemy as sa

from schemas.deliveries.deliveries import DeliveryState
from schemas.ids import TokenId
from store.deliveries.held import callback_holds, is_kept
from store.deliveries.rows import DELIVERY_KEY
from store.deliveries.samples import no_test
from store.engine.database import Connection, Database
from store.engine.paging import Row
from store.tables import callbacks, deliveries, tokens

SLICE = 50_000
"""Rows that a statement counts. More: on a slow disk one may exceed the statement timeout. Fewer:
more statements.
"""

Counts = dict[DeliveryState, int]

_holding = (
    sa.exists()
    .select_from(sa.join(callbacks, tokens, tokens.c.id == callbacks.c.token_id))
    .where(callbacks.c.id == deliveries.c.callback_id)
    .where(sa.or_(callback_holds, is_kept))
)
_state = sa.case(
    # settled: its callback is not even read
    (deliveries.c.due_at.is_(None), deliveries.c.state),
    (_holding, DeliveryState.HELD.value),
    else_=deliveries.c.state,
).label("state")


def count_deliveries(
    database: Database, on_progress: Callable[[int], None]
) -> dict[TokenId, Counts]:
    """Return the counts by token; a token without deliveries is left out.

    `on_progress` is called after each slice with the number of deliveries counted so far.
    """
    totals: dict[TokenId, Counts] = {}
    counted, last = 0, None
    while True:
        with database.read() as connection:
            end = connection.execute(_end_of_slice(last)).one_or_none()
            counted += _add(connection, last, end, totals)
        on_progress(counted)
        if end is None:
            return totals
        last = end


def _add(
    connection: Connection, last: Row | None, end: Row | None, totals: dict[TokenId, Counts]
) -> int:
    """Add a slice to the totals. Return how many deliveries it had."""
    counted = 0
    for row in connection.execute(_slice(last, end)):
        counts = totals.setdefault(TokenId(row.token_id), {})
        state = DeliveryState(row.state)
        counts[state] = counts.get(state, 0) + row.n
        counted += row.n
    return counted


def _end_of_slice(last: Row | None) -> sa.Select[int, str, str]:
    return (
        sa.select(*DELIVERY_KEY)
        .where(*_between(last, None))
        .order_by(*DELIVERY_KEY)
        .offset(SLICE - 1)
        .limit(1)
    )


def _slice(last: Row | None, end: Row | None) -> sa.Select[str, str, int]:
    counted = (
        sa.select(deliveries.c.token_id, _state)
        .where(*_between(last, end), no_test(deliveries.c.event_id))
        .subquery()
    )
    return sa.select(counted.c.token_id, counted.c.state, sa.func.count().label("n")).group_by(
        counted.c.token_id, counted.c.state
    )


def _between(last: Row | None, end: Row | None) -> Sequence[sa.ColumnElement[bool]]:
    """Return the conditions that a row is after `last`, and not after `end`."""
    key = sa.tuple_(*DELIVERY_KEY)
    return [*([key > sa.tuple_(*last)] if last else ()), *([key <= sa.tuple_(*end)] if end else ())]
