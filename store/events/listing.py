"""Events as people see them, with their deliveries. Reads only; called by the API and the command
line.

A list is read in the order of one index, by time. With a filter a bounded number of events is read
(`store.engine.paging`).
"""

import operator
from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from schemas.events.types import EventType
from schemas.ids import EventId
from schemas.listings import EventFilter, ListedEvent, Page
from schemas.times import UnixMs
from store.deliveries.listing import deliveries_of
from store.engine.database import Connection
from store.engine.paging import Key, Row, after, bounded, end_of_scan, page_by_time
from store.tables import events

EVENT_KEY = (events.c.accepted_at, events.c.id)


def list_events(
    connection: Connection, criteria: EventFilter, limit: int, cursor: str | None = None
) -> Page[ListedEvent]:
    """Return a page of the events that the filter shows, newest first.

    With a filter a page may hold fewer than `limit`, even none, and still have a `next_cursor`.
    Raises Invalid for a malformed cursor.
    """
    among = [*by_index(criteria), *after(EVENT_KEY, cursor, descending=True)]
    end = end_of_scan(connection, EVENT_KEY, among) if list(filters(criteria)) else None
    rows = connection.execute(page_query(criteria, limit, cursor, end)).all()
    return page_by_time(
        rows,
        limit,
        lambda row: (row.accepted_at, row.id),
        lambda shown: _shown(connection, shown),
        end,
    )


def page_query(
    criteria: EventFilter, limit: int, cursor: str | None, end: Key | None = None
) -> sa.Select[*tuple[object, ...]]:
    """Return the query of a page, down to the key `end`.

    It reads in the order of an index, so that it stops when the page is full, or at `end`.
    """
    bound = [] if end is None else bounded(EVENT_KEY, end, operator.ge)
    conditions = [
        *by_index(criteria),
        *after(EVENT_KEY, cursor, descending=True),
        *bound,
        *filters(criteria),
    ]
    return (
        sa.select(events)
        .where(*conditions)
        .order_by(*(column.desc() for column in EVENT_KEY))
        .limit(limit + 1)
    )


def get_event(connection: Connection, event_id: EventId) -> ListedEvent | None:
    """Return an event with its deliveries; None: there is none."""
    rows = connection.execute(sa.select(events).where(events.c.id == event_id)).all()
    return next(iter(_shown(connection, rows)), None)


def by_index(criteria: EventFilter) -> Iterable[sa.ColumnElement[bool]]:
    """Yield the conditions of the filter that the index knows."""
    if criteria.since is not None:
        yield events.c.accepted_at >= criteria.since
    if criteria.until is not None:
        yield events.c.accepted_at < criteria.until


def filters(criteria: EventFilter) -> Iterable[sa.ColumnElement[bool]]:
    """Yield the conditions of the filter that only the rows know."""
    if criteria.type is not None:
        yield events.c.type == criteria.type.value


def _shown(connection: Connection, rows: Sequence[Row]) -> list[ListedEvent]:
    by_event = deliveries_of(connection, [EventId(row.id) for row in rows])
    return [
        ListedEvent(
            id=EventId(row.id),
            type=EventType(row.type),
            timestamp=UnixMs(row.timestamp),
            accepted_at=UnixMs(row.accepted_at),
            directly=row.via_amqp,
            conflicts=row.conflicts,
            body=bytes(row.body),
            deliveries=by_event[EventId(row.id)],
            deliveries_total=max(
                len(by_event[EventId(row.id)]),
                row.callbacks.count(" ") + 1 if row.callbacks else 0,
            ),
        )
        for row in rows
    ]
