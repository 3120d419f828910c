"""Deliveries as people see them: lists by any filter, one with its attempts. Reads only; called by
the API and the command line.

A list is read in the order of one index, by time: a token's, an event's, that of what is not
delivered, or everybody's. What only the rows know is looked for in a bounded number of them
(`store.engine.paging`).
"""

import operator
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec
import sqlalchemy as sa

from schemas.deliveries.callback_health import believed
from schemas.deliveries.deliveries import Attempt, DeliveryState, Outcome, Trigger
from schemas.events.types import EventType
from schemas.ids import AttemptId, CallbackId, DeliveryId, EventId, TokenId, split_delivery_id
from schemas.listings import DeliveryDetail, DeliveryFilter, ListedDelivery, Page
from schemas.times import UnixMs, now_ms, to_rfc3339
from store.deliveries.held import is_held, is_not_held
from store.engine.database import Connection, Database
from store.engine.paging import Key, Row, after, bounded, end_of_look, page_by_time
from store.tables import attempts, callbacks, deliveries, events, tokens

SHOWN = 100
"""Deliveries that are shown with their event. More: longer answers, of events for very many
callbacks. Fewer: more of them have to be asked for by themselves.
"""

_KEY = (deliveries.c.created_at, deliveries.c.event_id, deliveries.c.callback_id)
_NEWEST_FIRST = tuple(column.desc() for column in _KEY)
_decode_headers = msgspec.json.Decoder(dict[str, str]).decode


class Owner(msgspec.Struct, frozen=True):
    """What a delivery shows of its callback; `held` says why it holds its open deliveries back,
    None when it does not. `throttled_until`: when they come, as its receiver asked; None when it
    did not, or that has passed.
    """

    token_id: TokenId
    type: EventType
    url: str
    held: str | None
    held_before: UnixMs | None = None
    throttled_until: UnixMs | None = None

    def holds(self, queued_at: int | None) -> str | None:
        """Why it holds an open delivery whose age counts from then; None when it does not."""
        is_from_before = (
            self.held_before is not None and queued_at is not None and queued_at < self.held_before
        )
        return self.held or ("kept since the callback came back" if is_from_before else None)


def list_deliveries(
    connection: Connection, chosen: DeliveryFilter, limit: int, cursor: str | None = None
) -> Page[ListedDelivery]:
    """Newest first. With a filter a page may hold fewer than `limit`, even none, and still have a
    `next_cursor`. Raises Invalid for a cursor that is none.
    """
    among = [*by_index(chosen), *after(_KEY, cursor, descending=True)]
    looked_to = end_of_look(connection, _KEY, among) if list(_filters(chosen)) else None
    rows = connection.execute(page_query(chosen, limit, cursor, looked_to)).all()
    return page_by_time(
        rows, limit, _key_of, lambda shown: shown_deliveries(connection, shown), looked_to
    )


def every_delivery(
    database: Database, chosen: DeliveryFilter, limit: int
) -> Iterator[ListedDelivery]:
    """All of them, newest first, `limit` in a transaction: a slow reader holds none open."""
    cursor = None
    while True:
        with database.read() as connection:
            found = list_deliveries(connection, chosen, limit, cursor)
        yield from found.rows
        cursor = found.next_cursor
        if cursor is None:
            return


def page_query(
    chosen: DeliveryFilter, limit: int, cursor: str | None, looked_to: Key | None = None
) -> sa.Select[Any]:
    """Of this table alone and in the order of an index, so that it stops reading when the page is
    full, or where it was to stop looking.
    """
    bound = [] if looked_to is None else bounded(_KEY, looked_to, operator.ge)
    conditions = [
        *by_index(chosen),
        *after(_KEY, cursor, descending=True),
        *bound,
        *_filters(chosen),
    ]
    return sa.select(deliveries).where(*conditions).order_by(*_NEWEST_FIRST).limit(limit + 1)


def _key_of(row: Row) -> Key:
    return row.created_at, row.event_id, row.callback_id


def get_delivery(connection: Connection, delivery_id: DeliveryId) -> DeliveryDetail | None:
    key = split_delivery_id(delivery_id)
    if key is None:
        return None
    this = sa.and_(deliveries.c.event_id == key[0], deliveries.c.callback_id == key[1])
    rows = connection.execute(sa.select(deliveries).where(this)).all()
    found = shown_deliveries(connection, rows) or _unrecorded(
        connection, [key[0]], rows, only=key[1]
    )
    return DeliveryDetail(found[0], _attempts(connection, *key)) if found else None


def get_attempt(
    connection: Connection, event_id: EventId, callback_id: CallbackId, attempt_id: AttemptId
) -> Attempt | None:
    return next(
        (
            attempt
            for attempt in _attempts(connection, event_id, callback_id)
            if attempt.id == attempt_id
        ),
        None,
    )


def deliveries_of(
    connection: Connection, event_ids: Sequence[EventId]
) -> dict[EventId, list[ListedDelivery]]:
    """By event, at most SHOWN of each. A delivery whose first attempt is still under way has no row
    yet: it is read off the event's claim.
    """
    if not event_ids:
        return {}
    cut = _cut(connection, event_ids)
    whole = [event_id for event_id in event_ids if event_id not in cut]
    these = [
        sa.and_(deliveries.c.event_id == event_id, deliveries.c.callback_id <= last)
        for event_id, last in cut.items()
    ]
    chosen = sa.or_(deliveries.c.event_id.in_(whole), *these)
    rows = connection.execute(sa.select(deliveries).where(chosen).order_by(*_KEY)).all()
    by_event: dict[EventId, list[ListedDelivery]] = {event_id: [] for event_id in event_ids}
    for one in shown_deliveries(connection, rows) + _unrecorded(connection, whole, rows):
        by_event[one.event_id].append(one)
    return {event_id: found[:SHOWN] for event_id, found in by_event.items()}


def _cut(connection: Connection, event_ids: Sequence[EventId]) -> dict[EventId, str]:
    """The events with as many deliveries as are shown, or more, and the callback of the last that
    is.
    """
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


def shown_deliveries(connection: Connection, rows: Sequence[Row]) -> list[ListedDelivery]:
    owners = _owners(connection, {row.callback_id for row in rows})
    return [_delivery(row, owners.get(row.callback_id)) for row in rows]


def matching(chosen: DeliveryFilter) -> Iterable[sa.ColumnElement[bool]]:
    """What a delivery that the filter shows fulfils."""
    yield from by_index(chosen)
    yield from _filters(chosen)


def by_index(chosen: DeliveryFilter) -> Iterable[sa.ColumnElement[bool]]:
    """What the indexes by time know."""
    if chosen.event is not None:
        yield deliveries.c.event_id == chosen.event
    if chosen.token is not None:
        yield deliveries.c.token_id == chosen.token
    if chosen.since is not None:
        yield deliveries.c.created_at >= chosen.since
    if chosen.until is not None:
        yield deliveries.c.created_at < chosen.until
    if chosen.state is not None and _is_indexed(chosen):
        yield deliveries.c.state != sa.literal_column(
            "'delivered'"
        )  # a parameter would not let the partial index be used
        yield deliveries.c.state == _stored(chosen.state)


def _filters(chosen: DeliveryFilter) -> Iterable[sa.ColumnElement[bool]]:
    """What only the rows know."""
    c = deliveries.c
    equal = ((c.type, chosen.type), (c.status_code, chosen.status_code), (c.outcome, chosen.error))
    yield from (column == value for column, value in equal if value is not None)
    if chosen.state is not None and not _is_indexed(chosen):
        yield c.state == _stored(chosen.state)
    if chosen.state is DeliveryState.HELD:
        yield is_held
    if chosen.state is DeliveryState.PENDING:
        yield is_not_held


def _is_indexed(chosen: DeliveryFilter) -> bool:
    """Whether the state is found by the index of what is not delivered: but not among a token's or
    an event's, which have their own.
    """
    return (
        chosen.state is not DeliveryState.DELIVERED
        and chosen.token is None
        and chosen.event is None
    )


def _stored(state: DeliveryState) -> str:
    """As a column: what is held is pending there."""
    return DeliveryState.PENDING if state is DeliveryState.HELD else state


def _owners(connection: Connection, callback_ids: Iterable[str]) -> dict[str, Owner]:
    statement = (
        sa.select(callbacks, tokens.c.enabled.label("token_enabled"))
        .join(tokens, tokens.c.id == callbacks.c.token_id)
        .where(callbacks.c.id.in_(sorted(callback_ids)))
    )
    now = now_ms()
    return {row.id: _owner(row, now) for row in connection.execute(statement)}


def _owner(row: Row, now: UnixMs) -> Owner:
    until = believed(row.throttled_until, now)
    put_off = until if until is not None and until > now else None
    return Owner(row.token_id, EventType(row.type), row.url, _held(row), row.held_before, put_off)


def _held(row: Row) -> str | None:
    if not row.enabled:
        return "callback off"
    if row.disabled_at is not None:
        return f"callback disabled: {row.disabled_reason}"
    return None if row.token_enabled else "token suspended"


def _delivery(row: Row, owner: Owner | None) -> ListedDelivery:
    held = owner.holds(row.queued_at) if owner and row.due_at is not None else None
    put_off = (
        owner.throttled_until
        if owner and row.due_at is not None and not (held or row.leased)
        else None
    )
    return ListedDelivery(
        event_id=EventId(row.event_id),
        callback_id=CallbackId(row.callback_id),
        token_id=TokenId(row.token_id),
        url=owner.url if owner else None,
        type=EventType(row.type),
        state=DeliveryState.HELD if held else DeliveryState(row.state),
        reason=held
        or row.reason
        or (f"its receiver asked to wait until {to_rfc3339(put_off)}" if put_off else None),
        next_attempt_at=None
        if held or row.leased
        else max(row.due_at, put_off)
        if put_off
        else row.due_at,
        created_at=UnixMs(row.created_at),
        status_code=row.status_code,
        outcome=Outcome(row.outcome) if row.outcome else None,
    )


def _unrecorded(
    connection: Connection,
    event_ids: Sequence[EventId],
    rows: Sequence[Row],
    only: CallbackId | None = None,
) -> list[ListedDelivery]:
    """Of one callback, or the first of all: an event may have very many."""
    recorded = {(row.event_id, row.callback_id) for row in rows}
    statement = sa.select(events.c.id, events.c.accepted_at, events.c.callbacks).where(
        events.c.id.in_(event_ids)
    )
    missing = []
    for row in connection.execute(statement).all():
        wanted = (
            one
            for one in row.callbacks.split()
            if (row.id, one) not in recorded and only in (None, one)
        )
        missing += [(row, callback_id) for callback_id in islice(wanted, SHOWN)]
    owners = _owners(connection, {callback_id for _, callback_id in missing})
    return [
        _under_way(row, callback_id, owners[callback_id])
        for row, callback_id in missing
        if callback_id in owners
    ]


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
    rows = connection.execute(
        sa.select(attempts).where(this).order_by(attempts.c.started_at, attempts.c.id)
    )
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
