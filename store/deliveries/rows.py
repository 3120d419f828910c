"""From a row of an open delivery to what a dispatcher works on. Used by everything that takes rows:
due ones, asked for, probed.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from schemas.deliveries.deliveries import Delivery, Trigger
from schemas.events.types import EventType
from schemas.ids import AttemptId, CallbackId, EventId, TokenId
from schemas.stored_values import stored_facts
from schemas.times import UnixMs
from store.engine.database import Connection
from store.tables import attempts, deliveries, events

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
) -> Sequence[Row[Any]]:
    """The rows of these deliveries with all that `delivery` wants, in no order."""
    joined = deliveries.join(events, events.c.id == deliveries.c.event_id)
    known = [
        column for column in deliveries.c if column.name != "conversation_id"
    ]  # rows that were never open have none
    of_event = (events.c.conversation_id, events.c.channel_id, events.c.body, events.c.accepted_at)
    columns: sa.Select[Any] = sa.select(*known, *of_event, _number.label("number"))
    return connection.execute(
        columns.select_from(joined).where(
            deliveries.c.callback_id == callback_id, deliveries.c.event_id.in_(event_ids)
        )
    ).all()


def _trigger(row: Row[Any]) -> Trigger:
    """By the share it stands in, so that it takes the slots that it was taken for."""
    if row.is_recovery:
        return Trigger.RECOVER
    return Trigger.RETRY if row.is_retry else Trigger.FIRST


def _status(row: Row[Any], trigger: Trigger | None) -> tuple[str | None, str | None]:
    """The message and its status. A row that was never open does not say; a test is of no message
    that there is.
    """
    if row.type != EventType.MESSAGE_STATUS or row.status is not None or trigger is Trigger.TEST:
        return row.message_id, row.status
    facts = stored_facts(row.type, bytes(row.body))
    return (
        (facts.message_id, facts.status)
        if facts is not None and facts.status is not None
        else (row.message_id, None)
    )


def delivery(
    row: Row[Any], trigger: Trigger | None = None, attempt_id: AttemptId | None = None
) -> Delivery:
    """A row of `read`; with the trigger of an attempt that is no turn of its schedule."""
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
