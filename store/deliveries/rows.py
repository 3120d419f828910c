"""Rows of events and deliveries: how they are first written, and how an open one is read.

The builders are used by every module that makes rows: claims, settlements, recoveries, tests of a
callback. `read` and `delivery` turn a leased row into what a dispatcher works on.
"""

from collections.abc import Sequence
from typing import TypedDict

import sqlalchemy as sa

from schemas.deliveries.deliveries import Delivery, Move, Trigger
from schemas.events.events import Event
from schemas.events.stored_bodies import stored_facts
from schemas.events.types import EventType
from schemas.ids import AttemptId, CallbackId, EventId, TokenId
from schemas.times import UnixMs
from store.engine.database import Connection
from store.engine.paging import Row
from store.tables import attempts, deliveries, delivery_moves, events

DELIVERY_KEY = (deliveries.c.created_at, deliveries.c.event_id, deliveries.c.callback_id)
"""The order in which deliveries are listed, counted, recovered and deleted: that of an index."""

NewRow = dict[str, object]
"""The columns of a row that is to be inserted, by name."""


class QueueColumns(TypedDict):
    """What orders the open deliveries of a callback. A row that is settled when it is first written
    has none of them.
    """

    queued_at: int | None
    """From when its age counts, in milliseconds since 1970."""
    sequence: int
    """Its order among the rows of that millisecond."""
    conversation_id: str | None
    message_id: str | None
    """Of a `message.status`, else None."""
    status: str | None
    """Of a `message.status`, else None."""


_MADE = delivery_moves.columns(Move.MADE)

NOT_QUEUED: QueueColumns = {
    "queued_at": None,
    "sequence": 0,
    "conversation_id": None,
    "message_id": None,
    "status": None,
}
"""The same columns of a row that was never open."""


def event_row(
    event: Event, accepted_at: UnixMs, body: bytes, *, via_amqp: bool, callbacks: str
) -> NewRow:
    """Return an event's row. `callbacks` are the ids of those it matched, separated by spaces."""
    return {
        "id": event.id,
        "type": event.type.value,
        "timestamp": event.timestamp(accepted_at),
        "accepted_at": accepted_at,
        "via_amqp": via_amqp,
        "channel_id": event.facts.channel_id,
        "conversation_id": event.facts.conversation_id,
        "content_hash": event.content_hash(),
        "conflicts": 0,
        "callbacks": callbacks,
        "body": body,
    }


def new_row(
    event_id: str, callback_id: str, token_id: str, event_type: str, created_at: UnixMs
) -> NewRow:
    """Return the row of a delivery that was never attempted. It does not come due by itself."""
    return {
        "event_id": event_id,
        "callback_id": callback_id,
        "token_id": token_id,
        "type": event_type,
        **_MADE,
        "created_at": created_at,
        "leased": False,
        "lease": 0,
        "failures": 0,
    }


def due_row(
    event_id: str,
    callback_id: str,
    token_id: str,
    event_type: str,
    *,
    created_at: UnixMs,
    due_at: int,
    queue: QueueColumns,
) -> NewRow:
    """Return the row of a delivery that is open and due at `due_at`."""
    new = new_row(event_id, callback_id, token_id, event_type, created_at)
    return {**new, "due_at": due_at, **queue}


def queue_columns(delivery: Delivery) -> QueueColumns:
    """Return the columns that keep a delivery's position among those that are open."""
    return {
        "queued_at": delivery.queued_at,
        "sequence": delivery.sequence,
        "conversation_id": delivery.conversation_id,
        "message_id": delivery.message_id,
        "status": delivery.status,
    }


_number = (
    sa.select(sa.func.count() + 1)
    .where(
        attempts.c.event_id == deliveries.c.event_id,
        attempts.c.callback_id == deliveries.c.callback_id,
    )
    .scalar_subquery()
)


def read(
    connection: Connection, callback_id: CallbackId, event_ids: Sequence[str]
) -> Sequence[Row]:
    """Return the rows of these deliveries with everything that `delivery` needs, in no order."""
    joined = deliveries.join(events, events.c.id == deliveries.c.event_id)
    # rows that were never open have no conversation: the event's is read
    known = [column for column in deliveries.c if column.name != "conversation_id"]
    of_event = (events.c.conversation_id, events.c.channel_id, events.c.body, events.c.accepted_at)
    selected = sa.select(*known, *of_event, _number.label("number")).select_from(joined)
    return connection.execute(
        selected.where(
            deliveries.c.callback_id == callback_id, deliveries.c.event_id.in_(event_ids)
        )
    ).all()


def delivery(
    row: Row, trigger: Trigger | None = None, attempt_id: AttemptId | None = None
) -> Delivery:
    """Return the delivery of a row of `read`.

    `trigger` and `attempt_id` are those of an attempt that is not part of its schedule.
    """
    message_id, status = _status(row, trigger)
    return Delivery(
        event_id=EventId(row.event_id),
        callback_id=CallbackId(row.callback_id),
        token_id=TokenId(row.token_id),
        type=EventType(row.type),
        conversation_id=row.conversation_id,
        channel_id=row.channel_id,
        body=bytes(row.body),
        accepted_at=UnixMs(row.accepted_at),
        created_at=UnixMs(row.created_at),
        queued_at=UnixMs(row.created_at if row.queued_at is None else row.queued_at),
        sequence=row.sequence,
        message_id=message_id,
        status=status,
        lease=row.lease,
        failures=row.failures,
        number=int(row.number),
        trigger=trigger or _trigger(row),
        attempt_id=attempt_id,
    )


def _trigger(row: Row) -> Trigger:
    """Return the trigger of the row's share: the attempt uses the slots of that share."""
    if row.is_recovery:
        return Trigger.RECOVER
    return Trigger.RETRY if row.is_retry else Trigger.FIRST


def _status(row: Row, trigger: Trigger | None) -> tuple[str | None, str | None]:
    """Return the message and its status, from the event where a row that was never open has none.

    A test is of no message that exists.
    """
    if row.type != EventType.MESSAGE_STATUS or row.status is not None or trigger is Trigger.TEST:
        return row.message_id, row.status
    facts = stored_facts(row.type, bytes(row.body))
    if facts is None or facts.status is None:
        return row.message_id, None
    return facts.message_id, facts.status
