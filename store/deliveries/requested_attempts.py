"""Requested attempts: a retry by hand, a test of a callback.

A row here is carried out by any dispatcher that leases it. It changes nothing about the automatic
attempts. The API and the command line ask for attempts, `consumers.pipeline.due_poller` leases
them.
"""

import sqlalchemy as sa

from schemas.deliveries.cancel_reason import CancelReason
from schemas.deliveries.deliveries import Attempt, Delivery, Move, Trigger
from schemas.errors import Conflict, NotFound
from schemas.events.events import Event
from schemas.events.stored_bodies import stored_facts
from schemas.events.types import EventType
from schemas.ids import AttemptId, CallbackId, DeliveryId, EventId, TokenId, new_attempt_id
from schemas.times import UnixMs
from schemas.tokens.tokens import Callback, Token, TokenState
from store.deliveries import status_locks
from store.deliveries.listing import get_attempt, get_delivery
from store.deliveries.rows import delivery, event_row, new_row, read
from store.engine.bulk import once
from store.engine.database import Connection, Database
from store.engine.paging import Row
from store.engine.prepared import Prepared
from store.tables import deliveries, delivery_moves, events, requested_attempts
from store.tokens.rows import readable
from store.tokens.tokens import Tokens

CALLBACK_SHARE = 4
"""Requested attempts of one callback under way at once, over all dispatchers. More: one that hangs
keeps more of the slots that serve every callback. Fewer: many retries of one take longer.
"""

_any_due = Prepared(
    sa.select(sa.exists().where(requested_attempts.c.due_at <= sa.bindparam("now")))
)


def request_attempt(
    database: Database,
    connection: Connection,
    event_id: EventId,
    callback_id: CallbackId,
    trigger: Trigger,
) -> AttemptId:
    """Ask for one attempt now, of a delivery that has a row. Return the id it will have."""
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
    return connection.scalar(sa.select(sa.exists().where(_this(event_id, callback_id)))) is True


def request_retry(database: Database, tokens: Tokens, delivery_id: DeliveryId) -> AttemptId:
    """Ask for an attempt by hand. Return the id it will have.

    Raises NotFound; Conflict when nothing can be sent for this delivery now.
    """
    with database.write() as connection:
        detail = get_delivery(connection, delivery_id)
        if detail is None:
            raise NotFound(f"there is no delivery {delivery_id}")
        listed = detail.delivery
        if listed.url is None:
            raise Conflict("the callback was deleted: there is nowhere to send this to")
        if not is_recorded(connection, listed.event_id, listed.callback_id):
            raise Conflict("the first attempt is still under way")
        token = _active_token(database, connection, tokens, listed.token_id)
        event = _kept_event(connection, listed.event_id)
        if not token.sees(event.channel_id):
            raise Conflict(
                f"{CancelReason.CHANNEL_REMOVED}: let it see {event.channel_id} again before you "
                "send this"
            )
        if _is_overtaken(connection, event, listed.callback_id):
            raise Conflict(
                "a newer status of this message was sent: an older one is never sent after it"
            )
        return request_attempt(
            database, connection, listed.event_id, listed.callback_id, Trigger.MANUAL
        )


def request_test(database: Database, event: Event, callback: Callback, now: UnixMs) -> AttemptId:
    """Store a sample event for this one callback, and ask for its only attempt. Return its id."""
    row = event_row(event, now, event.webhook_body(now), via_amqp=False, callbacks=callback.id)
    new = new_row(event.id, callback.id, callback.token_id, event.type.value, now)
    with database.write() as connection:
        connection.execute(sa.insert(events).values(row))
        connection.execute(sa.insert(deliveries).values(new))
        return request_attempt(database, connection, event.id, callback.id, Trigger.TEST)


def result_of_test(
    database: Database, event_id: EventId, callback_id: CallbackId, attempt_id: AttemptId
) -> Attempt | None:
    """Return the attempt of a test; None until it is recorded."""
    with database.read() as connection:
        return get_attempt(connection, event_id, callback_id, attempt_id)


def withdraw_test(
    database: Database, event_id: EventId, callback_id: CallbackId, attempt_id: AttemptId
) -> None:
    """Cancel a test that no dispatcher carried out, so that one that starts later does not send it
    to a person who has left.
    """
    cancelled = (
        sa.update(deliveries)
        .where(_this(event_id, callback_id), delivery_moves.permitted(Move.WITHDRAWN))
        .values(delivery_moves.columns(Move.WITHDRAWN, CancelReason.NO_DISPATCHER))
    )
    with database.write() as connection:
        connection.execute(cancelled)
        connection.execute(
            sa.delete(requested_attempts).where(requested_attempts.c.id == attempt_id)
        )


def any_requested_due(connection: Connection, now: UnixMs) -> bool:
    """Whether an attempt was requested that no dispatcher is making."""
    return bool(_any_due.run(connection, {"now": now}).scalar())


def lease_requested(
    connection: Connection,
    limit: int,
    now: UnixMs,
    lease_ms: int,
    *,
    lapsed: bool,
    share: int = CALLBACK_SHARE,
) -> list[Delivery]:
    """Lease at most `limit` requested attempts until `now + lease_ms`, oldest first. The automatic
    attempts are not touched.

    At most `share` of one callback are under way at once: those that are leased already count. With
    `lapsed` false none is leased: a row does not say whether it is new or its lease has lapsed, and
    the holder of a lapsed lease may be about to write the outcome
    (docs/invariants.md#an-unavailable-store-stops-sending).
    """
    if not lapsed:
        return []
    statement = (
        sa.update(requested_attempts)
        .where(requested_attempts.c.id.in_(once(_oldest_due(limit, now, share))))
        .values(due_at=now + lease_ms)
        .returning(requested_attempts)
    )
    return [
        delivery(row, Trigger(requested.trigger), AttemptId(requested.id))
        for requested in connection.execute(statement).all()
        for row in read(connection, requested.callback_id, [requested.event_id])
    ]


def _oldest_due(limit: int, now: UnixMs, share: int) -> sa.Select[str]:
    row = requested_attempts.c
    position = sa.func.row_number().over(
        partition_by=row.callback_id, order_by=((row.due_at > now).desc(), row.due_at)
    )
    ranked = sa.select(row.id, position.label("position")).subquery()
    within_share = sa.select(ranked.c.id).where(ranked.c.position <= share)
    return (
        sa.select(row.id)
        .where(row.due_at <= now, row.id.in_(within_share))
        .order_by(row.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )


def _this(event_id: EventId, callback_id: CallbackId) -> sa.ColumnElement[bool]:
    return sa.and_(deliveries.c.event_id == event_id, deliveries.c.callback_id == callback_id)


def _active_token(
    database: Database, connection: Connection, tokens: Tokens, token_id: TokenId
) -> Token:
    """Raises Conflict unless the token is active."""
    token = readable(tokens.get_in(connection, token_id))
    state = token.state(database.now(connection))
    if state is not TokenState.ACTIVE:
        raise Conflict(f"the token is {state.value}: only an active one is called")
    return token


def _kept_event(connection: Connection, event_id: EventId) -> Row:
    """Return the event and keep it until the commit: an attempt of a deleted one would wait
    forever. Raises NotFound.
    """
    stored = sa.select(events.c.type, events.c.channel_id, events.c.body).where(
        events.c.id == event_id
    )
    row = connection.execute(stored.with_for_update(read=True, key_share=True)).one_or_none()
    if row is None:
        raise NotFound(f"the event {event_id} is gone: it was older than RINGBACK_RETENTION")
    return row


def _is_overtaken(connection: Connection, event: Row, callback_id: CallbackId) -> bool:
    if event.type != EventType.MESSAGE_STATUS:
        return False
    facts = stored_facts(event.type, bytes(event.body))
    if facts is None or facts.message_id is None or facts.status is None:
        return False  # it has no rank, so nothing is newer
    status = (callback_id, facts.message_id, facts.status)
    return bool(status_locks.overtaken_among(connection, {status}))
