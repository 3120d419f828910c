"""The candidates of a recovery: deliveries that were not delivered. Those that were never made are
found by `store.recoveries.missing`.

They are read along an index, in the order in which they were made, by bounded scans
(`store.recoveries.scanning`). Called by `consumers.maintenance.recovery_runner` in the transaction
of a slice, and by `store.recoveries.counting`. `store.recoveries.reopening` makes them due.
"""

from collections.abc import Iterable, Sequence

import msgspec
import sqlalchemy as sa

from schemas.deliveries.deliveries import DeliveryState
from schemas.deliveries.recoveries import RecoveryQuery
from schemas.events.data import Facts
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
from store.engine.paging import Row
from store.recoveries.scanning import (
    AT_A_TIME,
    CandidatePage,
    Conditions,
    Key,
    after_key,
    end_of_slice,
    facts_of_row,
    up_to,
)
from store.tables import deliveries, events

_PRIMARY_KEY = (deliveries.c.event_id, deliveries.c.callback_id)


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


def undelivered(
    connection: Connection,
    query: RecoveryQuery,
    state: DeliveryState,
    after: Key | None,
    limit: int,
    now: UnixMs,
) -> CandidatePage[Candidate]:
    """Lock and return at most `limit` deliveries of this state after `after`, oldest first."""
    if query.deliveries is None:
        rows, end = _onwards(connection, query, state, after, limit)
    else:
        rows, end = _named(connection, query, state, after, limit), None
    these = _are([(row.event_id, row.callback_id) for row in rows])
    connection.execute(
        bulk.by_key(connection, sa.select(*_PRIMARY_KEY).where(these), *_PRIMARY_KEY)
    ).all()
    # while the locks were waited for, some may have been delivered
    still = (
        sa.select(deliveries, events.c.body)
        .outerjoin(events, events.c.id == deliveries.c.event_id)
        .where(these, *among(query, state), *wanted(query, state))
        .order_by(*DELIVERY_KEY)
    )
    found = [
        _candidate(row, now)
        for row in connection.execute(still.execution_options(yield_per=AT_A_TIME))
    ]
    if len(rows) < limit:
        return CandidatePage(found, end)
    last = rows[-1]
    return CandidatePage(found, (last.created_at, last.event_id, last.callback_id))


def _onwards(
    connection: Connection,
    query: RecoveryQuery,
    state: DeliveryState,
    after: Key | None,
    limit: int,
) -> tuple[Sequence[Row], Key | None]:
    """Return the keys of a slice, and where its scan ended."""
    onwards = [*among(query, state), *after_key(DELIVERY_KEY, after)]
    end = end_of_slice(connection, DELIVERY_KEY, onwards, limit)
    conditions = [*onwards, *up_to(DELIVERY_KEY, end), *wanted(query, state)]
    keys = sa.select(*DELIVERY_KEY).where(*conditions).order_by(*DELIVERY_KEY).limit(limit)
    return connection.execute(keys).all(), end


def _named(
    connection: Connection,
    query: RecoveryQuery,
    state: DeliveryState,
    after: Key | None,
    limit: int,
) -> Sequence[Row]:
    """Return the keys of a slice of the deliveries that the query names.

    They are few, and sorted here: to find them in order, a database might walk past all others.
    """
    keys = sa.select(*DELIVERY_KEY).where(*among(query, state), *wanted(query, state))
    rows = sorted(connection.execute(keys), key=tuple)
    return [row for row in rows if after is None or tuple(row) > tuple(after)][:limit]


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


def among(query: RecoveryQuery, state: DeliveryState) -> Conditions:
    """Return the conditions that an index knows: that of what is not delivered, or the key."""
    keys = query.keys
    if keys is None:
        of_state = DeliveryFilter(state=state, since=query.since, until=query.until)
        return list(by_index(of_state))
    c = deliveries.c
    # the sum keeps SQLite from preferring the index by time
    in_time = (c.created_at + 0 >= query.since, c.created_at + 0 < query.until)
    stored = DeliveryState.PENDING if state is DeliveryState.HELD else state
    return [_are(sorted(keys)), *in_time, c.state == stored]


def _are(keys: Sequence[tuple[str, str]]) -> sa.ColumnElement[bool]:
    """Return the condition that deliveries are those with these keys.

    SQLite finds no pair by an index, so the event is asked for by itself too.
    """
    of_events = deliveries.c.event_id.in_(sorted({event_id for event_id, _ in keys}))
    return sa.and_(of_events, sa.tuple_(*_PRIMARY_KEY).in_(keys))


def wanted(query: RecoveryQuery, state: DeliveryState) -> Conditions:
    """Return the conditions that only the rows know."""
    only_held = [is_held] if state is DeliveryState.HELD else []
    c = deliveries.c
    equal = (
        (c.token_id, query.token),
        (c.type, query.type),
        (c.status_code, query.status_code),
        (c.outcome, query.error),
    )
    given = [column == value for column, value in equal if value is not None]
    return [*only_held, *given, no_test(c.event_id)]


def _candidate(row: Row, now: UnixMs) -> Candidate:
    return Candidate(
        event_id=EventId(row.event_id),
        callback_id=CallbackId(row.callback_id),
        token_id=TokenId(row.token_id),
        type=EventType(row.type),
        created_at=UnixMs(row.created_at),
        facts=facts_of_row(row),
        lease=row.lease,
        in_flight=row.leased and row.due_at is not None and row.due_at > now,
    )


def _status(candidate: Candidate) -> status_locks.Status | None:
    facts = candidate.facts
    if facts is None or not facts.message_id or not facts.status:
        return None
    return candidate.callback_id, facts.message_id, facts.status
