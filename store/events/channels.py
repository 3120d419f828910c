"""Channels seen lately, for choosing which a token may see. Reads only; called by the API."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from schemas.listings import ListedChannel, Page
from schemas.stored_values import data_of, tree_of
from schemas.times import UnixMs
from store.engine.database import Connection
from store.engine.paging import Row, after, page
from store.tables import events

LATEST = 10_000
"""How many events are looked through. More: quieter channels are found, and a look takes longer."""


def list_channels(
    connection: Connection, limit: int, cursor: str | None = None
) -> Page[ListedChannel]:
    """Those of the latest events, by when an event of theirs last came, newest first. Raises
    Invalid for a cursor that is none.

    Tests of callbacks are no such events: their channel is made up.
    """
    rows = connection.execute(_page_query(limit, cursor)).all()
    return page(
        rows,
        limit,
        lambda row: (row.claimed_at, row.id),
        lambda shown: _channels(connection, shown),
    )


def _page_query(limit: int, cursor: str | None) -> sa.Select[Any]:
    """The latest event of each channel. Bodies are long: they are read of those alone that are
    shown.
    """
    e = events.c
    latest = (
        sa.select(e.claimed_at, e.id, e.channel_id)
        .where(e.claimed_at.is_not(None))
        .order_by(e.claimed_at.desc(), e.id.desc())
    )
    seen = latest.limit(LATEST).subquery().c
    place = sa.func.row_number().over(
        partition_by=seen.channel_id, order_by=(seen.claimed_at.desc(), seen.id.desc())
    )
    placed = sa.select(seen.claimed_at, seen.id, place.label("place")).subquery().c
    key = (placed.claimed_at, placed.id)
    chosen = sa.select(*key).where(placed.place == 1, *after(key, cursor, descending=True))
    return chosen.order_by(*(column.desc() for column in key)).limit(limit + 1)


def _channels(connection: Connection, shown: Sequence[Row]) -> list[ListedChannel]:
    ids = [row.id for row in shown]
    found = {
        row.id: row for row in connection.execute(sa.select(events).where(events.c.id.in_(ids)))
    }
    return [_channel(found[event_id]) for event_id in ids if event_id in found]


def _channel(row: Row) -> ListedChannel:
    channel = tree_of(data_of(bytes(row.body)))["channel"]
    kind, address, provider = (
        _shown(channel.get(name)) for name in ("kind", "address", "provider")
    )
    return ListedChannel(row.channel_id, kind or "", address, provider, UnixMs(row.accepted_at))


def _shown(text: str | None) -> str | None:
    """Half of a surrogate pair, which may stand in any text of an event, is spelled in no answer.
    """
    return text and text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
