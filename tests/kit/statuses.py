"""Statuses for tests: deliveries of `message.status` events, as a claim hands them over."""

import json

from schemas.deliveries import Delivery
from schemas.event_types import EventType
from schemas.events import parse_event
from schemas.ids import CallbackId, EventId
from schemas.times import UnixMs
from store.claims import Claim
from tests.kit.making import CALLBACK, TOKEN

ORDER = ("queued", "sent", "failed", "delivered", "read")


def status_body(event_id: str, status: str, message_id: str = "msg_1") -> bytes:
    """A `message.status` event as a backend posts it."""
    data = {
        "message": {"id": message_id, "conversation_id": "cnv_1"},
        "status": status,
        "channel": {"id": "chn_1", "kind": "whatsapp"},
    }
    return json.dumps({"id": event_id, "type": "message.status", "data": data}).encode()


def a_status_claim(event_id: str, status: str, message_id: str = "msg_1", callback_id: str = CALLBACK, at: int = 1_000) -> Claim:
    event = parse_event(status_body(event_id, status, message_id))
    return Claim(event, UnixMs(at), False, (CallbackId(callback_id),), event.webhook_body(UnixMs(at)))


def a_status(event_id: str, status: str, message_id: str = "msg_1", callback_id: str = CALLBACK, at: int = 1_000) -> Delivery:
    """Its first attempt, not yet made."""
    claim = a_status_claim(event_id, status, message_id, callback_id, at)
    return Delivery(
        event_id=EventId(event_id),
        callback_id=CallbackId(callback_id),
        token_id=TOKEN,
        type=EventType.MESSAGE_STATUS,
        conversation_id="cnv_1",
        body=claim.body,
        accepted_at=UnixMs(at),
        created_at=UnixMs(at),
        since_at=UnixMs(at),
        message_id=message_id,
        status=status,
    )
