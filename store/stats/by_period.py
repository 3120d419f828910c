"""How a token's deliveries fare: counts by type and state over a period. Reads only; called by the
API for a token's holder.

A token may have millions. They are counted from the newest on, in slices that the index (token,
made) finds, each in a short transaction of its own, up to a bound: so an answer takes about as long
for ten million as for one.
"""

from collections import Counter
from collections.abc import Iterator

import sqlalchemy as sa

from schemas.deliveries.deliveries import DeliveryState
from schemas.events.types import EventType
from schemas.ids import TokenId
from schemas.listings import DeliveryFilter, DeliveryStats
from schemas.times import UnixMs
from store.deliveries.held import is_held
from store.deliveries.listing import matching
from store.deliveries.samples import no_test
from store.engine.database import Connection, Database
from store.tables import deliveries

SLICE = 20_000
"""Deliveries that a statement counts. More: it comes nearer to the store's limit of time. Fewer:
more statements.
"""

COUNT_MOST = 500_000
"""More: who asks waits longer, and so does everybody else while many ask. Fewer: busy tokens see a
shorter time.
"""

_NEWEST_FIRST = (
    deliveries.c.created_at.desc(),
    deliveries.c.event_id.desc(),
    deliveries.c.callback_id.desc(),
)
_state = sa.case(
    (sa.and_(deliveries.c.state == DeliveryState.PENDING.value, is_held), DeliveryState.HELD.value),
    else_=deliveries.c.state,
)


def count(database: Database, token: TokenId, since: UnixMs, until: UnixMs) -> DeliveryStats:
    """Of deliveries that were made from `since` to before `until`, but for samples. One whose first
    attempt is still under way is not counted yet.
    """
    counts: Counter[tuple[EventType, DeliveryState]] = Counter()
    begin = until
    while begin > since and counts.total() < COUNT_MOST:
        with database.read() as connection:
            end, begin = begin, _slice_begin(connection, token, since, begin)
            counts.update(dict(_counted(connection, token, begin, end)))
    return DeliveryStats(begin, until, begin <= since, counts)


def _slice_begin(connection: Connection, token: TokenId, since: UnixMs, until: UnixMs) -> UnixMs:
    """From when on there are about SLICE deliveries: `since` when there are not so many. What was
    made in one millisecond stays together.
    """
    behind = sa.select(deliveries.c.created_at).where(
        *matching(DeliveryFilter(token=token, since=since, until=until))
    )
    found = connection.scalar(behind.order_by(*_NEWEST_FIRST).offset(SLICE - 1).limit(1))
    return since if found is None else UnixMs(found)


def _counted(
    connection: Connection, token: TokenId, since: UnixMs, until: UnixMs
) -> Iterator[tuple[tuple[EventType, DeliveryState], int]]:
    made = matching(DeliveryFilter(token=token, since=since, until=until))
    inner = (
        sa.select(deliveries.c.type, _state.label("state"))
        .where(*made, no_test(deliveries.c.event_id))
        .subquery()
    )
    for row in connection.execute(
        sa.select(inner, sa.func.count().label("n")).group_by(inner.c.type, inner.c.state)
    ):
        yield (EventType(row.type), DeliveryState(row.state)), row.n
