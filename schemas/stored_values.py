"""What was accepted is read back here. No rule is applied again: what a row holds was judged when
it was taken in, by the rules and limits of then, and must be deliverable for as long as it is kept.

Called by the store and the API on the body of an event's row.
"""

from typing import Any

import msgspec

from schemas.events.data import Facts
from schemas.events.json_text import read
from schemas.events.status_order import ranked
from schemas.events.types import EventType

_DATA = b'"data":'
"""Where `Event.webhook_body` begins to repeat what the backend sent. Nothing before it can hold
this: an id, a type and a time.
"""


def data_of(webhook_body: bytes) -> bytes:
    """The data, byte for byte. Raises ValueError when this is no body of a webhook."""
    return webhook_body[webhook_body.index(_DATA) + len(_DATA) : -1]


def tree_of(data: bytes) -> Any:
    """What the JSON says, whatever the fast decoder thinks of the texts and numbers in it. Raises
    ValueError when it is none.
    """
    try:
        return msgspec.json.decode(data)
    except msgspec.DecodeError:
        return read(data.decode())


def stored_facts(kind: str, webhook_body: bytes) -> Facts | None:
    """What the order of its deliveries goes by. None when it cannot be read, which costs its place
    in that order, and nothing else.
    """
    try:
        return facts_in(kind, tree_of(data_of(webhook_body)))
    except (ValueError, LookupError, TypeError, RecursionError):
        return None


def facts_in(kind: str, data: Any) -> Facts:
    """Of data as it was read from JSON. Raises LookupError and TypeError for data that no event
    has.
    """
    channel_id = data["channel"]["id"]
    if kind == EventType.CONVERSATION_CREATED:
        return Facts(channel_id, data["conversation"]["id"], None, None)
    message = data["message"]
    status = ranked(data["status"]) if kind == EventType.MESSAGE_STATUS else None
    return Facts(channel_id, message["conversation_id"], message["id"], status)
