"""Channels of recent events, for choosing which of them a token may see. Reads only; called by the
API.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from schemas.events.stored_bodies import data_of, tree_of
from schemas.listings import ListedChannel, Page
from schemas.times import UnixMs
from store.engine.database import Connection
from store.engine.paging import Row, after, page
from store.tables import events

LATEST = 10_000
"""How many events are read. More: quieter channels are found, and a list takes longer."""


def list_channels(
    connection: Connection, limit: int, cursor: str | None = None
) -> Page[ListedChannel]:
    """Return a page of the channels of the latest events, those with the newest event first.

    Tests of callbacks are left out: their channel is made up. Raises Invalid for a malformed
    cursor.
    """
    rows = connection.execute(_page_query(limit, cursor)).all()
    return page(
        rows,
        limit,
        lambda row: (row.claimed_at, row.id),
        lambda shown: _channels(connection, shown),
    )


def _page_query(limit: int, cursor: str | None) -> sa.Select[int, str]:
    """Return the query of each channel's latest event. Bodies are long: only those that are shown
    are read, by another query.
    """
    e = events.c
    latest = (
        sa.select(e.claimed_at, e.id, e.channel_id)
        .where(e.claimed_at.is_not(None))
        .order_by(e.claimed_at.desc(), e.id.desc())
    )
    recent = latest.limit(LATEST).subquery().c
    position = sa.func.row_number().over(
        partition_by=recent.channel_id, order_by=(recent.claimed_at.desc(), recent.id.desc())
    )
    ranked = sa.select(recent.claimed_at, recent.id, position.label("position")).subquery().c
    key = (ranked.claimed_at, ranked.id)
    newest = sa.select(*key).where(ranked.position == 1, *after(key, cursor, descending=True))
    return newest.order_by(*(column.desc() for column in key)).limit(limit + 1)


def _channels(connection: Connection, shown: Sequence[Row]) -> list[ListedChannel]:
    ids = [row.id for row in shown]
    stored = {
        row.id: row for row in connection.execute(sa.select(events).where(events.c.id.in_(ids)))
    }
    return [_channel(stored[event_id]) for event_id in ids if event_id in stored]


def _channel(row: Row) -> ListedChannel:
    channel = tree_of(data_of(bytes(row.body)))["channel"]
    kind, address, provider = (
        _shown(channel.get(name)) for name in ("kind", "address", "provider")
    )
    return ListedChannel(row.channel_id, kind or "", address, provider, UnixMs(row.accepted_at))


def _shown(text: str | None) -> str | None:
    """Replace halves of surrogate pairs: any text of an event may hold one, but no answer can spell
    it.
    """
    return text and text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
