"""Events: read, checked, and written as bytes.

`data` is checked but never rewritten: the receiver gets the backend's data byte for byte, so that
`1.10` and twenty-digit integers survive. Called by the API on posted events, and by the consumers
on messages of the exchange.
"""

import contextlib
import re
from collections.abc import Sequence
from hashlib import sha256

import msgspec

from schemas.errors import MAX_COUNTED, Fault, InvalidEvent
from schemas.events.data import (
    CONTENT_MODELS,
    DATA_MODELS,
    Content,
    Facts,
    facts_of,
    known_content,
)
from schemas.events.full_reading import (
    ENVELOPE,
    MAX_DEPTH,
    events_of,
    has_duplicate_name,
    read_in_full,
)
from schemas.events.json_text import decoded, depth
from schemas.events.types import EventType
from schemas.ids import EVENT_ID, FREE_EVENT_ID, EventId, new_event_id
from schemas.times import UnixMs, from_rfc3339, to_rfc3339

__all__ = [
    "MAX_BATCH",
    "MAX_DEPTH",
    "MAX_EVENT_BYTES",
    "SCHEMA_VERSION",
    "Event",
    "parse_batch",
    "parse_event",
]

MAX_EVENT_BYTES = 256 * 1024
"""The largest event; larger ones are refused (413, or a dead letter). Larger: a dispatcher, which
holds thousands of events at once, needs more memory. Smaller: some events cannot be published.
"""

_ADDED_BYTES = 256
"""Bytes allowed beyond the limit for events that the API accepted. `Event.message` adds fewer bytes
than that to a posted event (an id of at most 64 characters with its name, four to a timestamp). An
event that was answered with 202 must not become a dead letter because of its size.
"""

MAX_BATCH = 1000
"""Events in a batch. Larger: a request needs more memory and time. Smaller: more requests."""

SCHEMA_VERSION = "1"
"""The version of the webhook's body, which a receiver can check."""


class Event(msgspec.Struct, frozen=True):
    """Something that happened on the chat platform, immutable."""

    id: EventId
    """The id, from the backend or generated."""

    type: EventType
    """The event type."""

    given_timestamp: UnixMs | None
    """When the event happened, by its backend; None: not given."""

    data: bytes
    """The data, byte for byte as the backend sent it."""

    facts: Facts
    """The values in the data that decide how the event is delivered."""

    def message(self) -> bytes:
        """Return the event as it travels on the exchange, with its id (`docs/backends.md`)."""
        timestamp = (
            b""
            if self.given_timestamp is None
            else b'"timestamp":"%s",' % to_rfc3339(self.given_timestamp).encode()
        )
        return b'{"id":"%s","type":"%s",%s"data":%s}' % (
            self.id.encode(),
            self.type.encode(),
            timestamp,
            self.data,
        )

    def timestamp(self, accepted_at: UnixMs) -> UnixMs:
        """Return when the event happened: the given time, else the time of acceptance."""
        return accepted_at if self.given_timestamp is None else self.given_timestamp

    def webhook_body(self, accepted_at: UnixMs) -> bytes:
        """Return the body of every attempt. It is put together once, so that the signed bytes are
        the bytes that are sent (`docs/receivers.md`).
        """
        timestamp = to_rfc3339(self.timestamp(accepted_at)).encode()
        return b'{"id":"%s","type":"%s","schema_version":"%s","timestamp":"%s","data":%s}' % (
            self.id.encode(),
            self.type.encode(),
            SCHEMA_VERSION.encode(),
            timestamp,
            self.data,
        )

    def content_hash(self) -> bytes:
        """Return a hash that distinguishes a repeated event from another event with the same id. A
        given timestamp is compared in addition to the hash.
        """
        return sha256(self.type.encode() + b"\0" + self.data).digest()


class _Envelope(msgspec.Struct):
    type: str
    data: msgspec.Raw
    id: EventId | None = None
    timestamp: str | None = None


class _PublishedBatch(msgspec.Struct):
    events: list[msgspec.Raw]


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_batch = msgspec.json.Decoder(_PublishedBatch).decode
_decode_data = {
    event_type: msgspec.json.Decoder(model).decode for event_type, model in DATA_MODELS.items()
}
_decode_content = msgspec.json.Decoder(Content).decode
_decode_known_content = msgspec.json.Decoder(known_content()).decode
_TYPES = {str(event_type): event_type for event_type in EventType}

_IDS = 3
"""Ids in ordinary data: of a message or conversation, its channel and its customer."""

_BARE, _WITH_ID, _WITH_TIMESTAMP = (
    len('{"type":"","data":}'),
    len('"id":"",'),
    len('"timestamp":"",'),
)
_ENVELOPE_NAMES = tuple(f'"{name}"'.encode() for name in ENVELOPE)
_CREATED, _STATUS = EventType.CONVERSATION_CREATED, EventType.MESSAGE_STATUS
_BACKSLASH, _LIST = b"\\["
_ODD_ESCAPE = re.compile(rb"\\u00(?:00|5[fF]|6[1-9a-fA-F]|7[0-9aA])")
"""Escapes of U+0000, and of letters in the names of `DECIDING`, which are escaped only to hide a
name.
"""


def parse_event(
    body: bytes, *, message_id: str | None = None, id_required: bool = False, accepted: bool = False
) -> Event:
    """Read and check one event (`docs/backends.md`). Raises InvalidEvent.

    `message_id`, AMQP's property, replaces an absent `id`. With neither of them, an id is
    generated, or the event is refused if `id_required` (messages of the exchange). `accepted`: the
    API has accepted the event and added to it, perhaps by the rules of an earlier version.
    """
    if not body.isascii():
        _require_utf8(body)
    return _parse(body, "", message_id, id_required, accepted=accepted)


def parse_batch(body: bytes) -> list[Event]:
    """Read and check `{"events":[…]}`, all or nothing. Raises InvalidEvent with the faults of every
    invalid event.
    """
    _require_utf8(body)
    raw_events = _raw_events(body)
    if not 1 <= len(raw_events) <= MAX_BATCH:
        raise InvalidEvent(
            [Fault(f"a batch holds 1 to {MAX_BATCH} events, this one {len(raw_events)}", "/events")]
        )
    events: list[Event] = []
    faults: list[Fault] = []
    for index, raw in enumerate(raw_events):
        try:
            events.append(_parse(bytes(raw), f"/events/{index}", None, False))
        except InvalidEvent as error:
            faults.extend(error.faults)
            if len(faults) >= MAX_COUNTED:
                break
    if faults:
        raise InvalidEvent(faults)
    return events


def _raw_events(body: bytes) -> Sequence[msgspec.Raw | bytes]:
    # after an error, the full reading accepts the batch all the same, or says what is wrong
    with contextlib.suppress(msgspec.DecodeError, RecursionError):
        if body.count(b'"events"') == 1 and not _ODD_ESCAPE.search(body):
            return _decode_batch(body).events
    return events_of(body)


def _parse(
    body: bytes, at: str, message_id: str | None, id_required: bool, *, accepted: bool = False
) -> Event:
    if len(body) > MAX_EVENT_BYTES + (_ADDED_BYTES if accepted else 0):
        raise InvalidEvent(
            [Fault(f"an event is at most {MAX_EVENT_BYTES} bytes, this one is {len(body)}", at)]
        )
    ids = EVENT_ID if accepted else FREE_EVENT_ID
    return _read_fast(body, message_id, id_required, ids) or Event(
        *read_in_full(body, at, message_id, id_required=id_required, ids=ids)
    )


def _read_fast(
    body: bytes, message_id: str | None, id_required: bool, ids: re.Pattern[str] = FREE_EVENT_ID
) -> Event | None:
    """Read nearly all events. Return None for an event that is invalid or unusual: `read_in_full`
    finds out which (docs/decisions/0011-two-readings.md).
    """
    try:
        envelope = _decode_envelope(body)
        event_type = _TYPES[envelope.type]
        data = bytes(envelope.data)
        model = _decode_data[event_type](data)
        if event_type is EventType.MESSAGE_RECEIVED:
            content = model.message.content  # type: ignore[union-attr]  # MessageReceived, by type
            _check_content(content)
        timestamp = None if envelope.timestamp is None else from_rfc3339(envelope.timestamp)
    except (ValueError, KeyError, RecursionError):  # msgspec's errors are ValueErrors
        return None
    event_id = envelope.id
    if event_id is None and (message_id is not None or not id_required):
        event_id = new_event_id() if message_id is None else EventId(message_id)
    if event_id is None or not ids.fullmatch(event_id) or _is_odd(body, data):
        return None
    if _may_repeat_a_name(body, envelope, event_type, data) and has_duplicate_name(
        body, event_type
    ):
        return None
    return Event(event_id, event_type, timestamp, data, facts_of(model))


def _check_content(content: msgspec.Raw) -> None:
    """Check a message's content. Raises msgspec.DecodeError."""
    try:
        _decode_known_content(content)
    except msgspec.ValidationError:
        if _decode_content(content).type in CONTENT_MODELS:
            raise


def _is_odd(body: bytes, data: bytes) -> bool:
    """Return whether an id may hold U+0000, a name may be escaped, or the nesting is too deep."""
    return (_BACKSLASH in body and _ODD_ESCAPE.search(body) is not None) or (
        data.count(b"{") + (_LIST in data and data.count(b"[")) > MAX_DEPTH
        and depth(data) > MAX_DEPTH
    )


def _may_repeat_a_name(
    body: bytes, envelope: _Envelope, event_type: EventType, data: bytes
) -> bool:
    """Return False if no name of `DECIDING` occurs twice, which lengths and counts show: each
    object that decides something has one `id`, and the envelope mostly has no room for another
    name.
    """
    room = len(body) - len(data) - len(event_type) - _BARE
    if envelope.id is not None:
        room -= _WITH_ID + len(envelope.id)
    if envelope.timestamp is not None:
        room -= _WITH_TIMESTAMP + len(envelope.timestamp)
    return (
        (
            room >= _WITH_ID
            and any(body.count(name) - data.count(name) > 1 for name in _ENVELOPE_NAMES)
        )
        or data.count(b'"id"') > _IDS
        or (event_type is not _CREATED and data.count(b'"conversation_id"') > 1)
        or (event_type is _STATUS and data.count(b'"status"') > 1)
    )


def _require_utf8(body: bytes) -> None:
    try:
        decoded(body)
    except ValueError as error:
        raise InvalidEvent([Fault(str(error), "")], malformed=True) from None
