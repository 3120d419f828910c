"""Counts of a token's deliveries by type and state, over a period. Reads only; called by the API
for a token's owner.

A token may have millions of deliveries. They are counted from the newest on, in slices that the
index (token, created_at) finds, each in a short transaction of its own, up to a bound. So an answer
takes about as long for ten million as for one.
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
from store.deliveries.rows import DELIVERY_KEY
from store.deliveries.samples import no_test
from store.engine.database import Connection, Database
from store.tables import deliveries

SLICE = 20_000
"""Deliveries that a statement counts. More: a statement comes nearer to the store's timeout. Fewer:
more statements.
"""

COUNT_MOST = 500_000
"""Deliveries that are counted for an answer. More: an answer takes longer, and so does everything
else while many are asked for. Fewer: busy tokens see a shorter period.
"""

_NEWEST_FIRST = tuple(column.desc() for column in DELIVERY_KEY)
_state = sa.case(
    (sa.and_(deliveries.c.state == DeliveryState.PENDING.value, is_held), DeliveryState.HELD.value),
    else_=deliveries.c.state,
)


def count(database: Database, token: TokenId, since: UnixMs, until: UnixMs) -> DeliveryStats:
    """Return counts of the deliveries that were made from `since` to before `until`, without tests.

    A delivery whose first attempt is still under way is not counted yet.
    """
    counts: Counter[tuple[EventType, DeliveryState]] = Counter()
    begin = until
    while begin > since and counts.total() < COUNT_MOST:
        with database.read() as connection:
            end, begin = begin, _slice_begin(connection, token, since, begin)
            counts.update(dict(_counted(connection, token, begin, end)))
    return DeliveryStats(begin, until, begin <= since, counts)


def _slice_begin(connection: Connection, token: TokenId, since: UnixMs, until: UnixMs) -> UnixMs:
    """Return the moment from which on there are about SLICE deliveries; `since` when there are
    fewer. What was made in one millisecond stays together.
    """
    made = sa.select(deliveries.c.created_at).where(
        *matching(DeliveryFilter(token=token, since=since, until=until))
    )
    begin = connection.scalar(made.order_by(*_NEWEST_FIRST).offset(SLICE - 1).limit(1))
    return since if begin is None else UnixMs(begin)


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
