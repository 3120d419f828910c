"""Pulling: events in an order in which a reader that continues after the last event it has seen
misses none. Decision 0009 has the races.

The order is that in which events were claimed, `claimed_at`. Those of one claim come in the order
in which they were accepted. Tests of callbacks are not among them. Reads only; called by the API
for a token's owner.
"""

import json
from collections.abc import Iterable, Iterator, Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from schemas.listings import Pulled, PullFilter
from schemas.times import UnixMs
from store.engine import bulk
from store.engine.clock import SERVER_MS
from store.engine.database import Connection, Database
from store.engine.paging import after, cursor_of
from store.engine.postgres import APPLICATION
from store.tables import events

MARGIN_MS = 500
"""How far behind PostgreSQL's clock a page ends, in milliseconds. Nothing needs it while that clock
only goes forward. Larger: events are pulled later. Smaller: readers miss events when the clock is
set back by more than this, or a standby whose clock is behind by more takes over.
"""

HIDDEN_MS = 60_000
"""The assumed age, in milliseconds, of a transaction whose beginning PostgreSQL does not show: it
is another role's, or `track_activities` is off. No claim lasts as long: each of its statements has
five seconds. Larger: everything is pulled that much later there.
"""

READ_MOST = 5_000
"""Events that are read for a page, whether or not the token may see them. More: a page that finds
nothing takes longer. Fewer: a token that sees little needs more requests.
"""

_KEY = (events.c.claimed_at, events.c.accepted_at, events.c.id)

_activity = sa.table(
    "pg_stat_activity",
    *map(sa.column, ("datname", "application_name", "state", "query", "xact_start")),
)
_hidden = sa.or_(_activity.c.state == "disabled", _activity.c.query == "<insufficient privilege>")
_begun = sa.cast(sa.extract("epoch", _activity.c.xact_start) * 1000, sa.BigInteger)
_oldest_open = sa.select(
    sa.func.min(sa.case((_hidden, SERVER_MS - HIDDEN_MS), else_=_begun))
).where(
    _activity.c.datname == sa.func.current_database(), _activity.c.application_name == APPLICATION
)


def pull(database: Database, criteria: PullFilter, limit: int, cursor: str | None = None) -> Pulled:
    """Return the events after `cursor`, oldest first: at most `limit`, and often fewer.

    Raises Invalid for a malformed cursor.
    """
    with database.read() as connection:
        end = _horizon(connection)
    # another transaction: at every level of isolation it sees all that had ended by then
    with database.read() as connection:
        rows = connection.execute(
            page_query(criteria, limit, cursor, end, connection.dialect.name)
        ).all()
        bodies = _bodies(connection, [row.id for row in rows if row.seen])
    if not rows:
        return Pulled([], cursor or cursor_of((criteria.since or 0, 0, "")), has_more=False)
    last = rows[-1]  # the page is full, or reading stopped here
    return Pulled(
        bodies,
        cursor_of((last.claimed_at, last.accepted_at, last.id)),
        not last.is_last or last.number == READ_MOST,
    )


def page_query(
    criteria: PullFilter, limit: int, cursor: str | None, end: UnixMs | None, dialect: str
) -> sa.Select[*tuple[object, ...]]:
    """Return the query of the first events after `cursor` that the token may see, and of the last
    that is read. It reads in the order of an index, so that it stops when the page is full.
    """
    conditions = [
        events.c.claimed_at.is_not(None),
        *_bounds(criteria, end),
        *after(_KEY, cursor, descending=False),
    ]
    scanned = (
        sa.select(*_KEY, events.c.type, events.c.channel_id)
        .where(*conditions)
        .order_by(*_KEY)
        .limit(READ_MOST)
        .subquery("scanned")
    )
    order = [scanned.c[column.name] for column in _KEY]
    marked = sa.select(
        *order,
        sa.and_(sa.true(), *_visible(scanned, criteria, dialect)).label("seen"),
        sa.func.row_number().over(order_by=order).label("number"),
        sa.func.lead(scanned.c.id).over(order_by=order).is_(None).label("is_last"),
    ).subquery("marked")
    wanted = sa.select(marked).where(sa.or_(marked.c.seen, marked.c.is_last))
    return wanted.order_by(*(marked.c[column.name] for column in _KEY)).limit(limit)


def _horizon(connection: Connection) -> UnixMs | None:
    """Return the moment before which every claim has committed, or never will; None: everything may
    be read, as on SQLite, where no event comes in before those that exist.

    On PostgreSQL the clock is read first. A claim that had read it by then shows its transaction
    from before until after its commit. So either it is among the open ones now, or a later query
    sees what it wrote.
    """
    if connection.dialect.name == "sqlite":
        return None
    now = connection.scalar(sa.select(SERVER_MS)) or 0
    oldest = connection.scalar(_oldest_open)
    return UnixMs(min(now - MARGIN_MS, now if oldest is None else oldest))


def _bounds(criteria: PullFilter, end: UnixMs | None) -> Iterator[sa.ColumnElement[bool]]:
    if criteria.since is not None:
        yield events.c.claimed_at >= criteria.since
    ends = [at for at in (criteria.until, end) if at is not None]
    if ends:
        yield events.c.claimed_at < min(ends)


def _visible(
    scanned: sa.Subquery, criteria: PullFilter, dialect: str
) -> Iterator[sa.ColumnElement[bool]]:
    if criteria.type is not None:
        yield scanned.c.type == criteria.type.value
    if criteria.channels is not None:
        yield scanned.c.channel_id.in_(_list(sorted(criteria.channels), dialect))


def _list(texts: Iterable[str], dialect: str) -> sa.Select[str]:
    """Return the texts as one parameter, as a token may have ten thousand channels, and as a query,
    so that they are looked up by hash.
    """
    if dialect == "postgresql":
        return sa.select(
            sa.func.unnest(
                sa.cast(sa.literal(bulk.array_literal(list(texts)), sa.Text), ARRAY(sa.Text))
            )
        )
    return sa.select(
        sa.func.json_each(sa.literal(json.dumps(list(texts)))).table_valued("value").c.value
    )


def _bodies(connection: Connection, ids: Sequence[str]) -> list[bytes]:
    """Return the bodies in this order, without those that retention deleted meanwhile."""
    stored = {
        row.id: bytes(row.body)
        for row in connection.execute(
            sa.select(events.c.id, events.c.body).where(events.c.id.in_(ids))
        )
    }
    return [stored[event_id] for event_id in ids if event_id in stored]
