"""What came off the broker becomes rows of the outbox: events that it gave up, and dead letters. No
message stops another.

Without the outbox's bound: these were accepted once. Called by `rabbit_returned` and
`rabbit_burials`, in a thread.
"""

import contextlib
from collections.abc import Sequence

from exchange.port import Message
from schemas.errors import StoreRefused, StoreUnavailable
from schemas.events.events import MAX_EVENT_BYTES, parse_event
from schemas.texts import storable
from schemas.times import now_ms
from store.engine import bulk
from store.engine.database import Database
from store.events import outbox

BATCH_BYTES = 4 * 1024 * 1024
"""Of the messages of one transaction, as large as they come. More: more memory, as the driver
copies each several times. Fewer: more commits while events are large.
"""

REASON_LENGTH = 1000
"""Characters of a dead letter's reason. A header must fit into one frame; of a stranger's there may
be a hundred thousand.
"""


def row(message: Message, reason: str | None = None) -> bulk.Row:
    """With a reason it is a dead letter. An id that stands beside an event's body moves into it,
    for a dispatcher of an earlier version. What is no event is found out by whoever takes it.
    """
    body, message_id, directly = message.body, message.message_id, message.accepted_at is None
    if message_id is not None and reason is None:
        with contextlib.suppress(Exception):  # a mistake of ours, too, must cost this message only
            body, message_id = (
                parse_event(body, message_id=message_id, id_required=True).message(),
                None,
            )
            directly = (
                directly and len(body) <= MAX_EVENT_BYTES
            )  # else it goes as one of the API's, whose limit leaves room for an id
    return {
        "body": body,
        "accepted_at": message.accepted_at or now_ms(),
        "via_amqp": directly,
        "message_id": None if message_id is None else storable(message_id),
        "reason": None if reason is None else storable(reason[:REASON_LENGTH]),
    }


def fitting(messages: Sequence[Message]) -> int:
    """How many of them, from the first, go into one transaction: one at least."""
    size_bytes = 0
    for number, message in enumerate(messages):
        size_bytes += len(message.body)
        if size_bytes > BATCH_BYTES:
            return max(1, number)
    return len(messages)


def store(database: Database, rows: Sequence[bulk.Row]) -> list[tuple[int, str]]:
    """Which of them cannot be stored, by their places, and why; all others are. Raises
    StoreUnavailable: some may be stored then.
    """
    try:
        with database.write() as connection:
            outbox.add(connection, rows)
            database.notify(connection, outbox.NOTIFICATION)
    except StoreUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - also a mistake of ours: it must cost the message that it is about, and no other
        if len(rows) == 1:
            return [(0, _told(error))]
        half = len(rows) // 2
        earlier = store(database, rows[:half])
        return [
            *earlier,
            *((half + number, reason) for number, reason in store(database, rows[half:])),
        ]
    return []


def _told(error: Exception) -> str:
    return (
        str(error)
        if isinstance(error, StoreRefused)
        else f"it cannot be stored, which is a mistake of Ringback's: {error!r}"
    )
