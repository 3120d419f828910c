"""Values for tests: a valid event, a claim, a delivery, each with the fields that the test does not
care about filled in.
"""

import json
from collections.abc import Iterable

from schemas.deliveries.deliveries import Attempt, Delivery, Outcome, Trigger
from schemas.events.events import Event, parse_event
from schemas.events.types import EventType
from schemas.ids import AttemptId, CallbackId, EventId, TokenId, new_attempt_id
from schemas.times import UnixMs, now_ms
from schemas.tokens.tokens import Callback, DatedSecret, Token
from store.events.claims import Claim

CALLBACK = CallbackId("a" * 16)
TOKEN = TokenId("tok_1")


def message_body(
    event_id: str = "evt_1",
    text: str = "hello",
    conversation: str = "cnv_1",
    channel: str = "chn_1",
    **envelope: object,
) -> bytes:
    """A `message.received` event as a backend posts it."""
    data = {
        "message": {
            "id": "msg_1",
            "conversation_id": conversation,
            "content": {"type": "text", "text": text},
        },
        "channel": {"id": channel, "kind": "whatsapp"},
        "customer": {"id": "cus_1"},
    }
    return json.dumps(
        {"id": event_id, "type": "message.received", "data": data} | envelope
    ).encode()


def an_event(
    event_id: str = "evt_1", text: str = "hello", channel: str = "chn_1", **envelope: object
) -> Event:
    return parse_event(
        message_body(event_id, text, channel=channel, **envelope), accepted=True
    )  # a sample has an id of its own


def a_claim(
    event_id: str = "evt_1",
    *callbacks: str,
    text: str = "hello",
    channel: str = "chn_1",
    accepted_at: int = 1_000,
) -> Claim:
    event = an_event(event_id, text, channel)
    return Claim(
        event,
        UnixMs(accepted_at),
        False,
        tuple(CallbackId(c) for c in callbacks),
        event.webhook_body(UnixMs(accepted_at)),
    )


def a_delivery(
    event_id: str = "evt_1",
    callback_id: str = CALLBACK,
    *,
    conversation: str = "cnv_1",
    channel: str = "chn_1",
    lease: int = 0,
    failures: int = 0,
    number: int = 1,
    trigger: Trigger = Trigger.FIRST,
    attempt_id: str | None = None,
    start_by_s: float = float("inf"),
    queued_at: int = 2_000,
    sequence: int = 0,
    body: bytes = b"{}",
) -> Delivery:
    return Delivery(
        event_id=EventId(event_id),
        callback_id=CallbackId(callback_id),
        token_id=TOKEN,
        type=EventType.MESSAGE_RECEIVED,
        conversation_id=conversation,
        channel_id=channel,
        body=body,
        accepted_at=UnixMs(1_000),
        created_at=UnixMs(2_000),
        queued_at=UnixMs(queued_at),
        sequence=sequence,
        lease=lease,
        failures=failures,
        number=number,
        trigger=trigger,
        attempt_id=AttemptId(attempt_id) if attempt_id else None,
        start_by_s=start_by_s,
    )


def an_attempt(
    outcome: Outcome = Outcome.DELIVERED,
    status_code: int | None = 200,
    number: int = 1,
    error: str | None = None,
) -> Attempt:
    return Attempt(
        id=new_attempt_id(),
        number=number,
        trigger=Trigger.FIRST,
        started_at=now_ms(),
        duration_ms=3,
        outcome=outcome,
        status_code=status_code,
        error=error,
        request_headers={"webhook-id": "evt_1"},
        response_body=b"ok",
    )


def a_callback(
    *,
    url: str = "https://receiver.test/hook",
    enabled: bool = True,
    headers: dict[str, str] | None = None,
) -> Callback:
    return Callback(CALLBACK, TOKEN, EventType.MESSAGE_RECEIVED, url, enabled, headers or {})


def a_token(
    *,
    enabled: bool = True,
    activates_at: int = 0,
    expires_at: int | None = None,
    revoked_at: int | None = None,
    channels: Iterable[str] | None = None,
    key: bytes = b"k" * 24,
) -> Token:
    """Active from the beginning of time, with no callbacks in it."""
    return Token(
        id=TOKEN,
        name="CRM",
        hint="rbk_…abcd",
        created_at=UnixMs(0),
        activates_at=UnixMs(activates_at),
        expires_at=None if expires_at is None else UnixMs(expires_at),
        revoked_at=None if revoked_at is None else UnixMs(revoked_at),
        enabled=enabled,
        permissions=frozenset(),
        channels=None if channels is None else frozenset(channels),
        callbacks={},
        last_used_at=None,
        hashes=(),
        signing_keys=(DatedSecret(key),),
    )
