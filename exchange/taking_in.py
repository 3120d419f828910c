"""Rows of the outbox that are made of what came off the broker: of events that it gave up.

Called by `rabbit_returned`, in a thread.
"""

import contextlib

from exchange.port import Message
from schemas.errors import InvalidEvent
from schemas.events import MAX_EVENT_BYTES, parse_event
from schemas.texts import storable
from schemas.times import now_ms
from store import bulk

REASON_LENGTH = 1000
"""Characters of a dead letter's reason. A header must fit into one frame; of a stranger's there may be a hundred thousand."""


def row(message: Message, reason: str | None = None) -> bulk.Row:
    """With a reason it is a dead letter. An id that stands beside an event's body moves into it, for a dispatcher of an earlier version.
    What is no event is found out by whoever takes it."""
    body, message_id, directly = message.body, message.message_id, message.accepted_at is None
    if message_id is not None and reason is None:
        with contextlib.suppress(InvalidEvent):
            body, message_id = parse_event(body, message_id=message_id, id_required=True).message(), None
            directly = directly and len(body) <= MAX_EVENT_BYTES  # else it goes as one of the API's, whose limit leaves room for an id
    return {
        "body": body,
        "accepted_at": message.accepted_at or now_ms(),
        "directly": directly,
        "message_id": None if message_id is None else storable(message_id),
        "reason": None if reason is None else storable(reason[:REASON_LENGTH]),
    }
