"""What is missing: events without a delivery for a callback that may see them now. Called by
`consumers.maintenance.recovery_runner` and by `store.recoveries.counting`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

import msgspec
import sqlalchemy as sa

from schemas.deliveries.recoveries import RecoveryQuery
from schemas.events.data import Facts
from schemas.events.types import EventType
from schemas.ids import CallbackId, EventId, TokenId
from schemas.times import UnixMs
from store.deliveries.samples import no_test
from store.engine.database import Connection
from store.engine.paging import Row
from store.recoveries.scanning import (
    AT_A_TIME,
    CandidatePage,
    Key,
    after_key,
    end_of_slice,
    facts_of_row,
    up_to,
)
from store.tables import deliveries, events

Matched: TypeAlias = Callable[[EventType, str], Mapping[CallbackId, TokenId]]
"""Returns the callbacks that events of a type and channel are for now, and their tokens."""

_EVENT_KEY = (events.c.accepted_at, events.c.id)
_WITHOUT_BODY = [column for column in events.c if column.name != "body"]


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


def stored_events(
    connection: Connection,
    query: RecoveryQuery,
    after: Key | None,
    limit: int,
    *,
    with_facts: bool = True,
) -> CandidatePage[StoredEvent]:
    """Return at most `limit` events of the query's time after `after`, oldest first, whether or not
    any of their deliveries is missing. Without facts their bodies are not read.
    """
    keys = query.keys
    named = [] if keys is None else [events.c.id.in_({event_id for event_id, _ in keys})]
    among = [
        events.c.accepted_at >= query.since,
        events.c.accepted_at < query.until,
        *after_key(_EVENT_KEY, after and after[:2]),
        *named,
    ]
    end = end_of_slice(connection, _EVENT_KEY, among, limit)
    conditions = [*among, *up_to(_EVENT_KEY, end and end[:2]), no_test(events.c.id)]
    if query.type is not None:
        conditions.append(events.c.type == query.type.value)
    read = events.c if with_facts else _WITHOUT_BODY
    statement = sa.select(*read).where(*conditions).order_by(*_EVENT_KEY).limit(limit)
    stored = [
        _stored_event(row, facts_of_row(row) if with_facts else None)
        for row in connection.execute(statement.execution_options(yield_per=AT_A_TIME))
    ]
    recorded = _recorded(connection, [event.id for event in stored])
    found = [
        msgspec.structs.replace(
            event, callback_ids=event.callback_ids | recorded.get(event.id, set())
        )
        for event in stored
    ]
    return CandidatePage(found, found[-1].key if len(found) == limit else end)


def missing(
    page: Iterable[StoredEvent], query: RecoveryQuery, matched: Matched
) -> Iterator[tuple[StoredEvent, list[tuple[CallbackId, TokenId]]]]:
    """Yield the events with the callbacks, and their tokens, that they have no delivery for, and
    would have if they were claimed now.
    """
    keys = query.keys
    for stored in page:
        yield (
            stored,
            [
                (callback_id, token_id)
                for callback_id, token_id in matched(stored.type, stored.channel_id).items()
                if query.token in (None, token_id)
                and callback_id not in stored.callback_ids
                and (keys is None or (stored.id, callback_id) in keys)
            ],
        )


def _recorded(connection: Connection, event_ids: Sequence[str]) -> dict[str, set[str]]:
    """Return the callbacks that these events have delivery rows for."""
    recorded: dict[str, set[str]] = {}
    rows = sa.select(deliveries.c.event_id, deliveries.c.callback_id).where(
        deliveries.c.event_id.in_(event_ids)
    )
    for row in connection.execute(rows):
        recorded.setdefault(row.event_id, set()).add(row.callback_id)
    return recorded


def _stored_event(row: Row, facts: Facts | None) -> StoredEvent:
    return StoredEvent(
        id=EventId(row.id),
        type=EventType(row.type),
        accepted_at=UnixMs(row.accepted_at),
        channel_id=row.channel_id,
        facts=facts,
        callback_ids=frozenset(row.callbacks.split()),
    )
