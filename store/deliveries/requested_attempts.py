"""Attempts that somebody asks for: a retry by hand, a test of a callback. A row here, carried out
by whatever dispatcher takes it; it changes nothing about the automatic attempts. Called by the API
and the command line.
"""

from typing import Any

import sqlalchemy as sa

from schemas.deliveries.deliveries import Attempt, DeliveryState, Trigger
from schemas.deliveries.withdrawal import CHANNEL_TAKEN
from schemas.errors import Conflict, NotFound
from schemas.events.events import Event
from schemas.events.types import EventType
from schemas.ids import AttemptId, CallbackId, DeliveryId, EventId, new_attempt_id
from schemas.stored_values import stored_facts
from schemas.times import UnixMs
from schemas.tokens.tokens import Callback, TokenState
from store.deliveries import status_locks
from store.deliveries.listing import get_attempt, get_delivery
from store.engine.database import Connection, Database
from store.engine.paging import Row
from store.tables import deliveries, events, requested_attempts
from store.tokens.rows import readable
from store.tokens.tokens import Tokens

NO_DISPATCHER = "no dispatcher took the test"


def request_attempt(
    database: Database,
    connection: Connection,
    event_id: EventId,
    callback_id: CallbackId,
    trigger: Trigger,
) -> AttemptId:
    """Ask for one attempt now, of a delivery that has a row."""
    attempt_id = new_attempt_id()
    row = {
        "id": attempt_id,
        "event_id": event_id,
        "callback_id": callback_id,
        "trigger": trigger.value,
        "due_at": database.now(connection),
    }
    connection.execute(sa.insert(requested_attempts).values(row))
    database.notify(connection, "due")
    return attempt_id


def is_recorded(connection: Connection, event_id: EventId, callback_id: CallbackId) -> bool:
    """Whether the delivery has a row; it has none while its first attempt is under way."""
    this = sa.and_(deliveries.c.event_id == event_id, deliveries.c.callback_id == callback_id)
    return connection.scalar(sa.select(sa.exists().where(this))) is True


def request_retry(database: Database, tokens: Tokens, delivery_id: DeliveryId) -> AttemptId:
    """Ask for an attempt by hand. Raises NotFound; Conflict when nothing can be sent for this
    delivery just now.
    """
    with database.write() as connection:
        detail = get_delivery(connection, delivery_id)
        if detail is None:
            raise NotFound(f"there is no delivery {delivery_id}")
        delivery = detail.delivery
        if delivery.url is None:
            raise Conflict("the callback was deleted: there is nowhere to send this to")
        if not is_recorded(connection, delivery.event_id, delivery.callback_id):
            raise Conflict("the first attempt is still under way")
        token = readable(tokens.get_in(connection, delivery.token_id))
        state = token.state(database.now(connection))
        if state is not TokenState.ACTIVE:
            raise Conflict(f"the token is {state.value}: only an active one is called")
        event = _kept_event(connection, delivery.event_id)
        if not token.sees(event.channel_id):
            raise Conflict(
                f"{CHANNEL_TAKEN}: let it see {event.channel_id} again before you send this"
            )
        if _is_overtaken(connection, event, delivery.callback_id):
            raise Conflict(
                "a newer status of this message was sent: an older one is never sent after it"
            )
        return request_attempt(
            database, connection, delivery.event_id, delivery.callback_id, Trigger.MANUAL
        )


def _kept_event(connection: Connection, event_id: EventId) -> Row:
    """Raises NotFound. Until the commit the event stays: an attempt of one that is gone would be
    asked for in vain, for ever.
    """
    chosen: sa.Select[Any] = sa.select(events.c.type, events.c.channel_id, events.c.body).where(
        events.c.id == event_id
    )
    row = connection.execute(chosen.with_for_update(read=True, key_share=True)).one_or_none()
    if row is None:
        raise NotFound(f"the event {event_id} is gone: it was older than RINGBACK_RETENTION")
    return row


def _is_overtaken(connection: Connection, event: Row, callback_id: CallbackId) -> bool:
    if event.type != EventType.MESSAGE_STATUS:
        return False
    facts = stored_facts(event.type, bytes(event.body))
    if (
        facts is None or facts.message_id is None or facts.status is None
    ):  # it has no rank: nothing is newer than it
        return False
    return bool(
        status_locks.overtaken_among(connection, {(callback_id, facts.message_id, facts.status)})
    )


def request_test(database: Database, event: Event, callback: Callback, now: UnixMs) -> AttemptId:
    """Store a sample event for this one callback, and ask for its only attempt."""
    with database.write() as connection:
        connection.execute(sa.insert(events).values(_event_row(event, callback, now)))
        connection.execute(sa.insert(deliveries).values(_delivery_row(event, callback, now)))
        return request_attempt(database, connection, event.id, callback.id, Trigger.TEST)


def result_of_test(
    database: Database, event_id: EventId, callback_id: CallbackId, attempt_id: AttemptId
) -> Attempt | None:
    """None until the attempt is recorded."""
    with database.read() as connection:
        return get_attempt(connection, event_id, callback_id, attempt_id)


def withdraw_test(
    database: Database, event_id: EventId, callback_id: CallbackId, attempt_id: AttemptId
) -> None:
    """Nobody took it: take it back, so that a dispatcher that starts later does not send it to
    somebody who has left.
    """
    this = sa.and_(deliveries.c.event_id == event_id, deliveries.c.callback_id == callback_id)
    still_open = deliveries.c.state == DeliveryState.PENDING.value
    with database.write() as connection:
        withdrawn = (
            sa.update(deliveries)
            .where(this, still_open)
            .values(state=DeliveryState.CANCELLED.value, reason=NO_DISPATCHER)
        )
        connection.execute(withdrawn)
        connection.execute(
            sa.delete(requested_attempts).where(requested_attempts.c.id == attempt_id)
        )


def _event_row(event: Event, callback: Callback, now: UnixMs) -> dict[str, object]:
    return {
        "id": event.id,
        "type": event.type.value,
        "timestamp": event.timestamp(now),
        "accepted_at": now,
        "via_amqp": False,
        "channel_id": event.facts.channel_id,
        "conversation_id": event.facts.conversation_id,
        "content_hash": event.content_hash(),
        "conflicts": 0,
        "callbacks": callback.id,
        "body": event.webhook_body(now),
    }


def _delivery_row(event: Event, callback: Callback, now: UnixMs) -> dict[str, object]:
    return {
        "event_id": event.id,
        "callback_id": callback.id,
        "token_id": callback.token_id,
        "type": event.type.value,
        "state": DeliveryState.PENDING.value,
        "created_at": now,
        "leased": False,
        "lease": 0,
        "failures": 0,
    }
