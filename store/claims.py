"""Claiming: the events of a batch become rows, each once, whatever copies of it come (rules 3 and 7 of the architecture)."""

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from schemas.deliveries import DeliveryState
from schemas.events import Event, parse_event
from schemas.ids import CallbackId, EventId
from schemas.times import UnixMs
from store import bulk
from store.database import Connection
from store.tables import callbacks, deliveries, events

COPY_DELAY_MS = 3000
"""How long whoever claimed an event first has to record its outcomes before a copy makes rows of what is missing. Shorter:
duplicates after a redelivery. Longer: what a crashed dispatcher held is sent later."""


class Claim(msgspec.Struct, frozen=True):
    """An event as it is first written, with the callbacks that it matched then."""

    event: Event
    accepted_at: UnixMs
    directly: bool
    callback_ids: tuple[CallbackId, ...]
    body: bytes


class Claimed(msgspec.Struct, frozen=True):
    """What became of a batch, by event id: new events are the caller's to deliver, of the others it has nothing to do."""

    new: set[str]
    duplicates: list[Event]
    conflicting: list[Event]


def claim(connection: Connection, batch: Sequence[Claim], now: UnixMs) -> Claimed:
    """Insert what is new. Of what is not, make sure that every delivery it matched at first has a row."""
    first: dict[EventId, Claim] = {}
    copies: list[Claim] = []
    for one in batch:
        if first.setdefault(one.event.id, one) is not one:
            copies.append(one)
    new = bulk.insert_new(connection, events, [_row(first[event_id]) for event_id in sorted(first)])
    copies += [one for event_id, one in first.items() if event_id not in new]
    if not copies:
        return Claimed(new, [], [])
    # Copies of what this very batch claimed need no rows: their first is in the caller's hands.
    _secure_deliveries(connection, sorted({one.event.id for one in copies} - new), now)
    conflicting = _conflicting(connection, copies)
    return Claimed(new, [c.event for c in copies if c not in conflicting], [c.event for c in conflicting])


def _row(claim: Claim) -> bulk.Row:
    event = claim.event
    return {
        "id": event.id,
        "type": event.type.value,
        "timestamp": event.timestamp(claim.accepted_at),
        "accepted_at": claim.accepted_at,
        "directly": claim.directly,
        "channel_id": event.facts.channel_id,
        "conversation_id": event.facts.conversation_id,
        "content_hash": event.content_hash(),
        "conflicts": 0,
        "callbacks": " ".join(claim.callback_ids),
        "body": claim.body,
    }


def _secure_deliveries(connection: Connection, event_ids: Sequence[EventId], now: UnixMs) -> None:
    """Rows for the deliveries of these events that have none: of the callbacks matched at first and not deleted since."""
    chosen = sa.select(events.c.id, events.c.type, events.c.callbacks, events.c.body).where(events.c.id.in_(event_ids))
    stored = connection.execute(chosen).all()
    wanted = {callback for row in stored for callback in row.callbacks.split()}
    owners = connection.execute(sa.select(callbacks.c.id, callbacks.c.token_id).where(callbacks.c.id.in_(wanted)))
    known = {row.id: row.token_id for row in owners}
    rows = [
        {
            "event_id": row.id,
            "callback_id": callback,
            "token_id": known[callback],
            "type": row.type,
            "state": DeliveryState.PENDING.value,
            "created_at": now,
            "due_at": now + COPY_DELAY_MS,
            "leased": False,
            "lease": 0,
            "failures": 0,
            "since_at": now,
            **_ordering(row.body),
        }
        for row in stored
        for callback in row.callbacks.split()
        if callback in known
    ]
    bulk.insert(connection, deliveries, sorted(rows, key=lambda row: (row["event_id"], row["callback_id"])))


def _ordering(body: bytes) -> bulk.Row:
    """What the order of deliveries goes by, read off the event as it was first taken."""
    facts = parse_event(bytes(body), id_required=True).facts
    message_id = facts.message_id if facts.status else None
    return {"conversation_id": facts.conversation_id, "message_id": message_id, "status": facts.status}


def _conflicting(connection: Connection, copies: Sequence[Claim]) -> list[Claim]:
    """Those with other content than what was claimed first; that is counted on the event."""
    ids = sorted({one.event.id for one in copies})
    columns = sa.select(events.c.id, events.c.content_hash, events.c.timestamp).where(events.c.id.in_(ids))
    stored = {row.id: row for row in connection.execute(columns)}
    found = [one for one in copies if (row := stored.get(one.event.id)) and _differs(one.event, row.content_hash, row.timestamp)]
    for one in found:
        connection.execute(sa.update(events).where(events.c.id == one.event.id).values(conflicts=events.c.conflicts + 1))
    return found


def _differs(event: Event, content_hash: bytes, timestamp: int) -> bool:
    return event.content_hash() != content_hash or event.given_timestamp not in (None, timestamp)
