"""How much there is to recover, counted within bounds. Called by `store.recoveries.jobs`."""

import functools

import sqlalchemy as sa

from schemas.deliveries.deliveries import DeliveryState
from schemas.deliveries.recoveries import Counted, Recoverable, RecoveryQuery
from store.deliveries.rows import DELIVERY_KEY
from store.engine.database import Connection
from store.recoveries.candidates import among, wanted
from store.recoveries.missing import Matched, missing, stored_events
from store.recoveries.scanning import Key, end_of, up_to
from store.tables import deliveries

COUNTED = 100_000
"""Rows that are read to count the candidates. More: creating a recovery takes longer. Fewer: less
of a great recovery is known before.
"""

COUNTED_EVENTS = 10_000
"""Events that are read to count what is missing. More: the answer takes longer. Fewer: less of what
is missing is known before.
"""

COMPARED = 1_000_000
"""Events with callbacks that are compared to count what is missing. More: with thousands of callbacks
it takes the processor from the event loop for longer. Fewer: less of what is missing is known before.
"""

_PAGE = 500
"""Events that are read at once. More: more memory. Fewer: more queries."""


def count(connection: Connection, query: RecoveryQuery, matched: Matched | None) -> Counted:
    """Count the deliveries to recover. Without `matched`, which says what events are for now,
    those that are missing are left out.
    """
    parts = [
        _undelivered(connection, query, DeliveryState(state))
        for state in query.states
        if state is not Recoverable.MISSING
    ]
    if matched is not None and Recoverable.MISSING in query.states:
        parts.append(_missing(connection, query, matched))
    return Counted(sum(part.total for part in parts), all(part.is_complete for part in parts))


def _undelivered(connection: Connection, query: RecoveryQuery, state: DeliveryState) -> Counted:
    """Count the deliveries of this state among the first COUNTED rows."""
    first = among(query, state)
    is_named = query.deliveries is not None
    end = None if is_named else end_of(connection, DELIVERY_KEY, first, COUNTED)
    conditions = [*first, *up_to(DELIVERY_KEY, end), *wanted(query, state)]
    counted = sa.select(sa.func.count()).select_from(deliveries).where(*conditions)
    return Counted(connection.scalar(counted) or 0, end is None)


def _missing(connection: Connection, query: RecoveryQuery, matched: Matched) -> Counted:
    """Count what is missing of the first COUNTED_EVENTS events."""
    total = compared = 0
    after: Key | None = None
    known = functools.cache(matched)
    for _ in range(COUNTED_EVENTS // _PAGE):
        page = stored_events(connection, query, after, _PAGE, with_facts=False)
        for event, pairs in missing(page.found, query, known):
            total += len(pairs)
            compared += len(known(event.type, event.channel_id))
            if compared > COMPARED:
                return Counted(total, is_complete=False)
        after = page.following
        if after is None:
            return Counted(total, is_complete=True)
    return Counted(total, is_complete=False)
