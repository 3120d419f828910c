"""Events as people see them, with their deliveries. Reads only; called by the API and the command line."""

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from schemas.event_types import EventType
from schemas.ids import EventId
from schemas.listings import EventFilter, ListedEvent, Page
from schemas.times import UnixMs
from store.database import Connection
from store.delivery_listings import deliveries_of
from store.paging import Row, after, page
from store.tables import events

_KEY = (events.c.accepted_at, events.c.id)


def list_events(connection: Connection, chosen: EventFilter, limit: int, cursor: str | None = None) -> Page[ListedEvent]:
    """Newest first. Raises Invalid for a cursor that is none."""
    rows = connection.execute(page_query(chosen, limit, cursor)).all()
    return page(rows, limit, lambda row: (row.accepted_at, row.id), lambda shown: _shown(connection, shown))


def page_query(chosen: EventFilter, limit: int, cursor: str | None) -> sa.Select[Any]:
    """In the order of an index, so that it stops reading when the page is full."""
    conditions = [*_conditions(chosen), *after(_KEY, cursor, descending=True)]
    return sa.select(events).where(*conditions).order_by(*(column.desc() for column in _KEY)).limit(limit + 1)


def get_event(connection: Connection, event_id: EventId) -> ListedEvent | None:
    found = _shown(connection, connection.execute(sa.select(events).where(events.c.id == event_id)).all())
    return found[0] if found else None


def _conditions(chosen: EventFilter) -> Iterable[sa.ColumnElement[bool]]:
    if chosen.type is not None:
        yield events.c.type == chosen.type.value
    if chosen.since is not None:
        yield events.c.accepted_at >= chosen.since
    if chosen.until is not None:
        yield events.c.accepted_at < chosen.until


def _shown(connection: Connection, rows: Sequence[Row]) -> list[ListedEvent]:
    deliveries = deliveries_of(connection, [EventId(row.id) for row in rows])
    return [
        ListedEvent(
            id=EventId(row.id),
            type=EventType(row.type),
            timestamp=UnixMs(row.timestamp),
            accepted_at=UnixMs(row.accepted_at),
            directly=row.directly,
            conflicts=row.conflicts,
            body=bytes(row.body),
            deliveries=deliveries[EventId(row.id)],
        )
        for row in rows
    ]
