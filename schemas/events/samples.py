"""One full sample of each event type, with every documented field: for `emit`, callback tests and
the documentation.
"""

import copy
from typing import Any, TypeAlias

import msgspec

from schemas.events.types import EventType

_CHANNEL = {"id": "chn_support", "kind": "whatsapp", "address": "+390200000001", "provider": "meta"}
_CUSTOMER = {
    "id": "cus_01",
    "external_id": "crm-4711",
    "display_name": "Ada Rossi",
    "identities": [{"kind": "phone", "value": "+390200000002"}],
    "locale": "it-IT",
}
JsonObject: TypeAlias = dict[str, Any]
"""A JSON object as Python has it."""

_DATA: dict[EventType, JsonObject] = {
    EventType.CONVERSATION_CREATED: {
        "conversation": {
            "id": "cnv_01",
            "status": "open",
            "origin": "customer",
            "created_at": "2026-11-22T10:00:00.000Z",
            "queue": "support",
            "assignee": None,
            "metadata": {"order": "A-1001"},
        },
        "channel": _CHANNEL,
        "customer": _CUSTOMER,
    },
    EventType.MESSAGE_RECEIVED: {
        "message": {
            "id": "msg_01",
            "conversation_id": "cnv_01",
            "provider_message_id": "wamid.HBgM01",
            "provider_timestamp": "2026-11-22T10:00:00.000Z",
            "received_at": "2026-11-22T10:00:00.250Z",
            "content": {"type": "text", "text": "Hello, where is my order? 👋"},
            "context": {"reply_to": None, "forwarded": False},
        },
        "channel": _CHANNEL,
        "customer": _CUSTOMER,
    },
    EventType.MESSAGE_STATUS: {
        "message": {
            "id": "msg_02",
            "conversation_id": "cnv_01",
            "provider_message_id": "wamid.HBgM02",
            "client_reference": "reply-1",
        },
        "status": "failed",
        "previous_status": "sent",
        "provider_timestamp": "2026-11-22T10:00:05.000Z",
        "error": {
            "code": 131047,
            "title": "Re-engagement message",
            "detail": "More than 24 hours have passed since the customer's last message",
        },
        "channel": _CHANNEL,
        "customer": _CUSTOMER,
    },
}


def sample_event(event_type: EventType, *, channel_id: str | None = None) -> JsonObject:
    """Return an event as a backend would post it, without an id; on `channel_id` when one is given.
    Each call returns a new object, which the caller may change.
    """
    data = copy.deepcopy(_DATA[event_type])
    if channel_id is not None:
        data["channel"]["id"] = channel_id
    return {"type": event_type.value, "timestamp": "2026-11-22T10:00:00.000Z", "data": data}


def sample_body(event_type: EventType, *, channel_id: str | None = None) -> bytes:
    """Return `sample_event` as JSON."""
    return msgspec.json.encode(sample_event(event_type, channel_id=channel_id))
