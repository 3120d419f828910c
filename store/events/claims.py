"""Claiming: the events of a batch become rows, each once, whatever copies of it come (rules 3 and 7
of the architecture).
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Row

from schemas.deliveries.deliveries import Delivery, DeliveryState
from schemas.events.events import Event
from schemas.events.types import EventType
from schemas.ids import CallbackId, EventId
from schemas.stored_values import stored_facts
from schemas.times import UnixMs
from store.engine import bulk
from store.engine.database import Connection
from store.engine.prepared import Prepared
from store.tables import callbacks, deliveries, events

COPY_DELAY_MS = 3000
"""How long whoever claimed an event first has to record its outcomes before a copy makes rows of
what is missing. Shorter: duplicates after a redelivery. Longer: what a crashed dispatcher held is
sent later.
"""

SLICE = 500
"""Rows of a statement, when an event is for very many callbacks. More: more memory at once. Fewer:
more statements.
"""


_last_taken = Prepared(
    sa.select(events.c.claimed_at)
    .where(events.c.claimed_at.is_not(None))
    .order_by(events.c.claimed_at.desc())
    .limit(1)
)


class Claim(msgspec.Struct, frozen=True):
    """An event as it is first written, with the callbacks that it matched then."""

    event: Event
    accepted_at: UnixMs
    via_amqp: bool
    callback_ids: tuple[CallbackId, ...]
    body: bytes


class Claimed(msgspec.Struct, frozen=True):
    """What became of a batch, by event id: new events are the caller's to deliver, of the others it
    has nothing to do.
    """

    new: set[str]
    duplicates: list[Event]
    conflicting: list[Event]


def claim(connection: Connection, batch: Sequence[Claim], now: UnixMs) -> Claimed:
    """Insert what is new. Of what is not, make sure that every delivery it matched at first has a
    row.
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
    # Copies of what this very batch claimed need no rows: their first is in the caller's hands.
    _secure_deliveries(connection, sorted({one.event.id for one in copies} - new), now)
    duplicates, conflicting = _compared(connection, copies)
    return Claimed(new, duplicates, conflicting)


def _insert(connection: Connection, batch: Sequence[Claim], now: UnixMs) -> set[str]:
    """`claimed_at` is the order in which events are pulled (decision 0009). On PostgreSQL it is the server's clock, read when
    pg_stat_activity already shows this transaction. SQLite's writers commit one after the other: there it is later than all before.
    """
    if connection.dialect.name == "postgresql":
        return bulk.insert_new(
            connection, events, [_row(one) for one in batch], clocked=("claimed_at",)
        )
    claimed_at = max(now, 1 + (_last_taken.run(connection, {}).scalar() or 0))
    return bulk.insert_new(
        connection, events, [{**_row(one), "claimed_at": claimed_at} for one in batch]
    )


def _row(claim: Claim) -> bulk.Row:
    event = claim.event
    return {
        "id": event.id,
        "type": event.type.value,
        "timestamp": event.timestamp(claim.accepted_at),
        "accepted_at": claim.accepted_at,
        "via_amqp": claim.via_amqp,
        "channel_id": event.facts.channel_id,
        "conversation_id": event.facts.conversation_id,
        "content_hash": event.content_hash(),
        "conflicts": 0,
        "callbacks": " ".join(claim.callback_ids),
        "body": claim.body,
    }


def put_off(connection: Connection, claimed: Iterable[Delivery]) -> None:
    """Rows, due now, for deliveries of new events that nobody takes in hand: many go through here
    one slice at a time.
    """
    rows = (_open_row(one) for one in claimed)
    while some := list(islice(rows, SLICE)):
        bulk.insert(connection, deliveries, some)


def _open_row(delivery: Delivery) -> bulk.Row:
    return {
        "event_id": delivery.event_id,
        "callback_id": delivery.callback_id,
        "token_id": delivery.token_id,
        "type": delivery.type.value,
        "state": DeliveryState.PENDING.value,
        "created_at": delivery.created_at,
        "due_at": delivery.queued_at,
        "leased": False,
        "lease": 0,
        "failures": 0,
        "sequence": delivery.sequence,
        "queued_at": delivery.queued_at,
        "conversation_id": delivery.conversation_id,
        "message_id": delivery.message_id,
        "status": delivery.status,
    }


def _secure_deliveries(connection: Connection, event_ids: Sequence[EventId], now: UnixMs) -> None:
    """Rows for the deliveries of these events that have none: of the callbacks matched at first and
    not deleted since.
    """
    chosen: sa.Select[Any] = sa.select(
        events.c.id, events.c.type, events.c.conversation_id, events.c.callbacks, events.c.body
    )
    chosen = chosen.where(events.c.id.in_(event_ids))
    kept = chosen.with_for_update(
        read=True, key_share=True
    )  # `store.maintenance.retention` must not take it away just now
    stored = sorted(connection.execute(kept).all(), key=lambda row: row.id)
    ordering = {row.id: _ordering(row) for row in stored}
    wanted = [(row, callback_id) for row in stored for callback_id in sorted(row.callbacks.split())]
    for start in range(0, len(wanted), SLICE):
        some = wanted[start : start + SLICE]
        owners = _owners(connection, {callback_id for _, callback_id in some})
        rows = [
            _copied_row(row, one, owners[one], now) | ordering[row.id]
            for row, one in some
            if one in owners
        ]
        bulk.insert(connection, deliveries, rows)


def _owners(connection: Connection, callback_ids: Collection[str]) -> dict[str, str]:
    """Whose these callbacks are, of those that there still are."""
    chosen = sa.select(callbacks.c.id, callbacks.c.token_id).where(callbacks.c.id.in_(callback_ids))
    return {row.id: row.token_id for row in connection.execute(chosen)}


def _copied_row(event: Row[Any], callback_id: str, token_id: str, now: UnixMs) -> dict[str, Any]:
    return {
        "event_id": event.id,
        "callback_id": callback_id,
        "token_id": token_id,
        "type": event.type,
        "state": DeliveryState.PENDING.value,
        "created_at": now,
        "due_at": now + COPY_DELAY_MS,
        "leased": False,
        "lease": 0,
        "failures": 0,
        "queued_at": now,
    }


def _ordering(event: Row[Any]) -> dict[str, Any]:
    """What the order of deliveries goes by, read off the event as it was first taken."""
    facts = (
        stored_facts(event.type, bytes(event.body))
        if event.type == EventType.MESSAGE_STATUS
        else None
    )
    status = facts.status if facts else None
    message_id = facts.message_id if facts and status is not None else None
    return {"conversation_id": event.conversation_id, "message_id": message_id, "status": status}


def _compared(connection: Connection, copies: Sequence[Claim]) -> tuple[list[Event], list[Event]]:
    """The duplicates of what was claimed first, and those with other content, which is counted on
    the event.
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
        (
            conflicting if row and _differs(event, row.content_hash, row.timestamp) else duplicates
        ).append(event)
    for event_id, count in sorted(Counter(event.id for event in conflicting).items()):
        connection.execute(
            sa.update(events)
            .where(events.c.id == event_id)
            .values(conflicts=events.c.conflicts + count)
        )
    return duplicates, conflicting


def _differs(event: Event, content_hash: bytes, timestamp: int) -> bool:
    return event.content_hash() != content_hash or event.given_timestamp not in (None, timestamp)
