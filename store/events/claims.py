"""Claiming: the events of a batch become rows, each once, whatever copies of it come
(docs/invariants.md#at-least-once).

Called by `consumers.pipeline.claiming`, in the transaction that also writes what the caller cannot
deliver itself.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from itertools import islice

import msgspec
import sqlalchemy as sa

from schemas.deliveries.deliveries import Delivery
from schemas.events.events import Event
from schemas.events.stored_bodies import stored_facts
from schemas.events.types import EventType
from schemas.ids import CallbackId, EventId
from schemas.times import UnixMs
from store.deliveries.rows import NewRow, QueueColumns, due_row, event_row, queue_columns
from store.engine import bulk
from store.engine.database import Connection
from store.engine.paging import Row
from store.engine.prepared import Prepared
from store.tables import callbacks, deliveries, events

COPY_DELAY_MS = 3000
"""How long the dispatcher that claimed an event first has to record its outcomes before a copy
makes rows of what is missing. Shorter: duplicates after a redelivery. Longer: the deliveries of a
crashed dispatcher are sent later.
"""

SLICE = 500
"""Rows of a statement, when an event is for very many callbacks. More: more memory at once. Fewer:
more statements.
"""


_last_claimed = Prepared(
    sa.select(events.c.claimed_at)
    .where(events.c.claimed_at.is_not(None))
    .order_by(events.c.claimed_at.desc())
    .limit(1)
)


class Claim(msgspec.Struct, frozen=True):
    """An event as it is first written, with the callbacks that it matched then."""

    event: Event
    accepted_at: UnixMs
    """When Ringback took it in."""
    via_amqp: bool
    """Whether a backend published it by AMQP, not through the API."""
    callback_ids: tuple[CallbackId, ...]
    """The callbacks it matched, each of which gets a delivery."""
    body: bytes
    """The body that is sent on every attempt."""


class Claimed(msgspec.Struct, frozen=True):
    """What became of a batch."""

    new: set[str]
    """Ids of the events that are new. They are the caller's to deliver."""
    duplicates: list[Event]
    """Copies of events that were claimed before. The caller has nothing to do for them."""
    conflicting: list[Event]
    """Events with the id of one that was claimed before, and with other content."""


def claim(connection: Connection, batch: Sequence[Claim], now: UnixMs) -> Claimed:
    """Insert the events that are new. Of the others make sure that every delivery they matched at
    first has a row.
    """
    first: dict[EventId, Claim] = {}
    copies: list[Claim] = []
    for one in batch:
        if first.setdefault(one.event.id, one) is not one:
            copies.append(one)
    new = _insert(connection, [first[event_id] for event_id in sorted(first)], now)
    copies += [one for event_id, one in first.items() if event_id not in new]
    if not copies:
        return Claimed(new, [], [])
    # Copies of what this very batch claimed need no rows: the caller delivers the first of them.
    _secure_deliveries(connection, sorted({one.event.id for one in copies} - new), now)
    duplicates, conflicting = _compared(connection, copies)
    return Claimed(new, duplicates, conflicting)


def spill(connection: Connection, claimed: Iterable[Delivery]) -> None:
    """Write rows, due now, for deliveries of new events that the caller does not hold in memory.

    Many may pass through here: they are written one slice at a time.
    """
    rows = (_spilled_row(delivery) for delivery in claimed)
    while some := list(islice(rows, SLICE)):
        bulk.insert(connection, deliveries, some)


def _insert(connection: Connection, batch: Sequence[Claim], now: UnixMs) -> set[str]:
    """Insert events and return the ids of those that are new.

    `claimed_at` is the order in which events are pulled (decision 0009). On PostgreSQL it is the
    server's clock, read when pg_stat_activity already shows this transaction. SQLite's writers
    commit one after the other: there it is later than all before.
    """
    rows = [_event_row(one) for one in batch]
    if connection.dialect.name == "postgresql":
        return bulk.insert_new(connection, events, rows, clocked=("claimed_at",))
    claimed_at = max(now, 1 + (_last_claimed.run(connection, {}).scalar() or 0))
    return bulk.insert_new(connection, events, [{**row, "claimed_at": claimed_at} for row in rows])


def _event_row(claim: Claim) -> NewRow:
    return event_row(
        claim.event,
        claim.accepted_at,
        claim.body,
        via_amqp=claim.via_amqp,
        callbacks=" ".join(claim.callback_ids),
    )


def _spilled_row(delivery: Delivery) -> NewRow:
    return due_row(
        delivery.event_id,
        delivery.callback_id,
        delivery.token_id,
        delivery.type.value,
        created_at=delivery.created_at,
        due_at=delivery.queued_at,
        queue=queue_columns(delivery),
    )


def _secure_deliveries(connection: Connection, event_ids: Sequence[EventId], now: UnixMs) -> None:
    """Write rows for the deliveries of these events that have none: those of the callbacks matched
    at first and not deleted since.
    """
    wanted_events = sa.select(
        events.c.id, events.c.type, events.c.conversation_id, events.c.callbacks, events.c.body
    ).where(events.c.id.in_(event_ids))
    # `store.maintenance.retention` must not delete them meanwhile
    kept = wanted_events.with_for_update(read=True, key_share=True)
    stored = sorted(connection.execute(kept).all(), key=lambda row: row.id)
    queued = {row.id: _queue_columns(row, now) for row in stored}
    wanted = [(row, callback_id) for row in stored for callback_id in sorted(row.callbacks.split())]
    for start in range(0, len(wanted), SLICE):
        some = wanted[start : start + SLICE]
        owners = _owners(connection, {callback_id for _, callback_id in some})
        rows = [
            due_row(
                row.id,
                callback_id,
                owners[callback_id],
                row.type,
                created_at=now,
                due_at=now + COPY_DELAY_MS,
                queue=queued[row.id],
            )
            for row, callback_id in some
            if callback_id in owners
        ]
        bulk.insert(connection, deliveries, rows)


def _owners(connection: Connection, callback_ids: Collection[str]) -> dict[str, str]:
    """Return the tokens of those of these callbacks that still exist."""
    stored = sa.select(callbacks.c.id, callbacks.c.token_id).where(callbacks.c.id.in_(callback_ids))
    return {row.id: row.token_id for row in connection.execute(stored)}


def _queue_columns(event: Row, now: UnixMs) -> QueueColumns:
    """Return what orders the deliveries of an event, as it was first claimed."""
    facts = (
        stored_facts(event.type, bytes(event.body))
        if event.type == EventType.MESSAGE_STATUS
        else None
    )
    status = facts.status if facts else None
    return {
        "queued_at": now,
        "sequence": 0,
        "conversation_id": event.conversation_id,
        "message_id": facts.message_id if facts and status is not None else None,
        "status": status,
    }


def _compared(connection: Connection, copies: Sequence[Claim]) -> tuple[list[Event], list[Event]]:
    """Return the duplicates of what was claimed first, and the events with other content.

    Other content is counted on the stored event.
    """
    ids = sorted({one.event.id for one in copies})
    columns = sa.select(events.c.id, events.c.content_hash, events.c.timestamp).where(
        events.c.id.in_(ids)
    )
    stored = {row.id: row for row in connection.execute(columns)}
    duplicates: list[Event] = []
    conflicting: list[Event] = []
    for event in (one.event for one in copies):
        row = stored.get(event.id)
        differs = row is not None and _differs(event, row.content_hash, row.timestamp)
        (conflicting if differs else duplicates).append(event)
    for event_id, count in sorted(Counter(event.id for event in conflicting).items()):
        connection.execute(
            sa.update(events)
            .where(events.c.id == event_id)
            .values(conflicts=events.c.conflicts + count)
        )
    return duplicates, conflicting


def _differs(event: Event, content_hash: bytes, timestamp: int) -> bool:
    return event.content_hash() != content_hash or event.given_timestamp not in (None, timestamp)
