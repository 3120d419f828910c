"""Events: read, checked, and spelled as bytes.

`data` is checked but never rewritten: what the backend sent is what the receiver gets, byte for byte, so that `1.10` and
twenty-digit integers survive. Called by the API on what is posted and by the consumers on what comes off the exchange.
"""

import contextlib
import re
from collections.abc import Sequence
from hashlib import sha256

import msgspec

from schemas.errors import MOST_COUNTED, Fault, InvalidEvent
from schemas.events.data import (
    CONTENT_MODELS,
    DATA_MODELS,
    Content,
    Facts,
    facts_of,
    known_content,
)
from schemas.events.full_reading import ENVELOPE, MAX_DEPTH, comes_twice, events_of, look
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
"""Larger ones are refused (413, or a dead letter): a dispatcher holds thousands of events in memory
at once.
"""

_ADDED_BYTES = 256
"""Allowed beyond the limit to what the API took. More than `Event.message` adds to what was posted
(an id of at most 64 characters with its name, four to a timestamp): what was answered 202 must not
become a dead letter for its size.
"""

MAX_BATCH = 1000

SCHEMA_VERSION = "1"


class Event(msgspec.Struct, frozen=True):
    """Something that happened, immutable. `given_timestamp` is None until the event is accepted
    without one.
    """

    id: EventId
    type: EventType
    given_timestamp: UnixMs | None
    data: bytes
    facts: Facts

    def message(self) -> bytes:
        """The event as it travels on the exchange: section 3 of the contract, with its id."""
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
        """When it happened: as given, else when it was accepted."""
        return accepted_at if self.given_timestamp is None else self.given_timestamp

    def webhook_body(self, accepted_at: UnixMs) -> bytes:
        """The body of every attempt (section 4), put together once: the bytes signed are the bytes
        sent.
        """
        timestamp = to_rfc3339(self.timestamp(accepted_at)).encode()
        return b'{"id":"%s","type":"%s","schema_version":"%s","timestamp":"%s","data":%s}' % (
            self.id.encode(), self.type.encode(), SCHEMA_VERSION.encode(), timestamp, self.data)  # fmt: skip

    def content_hash(self) -> bytes:
        """Tells the same event again from another one under the same id; a given timestamp is
        compared beside it.
        """
        return sha256(self.type.encode() + b"\0" + self.data).digest()


class _Envelope(msgspec.Struct):
    type: str
    data: msgspec.Raw
    id: EventId | None = None
    timestamp: str | None = None


class _Batch(msgspec.Struct):
    events: list[msgspec.Raw]


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_batch = msgspec.json.Decoder(_Batch).decode
_decode_data = {kind: msgspec.json.Decoder(model).decode for kind, model in DATA_MODELS.items()}
_decode_content = msgspec.json.Decoder(Content).decode
_decode_known_content = msgspec.json.Decoder(known_content()).decode
_TYPES = {str(kind): kind for kind in EventType}

_IDS = 3
"""Of a message or conversation, of its channel and its customer."""

_BARE, _WITH_ID, _WITH_TIMESTAMP = (
    len('{"type":"","data":}'),
    len('"id":"",'),
    len('"timestamp":"",'),
)
_ENVELOPE_NAMES = tuple(f'"{name}"'.encode() for name in ENVELOPE)
_CREATED, _STATUS = EventType.CONVERSATION_CREATED, EventType.MESSAGE_STATUS
_BACKSLASH, _LIST = b"\\["
_ODD_ESCAPE = re.compile(rb"\\u00(?:00|5[fF]|6[1-9a-fA-F]|7[0-9aA])")
"""U+0000, and the letters of the names in `DECIDING`: nobody escapes those but to hide a name."""


def parse_event(
    body: bytes, *, message_id: str | None = None, id_required: bool = False, accepted: bool = False
) -> Event:
    """Read and check one event as section 3 of the contract has it.

    `message_id` stands in for an absent `id` (AMQP); with neither, an id is made, or refused when `id_required`: off the exchange.
    `accepted`: the API took it, and added to it; maybe by the rules of an earlier version. Raises InvalidEvent.
    """
    if not body.isascii():
        _require_utf8(body)
    return _parse(body, "", message_id, id_required, accepted=accepted)


def parse_batch(body: bytes) -> list[Event]:
    """Read and check `{"events":[…]}`; all or nothing. Raises InvalidEvent naming every bad one by
    pointer.
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
            if len(faults) >= MOST_COUNTED:
                break
    if faults:
        raise InvalidEvent(faults)
    return events


def _raw_events(body: bytes) -> Sequence[msgspec.Raw | bytes]:
    with contextlib.suppress(
        msgspec.DecodeError, RecursionError
    ):  # the second look takes it all the same, or says what is wrong
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
    return _first_look(body, message_id, id_required, ids) or Event(
        *look(body, at, message_id, id_required=id_required, ids=ids)
    )


def _first_look(
    body: bytes, message_id: str | None, id_required: bool, ids: re.Pattern[str] = FREE_EVENT_ID
) -> Event | None:
    """The way of nearly all events. None: it is refused, or is out of the ordinary; `look` finds
    out which.
    """
    try:
        envelope = _decode_envelope(body)
        kind = _TYPES[envelope.type]
        data = bytes(envelope.data)
        model = _decode_data[kind](data)
        if kind is EventType.MESSAGE_RECEIVED:
            _check_content(model.message.content)  # type: ignore[union-attr]  # by its kind it is a MessageReceived
        timestamp = None if envelope.timestamp is None else from_rfc3339(envelope.timestamp)
    except (ValueError, KeyError, RecursionError):  # msgspec's errors are ValueErrors
        return None
    event_id = envelope.id
    if event_id is None and (message_id is not None or not id_required):
        event_id = new_event_id() if message_id is None else EventId(message_id)
    if event_id is None or not ids.fullmatch(event_id) or _is_odd(body, data):
        return None
    if _may_come_twice(body, envelope, kind, data) and comes_twice(body, kind):
        return None
    return Event(event_id, kind, timestamp, data, facts_of(model))


def _check_content(content: msgspec.Raw) -> None:
    """Raises msgspec.DecodeError."""
    try:
        _decode_known_content(content)
    except msgspec.ValidationError:
        if _decode_content(content).type in CONTENT_MODELS:
            raise


def _is_odd(body: bytes, data: bytes) -> bool:
    """Whether there may be U+0000 in an id, a name behind escapes, or too deep a nest."""
    return (_BACKSLASH in body and _ODD_ESCAPE.search(body) is not None) or (
        data.count(b"{") + (_LIST in data and data.count(b"[")) > MAX_DEPTH
        and depth(data) > MAX_DEPTH
    )


def _may_come_twice(body: bytes, envelope: _Envelope, kind: EventType, data: bytes) -> bool:
    """False: surely no name of `DECIDING` does. Told by lengths and numbers: each object in the data by which something is decided has an
    `id`, and around the data there is mostly no room for more.
    """
    room = len(body) - len(data) - len(kind) - _BARE
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
        or (kind is not _CREATED and data.count(b'"conversation_id"') > 1)
        or (kind is _STATUS and data.count(b'"status"') > 1)
    )


def _require_utf8(body: bytes) -> None:
    try:
        decoded(body)
    except ValueError as error:
        raise InvalidEvent([Fault(str(error), "")], malformed=True) from None
