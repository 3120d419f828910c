"""Events without their bodies and deliveries: what the pages list, in one narrow query. Reads only."""

import operator

import sqlalchemy as sa

from schemas.events.types import EventType
from schemas.ids import EventId
from schemas.listings import EventFilter, EventHead, Page
from schemas.times import UnixMs
from store.engine.database import Connection
from store.engine.paging import Row, after, bounded, end_of_scan, page_by_time
from store.events.listing import EVENT_KEY, by_index, filters
from store.tables import events

_COLUMNS = [column for column in events.c if column.name not in {"body", "content_hash"}]


def list_heads(
    connection: Connection, criteria: EventFilter, limit: int, cursor: str | None = None
) -> Page[EventHead]:
    """Return a page of events, newest first, as `store.events.listing.list_events` does."""
    among = [*by_index(criteria), *after(EVENT_KEY, cursor, descending=True)]
    wanted = list(filters(criteria))
    end = end_of_scan(connection, EVENT_KEY, among) if wanted else None
    bound = [] if end is None else bounded(EVENT_KEY, end, operator.ge)
    query = (
        sa.select(*_COLUMNS)
        .where(*among, *bound, *wanted)
        .order_by(*(column.desc() for column in EVENT_KEY))
        .limit(limit + 1)
    )
    return page_by_time(
        connection.execute(query).all(),
        limit,
        lambda row: (row.accepted_at, row.id),
        lambda rows: [_head(row) for row in rows],
        end,
    )


def find_head(connection: Connection, event_id: EventId) -> EventHead | None:
    """Return an event; None: there is none."""
    row = connection.execute(sa.select(*_COLUMNS).where(events.c.id == event_id)).one_or_none()
    return None if row is None else _head(row)


def find_with_body(
    connection: Connection, event_id: EventId
) -> tuple[EventHead, bytes] | tuple[None, None]:
    """Return an event, and the body of its webhooks byte for byte; None twice: there is none."""
    row = connection.execute(sa.select(events).where(events.c.id == event_id)).one_or_none()
    return (None, None) if row is None else (_head(row), bytes(row.body))


def _head(row: Row) -> EventHead:
    return EventHead(
        id=EventId(row.id),
        type=EventType(row.type),
        timestamp=UnixMs(row.timestamp),
        accepted_at=UnixMs(row.accepted_at),
        directly=row.via_amqp,
        conflicts=row.conflicts,
        channel_id=row.channel_id,
        conversation_id=row.conversation_id,
        claimed_at=row.claimed_at,
    )
