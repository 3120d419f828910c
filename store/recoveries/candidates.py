"""The candidates of a recovery: deliveries that were not delivered, and events that had none.

They are read along an index, in the order in which they were made. What is wanted may be rare in
it. So a query is bounded by the rows it passes over, not only by those it returns, and says where
it ended. Called by `consumers.maintenance.recovery_runner` in the transaction of a slice, and by
`store.recoveries.jobs` to count. `store.recoveries.reopening` makes them due.
"""

import operator
from collections.abc import Iterable, Sequence
from typing import Generic, TypeAlias, TypeVar

import msgspec
import sqlalchemy as sa

from schemas.deliveries.deliveries import DeliveryState
from schemas.deliveries.recoveries import RecoveryQuery
from schemas.events.data import Facts
from schemas.events.stored_bodies import stored_facts
from schemas.events.types import EventType
from schemas.ids import CallbackId, EventId, TokenId
from schemas.listings import DeliveryFilter
from schemas.times import UnixMs
from store.deliveries import status_locks
from store.deliveries.held import is_held
from store.deliveries.listing import by_index
from store.deliveries.rows import DELIVERY_KEY
from store.deliveries.samples import no_test
from store.engine import bulk
from store.engine.database import Connection
from store.engine.paging import Row, bounded
from store.tables import deliveries, events

Key: TypeAlias = tuple[int, str, str]
"""When it was made, the event, the callback: the order in which deliveries are recovered. The
callback of an event's key is empty.
"""

Columns: TypeAlias = Sequence[sa.ColumnElement[int] | sa.ColumnElement[str]]
Conditions: TypeAlias = list[sa.ColumnElement[bool]]

READ_PER_ROW = 20
"""Rows that a slice reads for each that it may return. More: one takes longer. Fewer: what is rare
takes more of them.
"""

COUNTED = 100_000
"""Rows that are read to count the candidates. More: creating a recovery takes longer. Fewer: less
of a great recovery is known before.
"""

T = TypeVar("T")

_PRIMARY_KEY = (deliveries.c.event_id, deliveries.c.callback_id)
_EVENT_KEY = (events.c.accepted_at, events.c.id)

_AT_A_TIME = 32
"""Rows that the driver holds at once: each comes with the event's whole body, of which only the
facts are kept. More: more memory. Fewer: more round trips.
"""


class Candidate(msgspec.Struct, frozen=True):
    """A delivery that may be made due."""

    event_id: EventId
    callback_id: CallbackId
    token_id: TokenId
    type: EventType
    created_at: UnixMs
    facts: Facts | None
    """What its event says; None: the event is deleted (`RETENTION`) or cannot be read."""
    lease: int = -1
    """The lease number of its row; -1: it has no row yet."""
    in_flight: bool = False
    """Whether an attempt is under way, whose outcome will be written."""

    @property
    def key(self) -> Key:
        """Its position in the order in which deliveries are recovered."""
        return self.created_at, self.event_id, self.callback_id


class CandidatePage(msgspec.Struct, Generic[T], frozen=True):
    """The candidates of a slice."""

    found: list[T]
    """The candidates, in their order."""
    following: Key | None
    """The row after which the next slice begins; None: this was all."""


class StoredEvent(msgspec.Struct, frozen=True):
    """An event whose deliveries may be missing."""

    id: EventId
    type: EventType
    accepted_at: UnixMs
    channel_id: str
    facts: Facts | None
    """What it says; None: it cannot be read."""
    callback_ids: frozenset[str]
    """The callbacks that it has deliveries for, or is about to have."""

    @property
    def key(self) -> Key:
        """Its position in the order in which events are recovered."""
        return self.accepted_at, self.id, ""


def count(connection: Connection, query: RecoveryQuery, state: DeliveryState) -> int:
    """Return how many deliveries of this state are candidates, among the first COUNTED rows."""
    among = _among(query, state)
    end = _end(connection, DELIVERY_KEY, among, COUNTED)
    wanted = [*among, *_up_to(DELIVERY_KEY, end), *_wanted(query, state)]
    return connection.scalar(sa.select(sa.func.count()).select_from(deliveries).where(*wanted)) or 0


def undelivered(
    connection: Connection,
    query: RecoveryQuery,
    state: DeliveryState,
    after: Key | None,
    limit: int,
    now: UnixMs,
) -> CandidatePage[Candidate]:
    """Lock and return at most `limit` deliveries of this state after `after`, oldest first."""
    among = [*_among(query, state), *_after(DELIVERY_KEY, after)]
    end = _end(connection, DELIVERY_KEY, among, limit * READ_PER_ROW)
    wanted = [*among, *_up_to(DELIVERY_KEY, end), *_wanted(query, state)]
    keys = sa.select(*DELIVERY_KEY).where(*wanted).order_by(*DELIVERY_KEY).limit(limit)
    rows = connection.execute(keys).all()
    these = sa.tuple_(*_PRIMARY_KEY).in_([(row.event_id, row.callback_id) for row in rows])
    connection.execute(
        bulk.by_key(connection, sa.select(*_PRIMARY_KEY).where(these), *_PRIMARY_KEY)
    ).all()
    # while the locks were waited for, some may have been delivered
    still = (
        sa.select(deliveries, events.c.body)
        .outerjoin(events, events.c.id == deliveries.c.event_id)
        .where(these, *_among(query, state), *_wanted(query, state))
        .order_by(*DELIVERY_KEY)
    )
    found = [
        _candidate(row, now)
        for row in connection.execute(still.execution_options(yield_per=_AT_A_TIME))
    ]
    if len(rows) < limit:
        return CandidatePage(found, end)
    last = rows[-1]
    return CandidatePage(found, (last.created_at, last.event_id, last.callback_id))


def stored_events(
    connection: Connection, query: RecoveryQuery, after: Key | None, limit: int
) -> CandidatePage[StoredEvent]:
    """Return at most `limit` events of the query's time after `after`, oldest first, whether or not
    any of their deliveries is missing.
    """
    among = [
        events.c.accepted_at >= query.since,
        events.c.accepted_at < query.until,
        *_after(_EVENT_KEY, after and after[:2]),
    ]
    end = _end(connection, _EVENT_KEY, among, limit * READ_PER_ROW)
    conditions = [*among, *_up_to(_EVENT_KEY, end and end[:2]), no_test(events.c.id)]
    if query.type is not None:
        conditions.append(events.c.type == query.type.value)
    statement = sa.select(events).where(*conditions).order_by(*_EVENT_KEY).limit(limit)
    stored = [
        _stored_event(row)
        for row in connection.execute(statement.execution_options(yield_per=_AT_A_TIME))
    ]
    recorded = _recorded(connection, [event.id for event in stored])
    found = [
        msgspec.structs.replace(
            event, callback_ids=event.callback_ids | recorded.get(event.id, set())
        )
        for event in stored
    ]
    return CandidatePage(found, found[-1].key if len(found) == limit else end)


def stale(connection: Connection, candidates: Sequence[Candidate]) -> set[Key]:
    """Return the keys of candidates that report a status below one of the same message that was
    sent already: they are never sent (docs/invariants.md#statuses-never-go-backwards).
    """
    statuses = {one.key: status for one in candidates if (status := _status(one)) is not None}
    overtaken = status_locks.overtaken_among(connection, set(statuses.values())) if statuses else ()
    return {key for key, status in statuses.items() if status in overtaken}


def still_stored(connection: Connection, candidates: Iterable[Candidate]) -> set[str]:
    """Return the events of candidates that retention is not deleting, and keep them until the
    commit.

    Retention is not waited for: it may wait for one of the deliveries that this transaction has
    locked.
    """
    these = events.c.id.in_({one.event_id for one in candidates})
    return set(
        connection.scalars(
            sa.select(events.c.id)
            .where(these)
            .with_for_update(read=True, key_share=True, skip_locked=True)
        )
    )


def _among(query: RecoveryQuery, state: DeliveryState) -> Conditions:
    """Return the conditions that the index of what is not delivered knows."""
    return list(by_index(DeliveryFilter(state=state, since=query.since, until=query.until)))


def _wanted(query: RecoveryQuery, state: DeliveryState) -> Conditions:
    """Return the conditions that only the rows know."""
    only_held = [is_held] if state is DeliveryState.HELD else []
    of_token = [] if query.token is None else [deliveries.c.token_id == query.token]
    of_type = [] if query.type is None else [deliveries.c.type == query.type.value]
    return [*only_held, *of_token, *of_type, no_test(deliveries.c.event_id)]


def _after(columns: Columns, key: Sequence[int | str] | None) -> Conditions:
    return [] if key is None else bounded(columns, key, operator.gt)


def _up_to(columns: Columns, end: Sequence[int | str] | None) -> Conditions:
    return [] if end is None else bounded(columns, end, operator.le)


def _end(connection: Connection, columns: Columns, among: Conditions, most: int) -> Key | None:
    """Return the key of the last of `most` rows, read from the index; None: there are fewer."""
    row: Row | None = connection.execute(
        sa.select(*columns).where(*among).order_by(*columns).offset(most - 1).limit(1)
    ).first()
    return None if row is None else (row[0], row[1], row[2] if len(row) > 2 else "")


def _recorded(connection: Connection, event_ids: Sequence[str]) -> dict[str, set[str]]:
    """Return the callbacks that these events have delivery rows for."""
    recorded: dict[str, set[str]] = {}
    rows = sa.select(deliveries.c.event_id, deliveries.c.callback_id).where(
        deliveries.c.event_id.in_(event_ids)
    )
    for row in connection.execute(rows):
        recorded.setdefault(row.event_id, set()).add(row.callback_id)
    return recorded


def _stored_event(row: Row) -> StoredEvent:
    return StoredEvent(
        id=EventId(row.id),
        type=EventType(row.type),
        accepted_at=UnixMs(row.accepted_at),
        channel_id=row.channel_id,
        facts=_facts(row),
        callback_ids=frozenset(row.callbacks.split()),
    )


def _candidate(row: Row, now: UnixMs) -> Candidate:
    return Candidate(
        event_id=EventId(row.event_id),
        callback_id=CallbackId(row.callback_id),
        token_id=TokenId(row.token_id),
        type=EventType(row.type),
        created_at=UnixMs(row.created_at),
        facts=_facts(row),
        lease=row.lease,
        in_flight=row.leased and row.due_at is not None and row.due_at > now,
    )


def _status(candidate: Candidate) -> status_locks.Status | None:
    facts = candidate.facts
    if facts is None or not facts.message_id or not facts.status:
        return None
    return candidate.callback_id, facts.message_id, facts.status


def _facts(row: Row) -> Facts | None:
    """Return what an event says; None when it cannot be read: that must not end the recovery of all
    others.
    """
    return None if row.body is None else stored_facts(row.type, bytes(row.body))
