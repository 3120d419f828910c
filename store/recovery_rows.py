"""The rows of a recovery: deliveries that were not delivered, events that had none, and how they are made due.

Called by `consumers.recovering` in the transaction of a slice, and by `store.recoveries` to count.
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import msgspec
import sqlalchemy as sa

from schemas.deliveries import DeliveryState, Move, next_state
from schemas.errors import InvalidEvent
from schemas.event_types import EventType
from schemas.events import Event, parse_event
from schemas.ids import CallbackId, EventId, TokenId
from schemas.listings import DeliveryFilter
from schemas.recoveries import RecoveryQuery
from schemas.times import UnixMs
from store import bulk, places
from store.database import Connection
from store.delivery_listings import matching
from store.paging import Row
from store.samples import no_test
from store.tables import deliveries, events

Key: TypeAlias = tuple[int, str, str]
"""When it was made, the event, the callback: the order in which deliveries are worked through. Of events without the last."""

_DELIVERY_KEY = (deliveries.c.created_at, deliveries.c.event_id, deliveries.c.callback_id)
_EVENT_KEY = (events.c.accepted_at, events.c.id)

_DUE = ("due_at", "leased", "lease", "failures", "tried", "takes", "recovering", "turn", "since_at")
_FACTS = ("conversation_id", "message_id", "status", "waits")
_REOPENED = bulk.Upsert(("state", "reason", *_DUE, *_FACTS), deliveries.c.state != DeliveryState.DELIVERED.value)
_OPEN = next_state(DeliveryState.EXHAUSTED, Move.REOPENED)


class Lost(msgspec.Struct, frozen=True):
    """A delivery to be made due. `lease` is its row's, -1 when it has none yet; `event` is None when that is gone (`RETENTION`)
    or cannot be read; `in_flight`: an attempt is under way, and its outcome will be written."""

    event_id: EventId
    callback_id: CallbackId
    token_id: TokenId
    type: EventType
    created_at: UnixMs
    event: Event | None
    lease: int = -1
    in_flight: bool = False

    @property
    def key(self) -> Key:
        return self.created_at, self.event_id, self.callback_id


class StoredEvent(msgspec.Struct, frozen=True):
    """An event and the callbacks that it has deliveries for, or is about to have."""

    id: EventId
    type: EventType
    accepted_at: UnixMs
    channel_id: str
    event: Event | None
    callback_ids: frozenset[str]


def count(connection: Connection, query: RecoveryQuery, state: DeliveryState) -> int:
    """How many deliveries of this state there are to recover."""
    return connection.scalar(sa.select(sa.func.count()).select_from(deliveries).where(*_wanted(query, state))) or 0


def undelivered(
    connection: Connection, query: RecoveryQuery, state: DeliveryState, after: Key | None, limit: int, now: UnixMs
) -> list[Lost]:
    """At most `limit` deliveries of this state behind `after`, oldest first; nobody else changes them before the commit."""
    behind = [] if after is None else [sa.tuple_(*_DELIVERY_KEY) > sa.tuple_(*after)]
    statement = (
        sa.select(deliveries, events.c.body)
        .outerjoin(events, events.c.id == deliveries.c.event_id)
        .where(*_wanted(query, state), *behind)
        .order_by(*_DELIVERY_KEY)
        .limit(limit)
        .with_for_update(of=deliveries)
    )
    return [_lost(row, now) for row in connection.execute(statement)]


def stored_events(connection: Connection, query: RecoveryQuery, after: Key | None, limit: int) -> list[StoredEvent]:
    """At most `limit` events of the time asked for behind `after`, oldest first, whether or not anything of theirs is missing."""
    conditions = [events.c.accepted_at >= query.since, events.c.accepted_at < query.until, no_test(events.c.id)]
    if query.type is not None:
        conditions.append(events.c.type == query.type.value)
    if after is not None:
        conditions.append(sa.tuple_(*_EVENT_KEY) > sa.tuple_(*after[:2]))
    rows = connection.execute(sa.select(events).where(*conditions).order_by(*_EVENT_KEY).limit(limit)).all()
    recorded = _recorded(connection, [row.id for row in rows])
    return [_stored_event(row, recorded.get(row.id, set())) for row in rows]


def stale(connection: Connection, lost: Sequence[Lost]) -> set[Key]:
    """Those that report a status below one of the same message that was sent already (rule 13): they never are."""
    statuses = {one.key: status for one in lost if (status := _status(one)) is not None}
    overtaken = places.overtaken_among(connection, set(statuses.values())) if statuses else ()
    return {key for key, status in statuses.items() if status in overtaken}


def still_stored(connection: Connection, lost: Iterable[Lost]) -> set[str]:
    """The events of these that `store.retention` is not just deleting; until the commit it leaves them alone. It is not waited for:
    it may wait for one of the deliveries that are ours."""
    these = events.c.id.in_({one.event_id for one in lost})
    return set(connection.scalars(sa.select(events.c.id).where(these).with_for_update(read=True, key_share=True, skip_locked=True)))


def reopen(connection: Connection, lost: Iterable[Lost], now: UnixMs) -> None:
    """Make these due now, as if they were new, whatever is known of them; their attempts stay on record."""
    bulk.insert(connection, deliveries, _rows(lost, now), _REOPENED)


def make(connection: Connection, lost: Iterable[Lost], now: UnixMs) -> None:
    """Rows, due now, of deliveries that had none. Should one have come to be meanwhile, it stays as it is."""
    bulk.insert(connection, deliveries, _rows(lost, now))


def _wanted(query: RecoveryQuery, state: DeliveryState) -> list[sa.ColumnElement[bool]]:
    chosen = DeliveryFilter(token=query.token, type=query.type, state=state, since=query.since, until=query.until)
    return [*matching(chosen), no_test(deliveries.c.event_id)]


def _recorded(connection: Connection, event_ids: Sequence[str]) -> dict[str, set[str]]:
    """The callbacks that these events have delivery rows for."""
    found: dict[str, set[str]] = {}
    for row in connection.execute(sa.select(deliveries.c.event_id, deliveries.c.callback_id).where(deliveries.c.event_id.in_(event_ids))):
        found.setdefault(row.event_id, set()).add(row.callback_id)
    return found


def _stored_event(row: Row, recorded: set[str]) -> StoredEvent:
    matched = recorded.union(row.callbacks.split())
    return StoredEvent(EventId(row.id), EventType(row.type), UnixMs(row.accepted_at), row.channel_id, _read(row.body), frozenset(matched))


def _lost(row: sa.Row[Any], now: UnixMs) -> Lost:
    return Lost(
        event_id=EventId(row.event_id),
        callback_id=CallbackId(row.callback_id),
        token_id=TokenId(row.token_id),
        type=EventType(row.type),
        created_at=UnixMs(row.created_at),
        event=_read(row.body),
        lease=row.lease,
        in_flight=row.leased and row.due_at is not None and row.due_at > now,
    )


def _status(lost: Lost) -> tuple[CallbackId, str, str] | None:
    facts = lost.event.facts if lost.event else None
    return (lost.callback_id, facts.message_id, facts.status) if facts and facts.message_id and facts.status else None


def _read(body: bytes | None) -> Event | None:
    """None also for what a later version of ours no longer takes for an event: it must not end the recovery of all others."""
    try:
        return None if body is None else parse_event(bytes(body), id_required=True)
    except InvalidEvent:
        return None


def _rows(lost: Iterable[Lost], now: UnixMs) -> list[bulk.Row]:
    """In key order, as all bulk writes are (rule 7); due in the order given."""
    rows = [_row(one, now, turn) for turn, one in enumerate(lost)]
    return sorted(rows, key=lambda row: (row["event_id"], row["callback_id"]))


def _row(lost: Lost, now: UnixMs, turn: int) -> bulk.Row:
    """`tried`: it shares the slots of repeats, so that new events never wait behind a repair."""
    assert lost.event is not None
    facts = lost.event.facts
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
        "tried": True,
        "takes": 0,
        "recovering": True,
        "turn": turn,
        "since_at": now,
        "conversation_id": facts.conversation_id,
        "message_id": facts.message_id if facts.status else None,
        "status": facts.status,
        "waits": False,
    }
