"""Pulling: events in an order in which who goes on behind what he has seen passes over none.
Decision 0009 has the races.

The order is that in which events were claimed, `claimed_at`; those of one claim come in the order
in which they were accepted. Tests of callbacks have no place in it. Reads only; called by the API
for a token's holder.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

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
"""How far behind PostgreSQL's clock a page ends. Nothing here needs it while that clock only goes
forward. Larger: events are pulled later. Smaller: when the clock is set back, or a standby whose
clock is behind takes over, by more than this, what is claimed until it has caught up lies behind
those who pull, and they miss it.
"""

HIDDEN_MS = 60_000
"""How old a transaction is taken to be whose beginning PostgreSQL does not show: another role's, or
`track_activities` is off. No claim lasts as long: each of its statements has five seconds. Larger:
everything is pulled as much later there.
"""

LOOK_MOST = 5_000
"""Events that are looked at for a page, whether or not the token may see them. More: a page that
finds nothing takes longer. Fewer: who sees little needs more requests.
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


def pull(database: Database, chosen: PullFilter, limit: int, cursor: str | None = None) -> Pulled:
    """What comes behind `cursor`, oldest first: at most `limit` events, and often fewer. Raises
    Invalid for a cursor that is none.
    """
    with database.read() as connection:
        end = _horizon(connection)
    with (
        database.read() as connection
    ):  # another transaction: at every level of isolation it sees all that had ended by then
        rows = connection.execute(
            page_query(chosen, limit, cursor, end, connection.dialect.name)
        ).all()
        bodies = _bodies(connection, [row.id for row in rows if row.seen])
    if not rows:
        return Pulled([], cursor or cursor_of((chosen.since or 0, 0, "")), has_more=False)
    last = rows[-1]  # the page is full, or this is where looking stopped
    return Pulled(
        bodies,
        cursor_of((last.claimed_at, last.accepted_at, last.id)),
        not last.is_last or last.number == LOOK_MOST,
    )


def page_query(
    chosen: PullFilter, limit: int, cursor: str | None, end: UnixMs | None, dialect: str
) -> sa.Select[Any]:
    """The first events behind `cursor` that the token may see, and the last that was looked at. In
    the order of an index, so that it stops reading when the page is full.
    """
    conditions = [
        events.c.claimed_at.is_not(None),
        *_bounds(chosen, end),
        *after(_KEY, cursor, descending=False),
    ]
    looked = (
        sa.select(*_KEY, events.c.type, events.c.channel_id)
        .where(*conditions)
        .order_by(*_KEY)
        .limit(LOOK_MOST)
        .subquery("looked")
    )
    order = [looked.c[column.name] for column in _KEY]
    marked = sa.select(
        *order,
        sa.and_(sa.true(), *_visible(looked, chosen, dialect)).label("seen"),
        sa.func.row_number().over(order_by=order).label("number"),
        sa.func.lead(looked.c.id).over(order_by=order).is_(None).label("is_last"),
    ).subquery("marked")
    wanted = sa.select(marked).where(sa.or_(marked.c.seen, marked.c.is_last))
    return wanted.order_by(*(marked.c[column.name] for column in _KEY)).limit(limit)


def _horizon(connection: Connection) -> UnixMs | None:
    """Whatever was taken before this is committed, or never will be. None: whatever there is may be
    read, as on SQLite, where nothing comes in before what is there.

    On PostgreSQL the clock is read first. A claim that had read it by then shows its transaction
    from before until after its commit: so either it is among the open ones now, or whoever reads
    from now on sees what it wrote.
    """
    if connection.dialect.name == "sqlite":
        return None
    now = connection.scalar(sa.select(SERVER_MS)) or 0
    oldest = connection.scalar(_oldest_open)
    return UnixMs(min(now - MARGIN_MS, now if oldest is None else oldest))


def _bounds(chosen: PullFilter, end: UnixMs | None) -> Iterator[sa.ColumnElement[bool]]:
    if chosen.since is not None:
        yield events.c.claimed_at >= chosen.since
    ends = [at for at in (chosen.until, end) if at is not None]
    if ends:
        yield events.c.claimed_at < min(ends)


def _visible(
    looked: sa.Subquery, chosen: PullFilter, dialect: str
) -> Iterator[sa.ColumnElement[bool]]:
    if chosen.type is not None:
        yield looked.c.type == chosen.type.value
    if chosen.channels is not None:
        yield looked.c.channel_id.in_(_list(sorted(chosen.channels), dialect))


def _list(texts: Iterable[str], dialect: str) -> sa.Select[Any]:
    """As one parameter: a token may have ten thousand channels. As a query, so that it is looked up
    by hash.
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
    """In this order; less what has gone with `RETENTION` meanwhile."""
    found = {
        row.id: bytes(row.body)
        for row in connection.execute(
            sa.select(events.c.id, events.c.body).where(events.c.id.in_(ids))
        )
    }
    return [found[one] for one in ids if one in found]
