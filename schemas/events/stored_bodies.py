"""Stored webhook bodies, read back. No check is applied again: the body in an event's row was
checked when the event was accepted, by the rules of that time, and must stay deliverable as long as
it is stored.

Called by the store and the API on the body of an event's row.
"""

from typing import Any

import msgspec

from schemas.events.data import Facts, facts_in
from schemas.events.json_text import read

_DATA = b'"data":'
"""The name at which `Event.webhook_body` begins to repeat the backend's data. Nothing before it can
contain this name: only an id, a type and a time.
"""


def data_of(webhook_body: bytes) -> bytes:
    """Return an event's data, byte for byte. Raises ValueError for what is no body of a webhook."""
    return webhook_body[webhook_body.index(_DATA) + len(_DATA) : -1]


def tree_of(data: bytes) -> Any:  # JSON of any shape
    """Return the data as Python values, even if the fast decoder refuses some of its texts or
    numbers. Raises ValueError for what is not JSON.
    """
    try:
        return msgspec.json.decode(data)
    except msgspec.DecodeError:
        return read(data.decode())


def stored_facts(event_type: str, webhook_body: bytes) -> Facts | None:
    """Return the facts by which an event's deliveries are ordered. Return None when they cannot be
    read, so that the event is delivered without that order.
    """
    try:
        return facts_in(event_type, tree_of(data_of(webhook_body)))
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
