"""Events: read, checked, and spelled as bytes.

`data` is checked but never rewritten: what the backend sent is what the receiver gets, byte for byte, so that `1.10` and
twenty-digit integers survive. Called by the API on what is posted and by the consumers on what comes off the exchange.
"""

import re
from hashlib import sha256

import msgspec

from schemas.errors import Fault, InvalidEvent
from schemas.event_data import CONTENT_MODELS, DATA_MODELS, Content, Facts, MessageReceived, facts_of
from schemas.event_types import EventType
from schemas.ids import EVENT_ID, EventId, new_event_id
from schemas.times import UnixMs, from_rfc3339, to_rfc3339

MAX_EVENT_BYTES = 256 * 1024
"""Larger ones are refused (413, or a dead letter): a dispatcher holds thousands of events in memory at once."""

_ADDED_BYTES = 256
"""Allowed beyond the limit to what comes off the exchange. More than `Event.message` adds to what was posted (an id of at most 64
characters with its name, four to a timestamp): what was answered 202 must not become a dead letter for its size."""

MAX_BATCH = 1000

MAX_DEPTH = 100
"""Of the data, in nested objects and lists. JSON is read within what the stack leaves at that place, near a thousand: without a limit of
our own an event could be accepted here and break whoever reads it from deeper calls, such as the list that shows it."""

SCHEMA_VERSION = "1"


class Event(msgspec.Struct, frozen=True):
    """Something that happened, immutable. `given_timestamp` is None until the event is accepted without one."""

    id: EventId
    type: EventType
    given_timestamp: UnixMs | None
    data: bytes
    facts: Facts

    def message(self) -> bytes:
        """The event as it travels on the exchange: section 3 of the contract, with its id."""
        timestamp = b"" if self.given_timestamp is None else b'"timestamp":"%s",' % to_rfc3339(self.given_timestamp).encode()
        return b'{"id":"%s","type":"%s",%s"data":%s}' % (self.id.encode(), self.type.encode(), timestamp, self.data)

    def timestamp(self, accepted_at: UnixMs) -> UnixMs:
        """When it happened: as given, else when it was accepted."""
        return accepted_at if self.given_timestamp is None else self.given_timestamp

    def webhook_body(self, accepted_at: UnixMs) -> bytes:
        """The body of every attempt (section 4), put together once: the bytes signed are the bytes sent."""
        timestamp = to_rfc3339(self.timestamp(accepted_at)).encode()
        return b'{"id":"%s","type":"%s","schema_version":"%s","timestamp":"%s","data":%s}' % (
            self.id.encode(), self.type.encode(), SCHEMA_VERSION.encode(), timestamp, self.data)  # fmt: skip

    def content_hash(self) -> bytes:
        """Tells the same event again from another one under the same id; a given timestamp is compared beside it."""
        return sha256(self.type.encode() + b"\0" + self.data).digest()


class _Envelope(msgspec.Struct):
    type: str
    data: msgspec.Raw
    id: str | None = None
    timestamp: str | None = None


class _Batch(msgspec.Struct):
    events: list[msgspec.Raw]


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_batch = msgspec.json.Decoder(_Batch).decode
_decode_data = {kind: msgspec.json.Decoder(model).decode for kind, model in DATA_MODELS.items()}
_decode_content_type = msgspec.json.Decoder(Content).decode
_decode_content = {name: msgspec.json.Decoder(model).decode for name, model in CONTENT_MODELS.items()}
_TYPES = {str(kind): kind for kind in EventType}
_PATH = re.compile(r" - at `\$(.*)`$")
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_BRACKETS_ONLY = bytes.maketrans(b"{}", b"[]"), bytes(set(range(256)) - set(b"[]{}"))


def parse_event(body: bytes, *, message_id: str | None = None, id_required: bool = False) -> Event:
    """Read and check one event as section 3 of the contract has it.

    `message_id` stands in for an absent `id` (AMQP); with neither, an id is made, or refused when `id_required`: off the exchange.
    Raises InvalidEvent.
    """
    _require_utf8(body)
    return _parse(body, "", message_id, id_required)


def parse_batch(body: bytes) -> list[Event]:
    """Read and check `{"events":[…]}`; all or nothing. Raises InvalidEvent naming every bad one by pointer."""
    _require_utf8(body)
    try:
        raw_events = _decode_batch(body).events
    except (msgspec.DecodeError, RecursionError) as error:
        raise _invalid(error, "") from None
    if not 1 <= len(raw_events) <= MAX_BATCH:
        raise InvalidEvent([Fault(f"a batch holds 1 to {MAX_BATCH} events, this one {len(raw_events)}", "/events")])
    events: list[Event] = []
    faults: list[Fault] = []
    for index, raw in enumerate(raw_events):
        try:
            events.append(_parse(bytes(raw), f"/events/{index}", None, id_required=False))
        except InvalidEvent as error:
            faults.extend(error.faults)
    if faults:
        raise InvalidEvent(faults)
    return events


def _parse(body: bytes, at: str, message_id: str | None, id_required: bool) -> Event:
    if len(body) > MAX_EVENT_BYTES + (_ADDED_BYTES if id_required else 0):
        raise InvalidEvent([Fault(f"an event is at most {MAX_EVENT_BYTES} bytes, this one is {len(body)}", at)])
    try:
        envelope = _decode_envelope(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _invalid(error, at) from None
    kind = _TYPES.get(envelope.type)
    if kind is None:
        raise InvalidEvent([Fault(f"the type is one of {', '.join(_TYPES)}", at + "/type")])
    event_id = _event_id(message_id if envelope.id is None else envelope.id, at, id_required)
    data = bytes(envelope.data)
    return Event(event_id, kind, _timestamp(envelope.timestamp, at), data, _facts(kind, data, at + "/data"))


def _event_id(given: str | None, at: str, required: bool) -> EventId:
    if given is None:
        if required:
            raise InvalidEvent([Fault("an id is required here, in the JSON or as the property message_id", at + "/id")])
        return new_event_id()
    if not EVENT_ID.fullmatch(given):
        raise InvalidEvent([Fault("an id is 1 to 64 of A-Z a-z 0-9 _ -", at + "/id")])
    return EventId(given)


def _timestamp(given: str | None, at: str) -> UnixMs | None:
    if given is None:
        return None
    try:
        return from_rfc3339(given)
    except ValueError:
        told = "a timestamp is an RFC 3339 time with an offset, such as 2026-11-22T10:00:00.000Z, in the years 1000 to 9999 (UTC)"
        raise InvalidEvent([Fault(told, at + "/timestamp")]) from None


def _facts(kind: EventType, data: bytes, at: str) -> Facts:
    if _is_deep(data):
        raise InvalidEvent([Fault(f"the data is nested deeper than {MAX_DEPTH} levels", at)])
    try:
        model = _decode_data[kind](data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _invalid(error, at) from None
    if isinstance(model, MessageReceived):
        _check_content(model.message.content, at + "/message/content")
    facts = facts_of(model)
    if "\0" in f"{facts.channel_id}{facts.conversation_id}{facts.message_id}":
        raise InvalidEvent([Fault("an id must not hold the character U+0000", at)])
    return facts


def _is_deep(data: bytes) -> bool:
    """Of valid JSON. Free for what has few brackets; else each pass takes the innermost level away."""
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return False
    brackets = _STRING.sub(b"", data).translate(*_BRACKETS_ONLY)
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"")
        if not brackets:
            return False
    return True


def _check_content(content: msgspec.Raw, at: str) -> None:
    try:
        name = _decode_content_type(content).type
        if decode := _decode_content.get(name):
            decode(content)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _invalid(error, at) from None


def _require_utf8(body: bytes) -> None:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise InvalidEvent([Fault(f"the body is not UTF-8 (byte {error.start})", "")], malformed=True) from None


def _invalid(error: Exception, at: str) -> InvalidEvent:
    """msgspec's message and path (`$.message.id`, `$.events[1]`) as our fault and pointer."""
    if isinstance(error, RecursionError):
        return InvalidEvent([Fault("the JSON is nested too deeply", at)], malformed=True)
    text = str(error)
    if not isinstance(error, msgspec.ValidationError):
        return InvalidEvent([Fault(text, at)], malformed=True)
    path = _PATH.search(text)
    pointer = path[1].replace("[", ".").replace("]", "").replace(".", "/") if path else ""
    return InvalidEvent([Fault(_PATH.sub("", text).replace("`", ""), at + pointer)])
