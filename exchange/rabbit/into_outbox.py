"""From the broker into the outbox: events that the broker gave up, and dead letters. No message
stops another.

The outbox's bound does not count here: these messages were accepted once. Called by `returned` and
`dead_lettering`, in a thread.
"""

import contextlib
from collections.abc import Sequence

from exchange.port import QueuedMessage
from schemas.errors import StoreRefused, StoreUnavailable
from schemas.events.events import MAX_EVENT_BYTES, parse_event
from schemas.texts import storable
from schemas.times import now_ms
from store.engine import bulk
from store.engine.database import Database
from store.events import outbox

BATCH_BYTES = 4 * 1024 * 1024
"""Bytes of the messages of one transaction. Larger: more memory, as the driver copies each several
times. Smaller: more commits while events are large.
"""

REASON_LENGTH = 1000
"""Characters of a dead letter's reason. A header must fit into one frame, and a publisher may have
written a hundred thousand.
"""


def row(message: QueuedMessage, reason: str | None = None) -> bulk.Row:
    """Return the outbox's row for a message, which is a dead letter if there is a reason.

    An id that was given next to an event's body is moved into it, for dispatchers of an earlier
    version. A message that is not an event stays as it is: the dispatcher that claims it finds out.
    """
    body, message_id, via_amqp = message.body, message.message_id, message.accepted_at is None
    if message_id is not None and reason is None:
        with contextlib.suppress(Exception):  # also a bug: it must cost this message only
            body = parse_event(body, message_id=message_id, id_required=True).message()
            message_id = None
            # larger ones count as the API's, whose limit leaves room for an id
            via_amqp = via_amqp and len(body) <= MAX_EVENT_BYTES
    return {
        "body": body,
        "accepted_at": message.accepted_at or now_ms(),
        "via_amqp": via_amqp,
        "message_id": None if message_id is None else storable(message_id),
        "reason": None if reason is None else storable(reason[:REASON_LENGTH]),
    }


def fitting(messages: Sequence[QueuedMessage]) -> int:
    """Return how many messages, from the first, go into one transaction: at least one."""
    size_bytes = 0
    for number, message in enumerate(messages):
        size_bytes += len(message.body)
        if size_bytes > BATCH_BYTES:
            return max(1, number)
    return len(messages)


def store(database: Database, rows: Sequence[bulk.Row]) -> list[tuple[int, str]]:
    """Store all rows that can be stored, and return the positions of the others with the reasons.
    Raises StoreUnavailable: some may be stored then.
    """
    try:
        with database.write() as connection:
            outbox.add(connection, rows)
            database.notify(connection, outbox.NOTIFICATION)
    except StoreUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - also a bug: it must cost its message only
        if len(rows) == 1:
            return [(0, _error_text(error))]
        half = len(rows) // 2
        earlier = store(database, rows[:half])
        return [
            *earlier,
            *((half + number, reason) for number, reason in store(database, rows[half:])),
        ]
    return []


def _error_text(error: Exception) -> str:
    return (
        str(error)
        if isinstance(error, StoreRefused)
        else f"it cannot be stored because of a bug in Ringback: {error!r}"
    )
