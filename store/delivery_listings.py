"""Deliveries as people see them: lists by any filter, one with its attempts. Reads only; called by the API and the command line.

A token's list is read in the order of one index, (token, time, key): what only the rows know is looked for in a bounded number of them.
"""

import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from schemas.deliveries import Attempt, DeliveryState, Outcome, Trigger
from schemas.event_types import EventType
from schemas.ids import AttemptId, CallbackId, DeliveryId, EventId, TokenId, split_delivery_id
from schemas.listings import DeliveryDetail, DeliveryFilter, ListedDelivery, Page
from schemas.times import UnixMs
from store.database import Connection, Database
from store.holding import is_held, is_not_held
from store.paging import Key, Row, after, bounded, page
from store.tables import attempts, callbacks, deliveries, events, tokens

LOOK = 20_000
"""Deliveries of a token that a page with a filter looks at. More: pages that match little take longer. Fewer: more of them hold nothing."""

_KEY = (deliveries.c.created_at, deliveries.c.event_id, deliveries.c.callback_id)
_NEWEST_FIRST = tuple(column.desc() for column in _KEY)
_decode_headers = msgspec.json.Decoder(dict[str, str]).decode


class Owner(msgspec.Struct, frozen=True):
    """What a delivery shows of its callback; `held` says why it holds its open deliveries back, None when it does not."""

    token_id: TokenId
    type: EventType
    url: str
    held: str | None
    held_before: UnixMs | None = None

    def holds(self, since_at: int | None) -> str | None:
        """Why it holds an open delivery whose age counts from then; None when it does not."""
        is_from_before = self.held_before is not None and since_at is not None and since_at < self.held_before
        return self.held or ("kept since the callback came back" if is_from_before else None)


def list_deliveries(connection: Connection, chosen: DeliveryFilter, limit: int, cursor: str | None = None) -> Page[ListedDelivery]:
    """Newest first. A token's page may hold fewer than `limit`, even none, and still have a `next_cursor`. Raises Invalid for a cursor
    that is none."""
    looked_to = _end_of_look(connection, chosen, cursor)
    rows = connection.execute(page_query(chosen, limit, cursor, looked_to)).all()
    return page(rows, limit, _key_of, lambda shown: shown_deliveries(connection, shown), looked_to)


def every_delivery(database: Database, chosen: DeliveryFilter, limit: int) -> Iterator[ListedDelivery]:
    """All of them, newest first, `limit` in a transaction: a slow reader holds none open."""
    cursor = None
    while True:
        with database.read() as connection:
            found = list_deliveries(connection, chosen, limit, cursor)
        yield from found.rows
        cursor = found.next_cursor
        if cursor is None:
            return


def page_query(chosen: DeliveryFilter, limit: int, cursor: str | None, looked_to: Key | None = None) -> sa.Select[Any]:
    """Of this table alone and in the order of an index, so that it stops reading when the page is full, or where it was to stop looking."""
    bound = [] if looked_to is None else bounded(_KEY, looked_to, operator.ge)
    filters = _filters(chosen, by_state=chosen.token is None)
    conditions = [*_among(chosen), *after(_KEY, cursor, descending=True), *bound, *filters]
    return sa.select(deliveries).where(*conditions).order_by(*_NEWEST_FIRST).limit(limit + 1)


def _end_of_look(connection: Connection, chosen: DeliveryFilter, cursor: str | None) -> Key | None:
    """The last row that may be looked at, read off the index alone; None when there are not so many, without a filter, and for the
    deliveries of all tokens. It is found first: rows that come meanwhile then belong to this page or to one before."""
    if chosen.token is None or not list(_filters(chosen)):
        return None
    conditions = [*_among(chosen), *after(_KEY, cursor, descending=True)]
    row = connection.execute(sa.select(*_KEY).where(*conditions).order_by(*_NEWEST_FIRST).offset(LOOK - 1).limit(1)).first()
    return None if row is None else tuple(row)


def _key_of(row: Row) -> Key:
    return row.created_at, row.event_id, row.callback_id


def get_delivery(connection: Connection, delivery_id: DeliveryId) -> DeliveryDetail | None:
    key = split_delivery_id(delivery_id)
    if key is None:
        return None
    this = sa.and_(deliveries.c.event_id == key[0], deliveries.c.callback_id == key[1])
    rows = connection.execute(sa.select(deliveries).where(this)).all()
    found = shown_deliveries(connection, rows) or _unrecorded(connection, [key[0]], rows, only=key[1])
    return DeliveryDetail(found[0], _attempts(connection, *key)) if found else None


def get_attempt(connection: Connection, event_id: EventId, callback_id: CallbackId, attempt_id: AttemptId) -> Attempt | None:
    return next((attempt for attempt in _attempts(connection, event_id, callback_id) if attempt.id == attempt_id), None)


def deliveries_of(connection: Connection, event_ids: Sequence[EventId]) -> dict[EventId, list[ListedDelivery]]:
    """By event. A delivery whose first attempt is still under way has no row yet: it is read off the event's claim."""
    rows = connection.execute(sa.select(deliveries).where(deliveries.c.event_id.in_(event_ids)).order_by(*_KEY)).all()
    by_event: dict[EventId, list[ListedDelivery]] = {event_id: [] for event_id in event_ids}
    for one in shown_deliveries(connection, rows) + _unrecorded(connection, event_ids, rows):
        by_event[one.event_id].append(one)
    return by_event


def shown_deliveries(connection: Connection, rows: Sequence[Row]) -> list[ListedDelivery]:
    owners = _owners(connection, {row.callback_id for row in rows})
    return [_delivery(row, owners.get(row.callback_id)) for row in rows]


def matching(chosen: DeliveryFilter) -> Iterable[sa.ColumnElement[bool]]:
    """What a delivery that the filter shows fulfils."""
    yield from _among(chosen)
    yield from _filters(chosen)


def _among(chosen: DeliveryFilter) -> Iterable[sa.ColumnElement[bool]]:
    """What the indexes by time know."""
    if chosen.token is not None:
        yield deliveries.c.token_id == chosen.token
    if chosen.since is not None:
        yield deliveries.c.created_at >= chosen.since
    if chosen.until is not None:
        yield deliveries.c.created_at < chosen.until


def _filters(chosen: DeliveryFilter, *, by_state: bool = True) -> Iterable[sa.ColumnElement[bool]]:
    """What only the rows know, but for the state: `by_state` lets it be found by the index of what is not delivered."""
    c = deliveries.c
    equal = ((c.type, chosen.type), (c.status_code, chosen.status_code), (c.outcome, chosen.error))
    yield from (column == value for column, value in equal if value is not None)
    if chosen.state is not None:
        yield from _state_conditions(chosen.state, by_state=by_state)


def _state_conditions(state: DeliveryState, *, by_state: bool) -> Iterable[sa.ColumnElement[bool]]:
    if state is DeliveryState.DELIVERED:
        yield deliveries.c.state == state.value
        return
    if by_state:
        yield deliveries.c.state != sa.literal_column("'delivered'")  # a parameter would not let the partial index be used
    if state is DeliveryState.HELD:
        yield is_held
    if state is DeliveryState.PENDING:
        yield is_not_held
    yield deliveries.c.state == (DeliveryState.PENDING.value if state is DeliveryState.HELD else state.value)


def _owners(connection: Connection, callback_ids: Iterable[str]) -> dict[str, Owner]:
    statement = (
        sa.select(callbacks, tokens.c.enabled.label("token_enabled"))
        .join(tokens, tokens.c.id == callbacks.c.token_id)
        .where(callbacks.c.id.in_(sorted(callback_ids)))
    )
    return {row.id: Owner(row.token_id, EventType(row.type), row.url, _held(row), row.held_before) for row in connection.execute(statement)}


def _held(row: Row) -> str | None:
    if not row.enabled:
        return "callback off"
    if row.disabled_at is not None:
        return f"callback disabled: {row.disabled_reason}"
    return None if row.token_enabled else "token suspended"


def _delivery(row: Row, owner: Owner | None) -> ListedDelivery:
    held = owner.holds(row.since_at) if owner and row.due_at is not None else None
    return ListedDelivery(
        event_id=EventId(row.event_id),
        callback_id=CallbackId(row.callback_id),
        token_id=TokenId(row.token_id),
        url=owner.url if owner else None,
        type=EventType(row.type),
        state=DeliveryState.HELD if held else DeliveryState(row.state),
        reason=held or row.reason,
        next_attempt_at=None if held or row.leased else row.due_at,
        created_at=UnixMs(row.created_at),
        status_code=row.status_code,
        outcome=Outcome(row.outcome) if row.outcome else None,
    )


def _unrecorded(
    connection: Connection, event_ids: Sequence[EventId], rows: Sequence[Row], only: CallbackId | None = None
) -> list[ListedDelivery]:
    """Of one callback, or of all: an event may have very many."""
    recorded = {(row.event_id, row.callback_id) for row in rows}
    statement = sa.select(events.c.id, events.c.accepted_at, events.c.callbacks).where(events.c.id.in_(event_ids))
    missing = [
        (row, callback_id)
        for row in connection.execute(statement).all()
        for callback_id in row.callbacks.split()
        if (row.id, callback_id) not in recorded and only in (None, callback_id)
    ]
    owners = _owners(connection, {callback_id for _, callback_id in missing})
    return [_under_way(row, callback_id, owners[callback_id]) for row, callback_id in missing if callback_id in owners]


def _under_way(row: sa.Row[str, int, str], callback_id: str, owner: Owner) -> ListedDelivery:
    return ListedDelivery(
        event_id=EventId(row.id),
        callback_id=CallbackId(callback_id),
        token_id=owner.token_id,
        url=owner.url,
        type=owner.type,
        state=DeliveryState.PENDING,
        reason=None,
        next_attempt_at=None,
        created_at=UnixMs(row.accepted_at),
    )


def _attempts(connection: Connection, event_id: EventId, callback_id: CallbackId) -> list[Attempt]:
    this = sa.and_(attempts.c.event_id == event_id, attempts.c.callback_id == callback_id)
    rows = connection.execute(sa.select(attempts).where(this).order_by(attempts.c.started_at, attempts.c.id))
    return [_attempt(row) for row in rows]


def _attempt(row: Row) -> Attempt:
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
    )
