"""The rows of a recovery: deliveries that were not delivered, events that had none, and how they
are made due.

They are read along an index, in the order in which they were made. What is wanted may be rare in
it: so a look is bounded by what it passes over, not only by what it finds, and says where it ended.

Called by `consumers.maintenance.recovery_runner` in the transaction of a slice, and by
`store.recoveries.jobs` to count.
"""

import operator
from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec
import sqlalchemy as sa

from schemas.deliveries.deliveries import DeliveryState, Move, next_state
from schemas.deliveries.recoveries import RecoveryQuery
from schemas.events.data import Facts
from schemas.events.types import EventType
from schemas.ids import CallbackId, EventId, TokenId
from schemas.listings import DeliveryFilter
from schemas.stored_values import stored_facts
from schemas.times import UnixMs
from store.deliveries import status_locks
from store.deliveries.held import is_held
from store.deliveries.listing import by_index
from store.deliveries.samples import no_test
from store.engine import bulk
from store.engine.database import Connection
from store.engine.paging import Row, bounded
from store.tables import deliveries, events

Key: TypeAlias = tuple[int, str, str]
"""When it was made, the event, the callback: the order in which deliveries are worked through. Of
events without the last.
"""

Columns: TypeAlias = Sequence[sa.ColumnElement[Any]]
Conditions: TypeAlias = Sequence[sa.ColumnElement[bool]]

LOOKED_AT = 20
"""Rows that a slice looks at for each that it may find. More: one takes longer. Fewer: what is rare
takes more of them.
"""

COUNTED = 100_000
"""Rows that are looked at to count what there is. More: who asks waits longer. Fewer: of a great
recovery less is known before.
"""

T = TypeVar("T")

_DELIVERY_KEY = (deliveries.c.created_at, deliveries.c.event_id, deliveries.c.callback_id)
_PRIMARY_KEY = (deliveries.c.event_id, deliveries.c.callback_id)
_EVENT_KEY = (events.c.accepted_at, events.c.id)
_AT_A_TIME = 32
"""Rows that the driver holds at once: each comes with the event's whole body, of which only the
facts are kept. More: more memory. Fewer: more round trips.
"""


_DUE = (
    "due_at",
    "leased",
    "lease",
    "failures",
    "is_retry",
    "lease_count",
    "is_recovery",
    "sequence",
    "queued_at",
)
_FACTS = ("conversation_id", "message_id", "status", "awaits_status")
_REOPENED = bulk.Upsert(
    ("state", "reason", *_DUE, *_FACTS), deliveries.c.state != DeliveryState.DELIVERED.value
)
_OPEN = next_state(DeliveryState.EXHAUSTED, Move.REOPENED)


class Lost(msgspec.Struct, frozen=True):
    """A delivery to be made due. `lease` is its row's, -1 when it has none yet; `facts` are None
    when its event is gone (`RETENTION`) or cannot be read; `in_flight`: an attempt is under way,
    and its outcome will be written.
    """

    event_id: EventId
    callback_id: CallbackId
    token_id: TokenId
    type: EventType
    created_at: UnixMs
    facts: Facts | None
    lease: int = -1
    in_flight: bool = False

    @property
    def key(self) -> Key:
        return self.created_at, self.event_id, self.callback_id


class CandidatePage(msgspec.Struct, Generic[T], frozen=True):
    """What was found, in order; and behind which row the next look begins. None: that was all."""

    found: list[T]
    following: Key | None


class StoredEvent(msgspec.Struct, frozen=True):
    """An event and the callbacks that it has deliveries for, or is about to have."""

    id: EventId
    type: EventType
    accepted_at: UnixMs
    channel_id: str
    facts: Facts | None
    callback_ids: frozenset[str]

    @property
    def key(self) -> Key:
        return self.accepted_at, self.id, ""


def count(connection: Connection, query: RecoveryQuery, state: DeliveryState) -> int:
    """How many deliveries of this state there are to recover, among the first COUNTED that may be.
    """
    among = _among(query, state)
    end = _end(connection, _DELIVERY_KEY, among, COUNTED)
    wanted = [*among, *_up_to(_DELIVERY_KEY, end), *_wanted(query, state)]
    return connection.scalar(sa.select(sa.func.count()).select_from(deliveries).where(*wanted)) or 0


def undelivered(
    connection: Connection,
    query: RecoveryQuery,
    state: DeliveryState,
    after: Key | None,
    limit: int,
    now: UnixMs,
) -> CandidatePage[Lost]:
    """At most `limit` deliveries of this state behind `after`, oldest first; nobody else changes
    them before the commit.
    """
    among = [*_among(query, state), *_behind(_DELIVERY_KEY, after)]
    end = _end(connection, _DELIVERY_KEY, among, limit * LOOKED_AT)
    keys = sa.select(*_DELIVERY_KEY).where(
        *among, *_up_to(_DELIVERY_KEY, end), *_wanted(query, state)
    )
    seen = connection.execute(keys.order_by(*_DELIVERY_KEY).limit(limit)).all()
    these = sa.tuple_(*_PRIMARY_KEY).in_([(row.event_id, row.callback_id) for row in seen])
    connection.execute(
        bulk.by_key(connection, sa.select(*_PRIMARY_KEY).where(these), *_PRIMARY_KEY)
    ).all()
    statement = sa.select(deliveries, events.c.body).outerjoin(
        events, events.c.id == deliveries.c.event_id
    )
    still = statement.where(these, *_among(query, state), *_wanted(query, state)).order_by(
        *_DELIVERY_KEY
    )  # while they were waited for, some may have come
    found = [
        _lost(row, now) for row in connection.execute(still.execution_options(yield_per=_AT_A_TIME))
    ]
    return CandidatePage(
        found,
        (seen[-1].created_at, seen[-1].event_id, seen[-1].callback_id)
        if len(seen) == limit
        else end,
    )


def stored_events(
    connection: Connection, query: RecoveryQuery, after: Key | None, limit: int
) -> CandidatePage[StoredEvent]:
    """At most `limit` events of the time asked for behind `after`, oldest first, whether or not
    anything of theirs is missing.
    """
    among = [
        events.c.accepted_at >= query.since,
        events.c.accepted_at < query.until,
        *_behind(_EVENT_KEY, after and after[:2]),
    ]
    end = _end(connection, _EVENT_KEY, among, limit * LOOKED_AT)
    conditions = [*among, *_up_to(_EVENT_KEY, end), no_test(events.c.id)]
    if query.type is not None:
        conditions.append(events.c.type == query.type.value)
    statement = sa.select(events).where(*conditions).order_by(*_EVENT_KEY).limit(limit)
    stored = [
        _stored_event(row)
        for row in connection.execute(statement.execution_options(yield_per=_AT_A_TIME))
    ]
    recorded = _recorded(connection, [one.id for one in stored])
    found = [
        msgspec.structs.replace(one, callback_ids=one.callback_ids | recorded.get(one.id, set()))
        for one in stored
    ]
    return CandidatePage(
        found, found[-1].key if len(found) == limit else end and (end[0], end[1], "")
    )


def stale(connection: Connection, lost: Sequence[Lost]) -> set[Key]:
    """Those that report a status below one of the same message that was sent already
    (docs/invariants.md#statuses-never-go-backwards): they never are.
    """
    statuses = {one.key: status for one in lost if (status := _status(one)) is not None}
    overtaken = status_locks.overtaken_among(connection, set(statuses.values())) if statuses else ()
    return {key for key, status in statuses.items() if status in overtaken}


def still_stored(connection: Connection, lost: Iterable[Lost]) -> set[str]:
    """The events of these that `store.maintenance.retention` is not just deleting; until the commit
    it leaves them alone. It is not waited for: it may wait for one of the deliveries that are ours.
    """
    these = events.c.id.in_({one.event_id for one in lost})
    return set(
        connection.scalars(
            sa.select(events.c.id)
            .where(these)
            .with_for_update(read=True, key_share=True, skip_locked=True)
        )
    )


def reopen(connection: Connection, lost: Iterable[Lost], now: UnixMs) -> None:
    """Make these due now, as if they were new, whatever is known of them; their attempts stay on
    record.
    """
    bulk.insert(connection, deliveries, _rows(lost, now), _REOPENED)


def make(connection: Connection, lost: Iterable[Lost], now: UnixMs) -> None:
    """Rows, due now, of deliveries that had none. Should one have come to be meanwhile, it stays as
    it is.
    """
    bulk.insert(connection, deliveries, _rows(lost, now))


def _among(query: RecoveryQuery, state: DeliveryState) -> list[sa.ColumnElement[bool]]:
    """What the index of what is not delivered knows."""
    return list(by_index(DeliveryFilter(state=state, since=query.since, until=query.until)))


def _wanted(query: RecoveryQuery, state: DeliveryState) -> list[sa.ColumnElement[bool]]:
    """What only the rows know."""
    only_held = [is_held] if state is DeliveryState.HELD else []
    of_token = [] if query.token is None else [deliveries.c.token_id == query.token]
    of_type = [] if query.type is None else [deliveries.c.type == query.type.value]
    return [*only_held, *of_token, *of_type, no_test(deliveries.c.event_id)]


def _behind(columns: Columns, after: Sequence[int | str] | None) -> list[sa.ColumnElement[bool]]:
    return [] if after is None else bounded(columns, after, operator.gt)


def _up_to(columns: Columns, end: Sequence[int | str] | None) -> list[sa.ColumnElement[bool]]:
    return [] if end is None else bounded(columns, end, operator.le)


def _end(connection: Connection, columns: Columns, among: Conditions, most: int) -> Any:
    """The key of the last of so many rows, read off the index alone; None when there are not so
    many.
    """
    row = connection.execute(
        sa.select(*columns).where(*among).order_by(*columns).offset(most - 1).limit(1)
    ).first()
    return None if row is None else tuple(row)


def _recorded(connection: Connection, event_ids: Sequence[str]) -> dict[str, set[str]]:
    """The callbacks that these events have delivery rows for."""
    found: dict[str, set[str]] = {}
    for row in connection.execute(
        sa.select(deliveries.c.event_id, deliveries.c.callback_id).where(
            deliveries.c.event_id.in_(event_ids)
        )
    ):
        found.setdefault(row.event_id, set()).add(row.callback_id)
    return found


def _stored_event(row: Row) -> StoredEvent:
    matched = frozenset(row.callbacks.split())
    return StoredEvent(
        EventId(row.id),
        EventType(row.type),
        UnixMs(row.accepted_at),
        row.channel_id,
        _read(row),
        matched,
    )


def _lost(row: sa.Row[Any], now: UnixMs) -> Lost:
    return Lost(
        event_id=EventId(row.event_id),
        callback_id=CallbackId(row.callback_id),
        token_id=TokenId(row.token_id),
        type=EventType(row.type),
        created_at=UnixMs(row.created_at),
        facts=_read(row),
        lease=row.lease,
        in_flight=row.leased and row.due_at is not None and row.due_at > now,
    )


def _status(lost: Lost) -> tuple[CallbackId, str, str] | None:
    facts = lost.facts
    return (
        (lost.callback_id, facts.message_id, facts.status)
        if facts and facts.message_id and facts.status
        else None
    )


def _read(row: sa.Row[Any]) -> Facts | None:
    """None also for what cannot be read: it must not end the recovery of all others."""
    return None if row.body is None else stored_facts(row.type, bytes(row.body))


def _rows(lost: Iterable[Lost], now: UnixMs) -> list[bulk.Row]:
    """In key order, as all bulk writes are (docs/invariants.md#one-bad-row-costs-only-itself); due
    in the order given.
    """
    rows = [_row(one, now, sequence) for sequence, one in enumerate(lost)]
    return sorted(rows, key=lambda row: (row["event_id"], row["callback_id"]))


def _row(lost: Lost, now: UnixMs, sequence: int) -> bulk.Row:
    """`is_retry`: it shares the slots of repeats, so that new events never wait behind a repair."""
    facts = lost.facts
    assert facts is not None
    return {
        "event_id": lost.event_id,
        "callback_id": lost.callback_id,
        "token_id": lost.token_id,
        "type": lost.type.value,
        "state": _OPEN.value,
        "reason": None,
        "created_at": lost.created_at,
        "due_at": now,
        "leased": False,
        "lease": lost.lease + 1,
        "failures": 0,
        "is_retry": True,
        "lease_count": 0,
        "is_recovery": True,
        "sequence": sequence,
        "queued_at": now,
        "conversation_id": facts.conversation_id,
        "message_id": facts.message_id if facts.status else None,
        "status": facts.status,
        "awaits_status": False,
    }
