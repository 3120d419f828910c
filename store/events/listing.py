"""Events as people see them, with their deliveries. Reads only; called by the API and the command
line.

A list is read in the order of one index, by time; with a filter it looks at a bounded number of
events (`store.engine.paging`).
"""

import operator
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from schemas.events.types import EventType
from schemas.ids import EventId
from schemas.listings import EventFilter, ListedEvent, Page
from schemas.times import UnixMs
from store.deliveries.listing import deliveries_of
from store.engine.database import Connection
from store.engine.paging import Key, Row, after, bounded, end_of_look, page_by_time
from store.tables import events

_KEY = (events.c.accepted_at, events.c.id)


def list_events(
    connection: Connection, chosen: EventFilter, limit: int, cursor: str | None = None
) -> Page[ListedEvent]:
    """Newest first. With a filter a page may hold fewer than `limit`, even none, and still have a
    `next_cursor`. Raises Invalid for a cursor that is none.
    """
    among = [*_among(chosen), *after(_KEY, cursor, descending=True)]
    looked_to = end_of_look(connection, _KEY, among) if list(_filters(chosen)) else None
    rows = connection.execute(page_query(chosen, limit, cursor, looked_to)).all()
    return page_by_time(
        rows,
        limit,
        lambda row: (row.accepted_at, row.id),
        lambda shown: _shown(connection, shown),
        looked_to,
    )


def page_query(
    chosen: EventFilter, limit: int, cursor: str | None, looked_to: Key | None = None
) -> sa.Select[Any]:
    """In the order of an index, so that it stops reading when the page is full, or where it was to
    stop looking.
    """
    bound = [] if looked_to is None else bounded(_KEY, looked_to, operator.ge)
    conditions = [*_among(chosen), *after(_KEY, cursor, descending=True), *bound, *_filters(chosen)]
    return (
        sa.select(events)
        .where(*conditions)
        .order_by(*(column.desc() for column in _KEY))
        .limit(limit + 1)
    )


def get_event(connection: Connection, event_id: EventId) -> ListedEvent | None:
    found = _shown(
        connection, connection.execute(sa.select(events).where(events.c.id == event_id)).all()
    )
    return found[0] if found else None


def _among(chosen: EventFilter) -> Iterable[sa.ColumnElement[bool]]:
    """What the index knows."""
    if chosen.since is not None:
        yield events.c.accepted_at >= chosen.since
    if chosen.until is not None:
        yield events.c.accepted_at < chosen.until


def _filters(chosen: EventFilter) -> Iterable[sa.ColumnElement[bool]]:
    """What only the rows know."""
    if chosen.type is not None:
        yield events.c.type == chosen.type.value


def _shown(connection: Connection, rows: Sequence[Row]) -> list[ListedEvent]:
    found = deliveries_of(connection, [EventId(row.id) for row in rows])
    return [
        ListedEvent(
            id=EventId(row.id),
            type=EventType(row.type),
            timestamp=UnixMs(row.timestamp),
            accepted_at=UnixMs(row.accepted_at),
            directly=row.via_amqp,
            conflicts=row.conflicts,
            body=bytes(row.body),
            deliveries=found[EventId(row.id)],
            deliveries_total=max(
                len(found[EventId(row.id)]), row.callbacks.count(" ") + 1 if row.callbacks else 0
            ),
        )
        for row in rows
    ]
