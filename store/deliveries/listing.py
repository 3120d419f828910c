"""Deliveries as people see them: lists by any filter, and single ones with their attempts. Reads
only; called by the API and the command line.

A list is read in the order of one index, by time: that of a token, of an event, of what is not
delivered, or of all deliveries. What only the rows know is searched in a bounded number of them
(`store.engine.paging`).
"""

import operator
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import msgspec
import sqlalchemy as sa

from schemas.deliveries.deliveries import Attempt, DeliveryState, Outcome, Trigger
from schemas.deliveries.phases import Phases
from schemas.ids import AttemptId, CallbackId, DeliveryId, EventId, split_delivery_id
from schemas.listings import DeliveryDetail, DeliveryFilter, ListedDelivery, Page
from schemas.times import UnixMs
from store.deliveries.held import is_held, is_not_held
from store.deliveries.listed_rows import SHOWN, shown_deliveries, unrecorded
from store.deliveries.rows import DELIVERY_KEY
from store.engine.database import Connection, Database
from store.engine.paging import Key, Row, after, bounded, end_of_scan, page_by_time
from store.tables import attempts, deliveries, events

Conditions = Iterable[sa.ColumnElement[bool]]

_NEWEST_FIRST = tuple(column.desc() for column in DELIVERY_KEY)
_decode_headers = msgspec.json.Decoder(dict[str, str]).decode


def list_deliveries(
    connection: Connection, criteria: DeliveryFilter, limit: int, cursor: str | None = None
) -> Page[ListedDelivery]:
    """Return a page of the deliveries that the filter shows, newest first.

    With a filter a page may hold fewer than `limit`, even none, and still have a `next_cursor`.
    Raises Invalid for a malformed cursor.
    """
    among = [*by_index(criteria), *after(DELIVERY_KEY, cursor, descending=True)]
    end = end_of_scan(connection, DELIVERY_KEY, among) if list(_filters(criteria)) else None
    rows = connection.execute(page_query(criteria, limit, cursor, end)).all()
    return page_by_time(
        rows, limit, _key_of, lambda shown: shown_deliveries(connection, shown), end
    )


def every_delivery(
    database: Database, criteria: DeliveryFilter, limit: int, first_limit: int | None = None
) -> Iterator[ListedDelivery]:
    """Yield all deliveries that the filter shows, newest first.

    `limit` are read in a transaction, and `first_limit` in the first: a slow reader keeps none
    open.
    """
    cursor, limit_now = None, first_limit or limit
    while True:
        with database.read() as connection:
            page = list_deliveries(connection, criteria, limit_now, cursor)
        limit_now = limit
        rows, cursor = deque(page.rows), page.next_cursor
        del page  # a slow reader keeps no rows that it has read
        while rows:
            yield rows.popleft()
        if cursor is None:
            return


def page_query(
    criteria: DeliveryFilter, limit: int, cursor: str | None, end: Key | None = None
) -> sa.Select[*tuple[object, ...]]:
    """Return the query of a page, down to the key `end`.

    It reads this table alone and in the order of an index, so that it stops when the page is full,
    or at `end`.
    """
    bound = [] if end is None else bounded(DELIVERY_KEY, end, operator.ge)
    conditions = [
        *by_index(criteria),
        *after(DELIVERY_KEY, cursor, descending=True),
        *bound,
        *_filters(criteria),
    ]
    return sa.select(deliveries).where(*conditions).order_by(*_NEWEST_FIRST).limit(limit + 1)


def get_delivery(connection: Connection, delivery_id: DeliveryId) -> DeliveryDetail | None:
    """Return a delivery with its attempts; None: there is none."""
    key = split_delivery_id(delivery_id)
    if key is None:
        return None
    event_id, callback_id = key
    this = sa.and_(deliveries.c.event_id == event_id, deliveries.c.callback_id == callback_id)
    rows = connection.execute(sa.select(deliveries).where(this)).all()
    shown = shown_deliveries(connection, rows) or unrecorded(
        connection, [event_id], rows, only=callback_id
    )
    return DeliveryDetail(shown[0], _attempts(connection, *key)) if shown else None


def get_attempt(
    connection: Connection, event_id: EventId, callback_id: CallbackId, attempt_id: AttemptId
) -> Attempt | None:
    """Return one attempt of a delivery; None: it is not recorded."""
    recorded = _attempts(connection, event_id, callback_id)
    return next((attempt for attempt in recorded if attempt.id == attempt_id), None)


def deliveries_of(
    connection: Connection, event_ids: Sequence[EventId]
) -> dict[EventId, list[ListedDelivery]]:
    """Return the deliveries of these events, at most SHOWN of each, those under way included."""
    if not event_ids:
        return {}
    last_shown = _last_shown(connection, event_ids)
    whole = [event_id for event_id in event_ids if event_id not in last_shown]
    cut = [
        sa.and_(deliveries.c.event_id == event_id, deliveries.c.callback_id <= last)
        for event_id, last in last_shown.items()
    ]
    these = sa.or_(deliveries.c.event_id.in_(whole), *cut)
    rows = connection.execute(sa.select(deliveries).where(these).order_by(*DELIVERY_KEY)).all()
    by_event: dict[EventId, list[ListedDelivery]] = {event_id: [] for event_id in event_ids}
    for delivery in shown_deliveries(connection, rows) + unrecorded(connection, whole, rows):
        by_event[delivery.event_id].append(delivery)
    return {event_id: listed[:SHOWN] for event_id, listed in by_event.items()}


def matching(criteria: DeliveryFilter) -> Conditions:
    """Yield the conditions on a delivery that the filter shows."""
    yield from by_index(criteria)
    yield from _filters(criteria)


def by_index(criteria: DeliveryFilter) -> Conditions:
    """Yield the conditions of the filter that the indexes by time know."""
    if criteria.event is not None:
        yield deliveries.c.event_id == criteria.event
    if criteria.token is not None:
        yield deliveries.c.token_id == criteria.token
    if criteria.since is not None:
        yield deliveries.c.created_at >= criteria.since
    if criteria.until is not None:
        yield deliveries.c.created_at < criteria.until
    if criteria.state is not None and _is_indexed(criteria):
        # a parameter would not let the partial index be used
        yield deliveries.c.state != sa.literal_column("'delivered'")
        yield deliveries.c.state == _stored(criteria.state)


def _filters(criteria: DeliveryFilter) -> Conditions:
    """Yield the conditions of the filter that only the rows know."""
    c = deliveries.c
    equal = (
        (c.type, criteria.type),
        (c.status_code, criteria.status_code),
        (c.outcome, criteria.error),
    )
    yield from (column == value for column, value in equal if value is not None)
    if criteria.state is not None and not _is_indexed(criteria):
        yield c.state == _stored(criteria.state)
    if criteria.state is DeliveryState.HELD:
        yield is_held
    if criteria.state is DeliveryState.PENDING:
        yield is_not_held


def _is_indexed(criteria: DeliveryFilter) -> bool:
    """Whether the index of what is not delivered finds the state. It does not among the deliveries
    of a token or an event, which have their own index.
    """
    return (
        criteria.state is not DeliveryState.DELIVERED
        and criteria.token is None
        and criteria.event is None
    )


def _stored(state: DeliveryState) -> str:
    """Return the state as it is in the column: what is held is pending there."""
    return DeliveryState.PENDING if state is DeliveryState.HELD else state


def _key_of(row: Row) -> Key:
    return row.created_at, row.event_id, row.callback_id


def _last_shown(connection: Connection, event_ids: Sequence[EventId]) -> dict[EventId, str]:
    """Return the last callback to show, of each event that has SHOWN deliveries or more."""
    e, d = events.c, deliveries.c
    last = (
        sa.select(d.callback_id)
        .where(d.event_id == e.id)
        .order_by(d.callback_id)
        .offset(SHOWN - 1)
        .limit(1)
        .scalar_subquery()
    )
    rows = connection.execute(sa.select(e.id, last.label("last")).where(e.id.in_(event_ids)))
    return {EventId(row.id): row.last for row in rows if row.last is not None}


def _attempts(connection: Connection, event_id: EventId, callback_id: CallbackId) -> list[Attempt]:
    this = sa.and_(attempts.c.event_id == event_id, attempts.c.callback_id == callback_id)
    rows = connection.execute(
        sa.select(attempts).where(this).order_by(attempts.c.started_at, attempts.c.id)
    )
    return [_attempt(row) for row in rows]


def _attempt(row: Row) -> Attempt:
    headers = row.response_headers
    return Attempt(
        id=AttemptId(row.id),
        number=row.number,
        trigger=Trigger(row.trigger),
        started_at=UnixMs(row.started_at),
        duration_ms=row.duration_ms,
        outcome=Outcome(row.outcome),
        status_code=row.status_code,
        error=row.error,
        request_headers=_decode_headers(bytes(row.request_headers)),
        response_body=bytes(row.response_body),
        response_headers=None if headers is None else _decode_headers(bytes(headers)),
        address=row.address,
        phases=Phases(row.dns_ms, row.connect_ms, row.tls_ms, row.wait_ms),
    )
