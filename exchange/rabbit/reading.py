"""Messages read from a connection's bytes in one pass, and acknowledgements written in one. Pure.

pika makes three frames, a method and properties of each message, by sixty calls: a tenth of all
that a dispatcher computes for an event. Here a message in its common form is read at once. What is
not common is left to pika: other methods, a body of several frames, a message that has not arrived
whole, rare types of headers. Called by `connection`. No library of AMQP is imported.

The layout is that of AMQP 0-9-1, sections 2.3.5 and 4.2: each frame is a type, a channel, a size,
so many bytes and an end mark. A message is the method basic.deliver, a header, and its body.
"""

import struct
from collections.abc import Callable, Sequence

import msgspec

_METHOD, _HEADER, _BODY, _HEARTBEAT = 1, 2, 3, 8
_FRAME_TYPES = frozenset((_METHOD, _HEADER, _BODY, _HEARTBEAT))
_END = 0xCE
_BASIC = 60
_ACK, _DELIVER = _BASIC << 16 | 80, _BASIC << 16 | 60

_FRAME = struct.Struct(">BHI")
_METHOD_FRAME = struct.Struct(">BHIIB")
"""The beginning of a delivery, with the length of the consumer's tag, which follows."""
_HEADER_FRAME = struct.Struct(">BBHIHxxQH")
"""The end mark before it, its beginning, the class, the size of the body, and which properties
follow.
"""
_BODY_FRAME = struct.Struct(">BBHI")
"""The end mark before it, and its beginning."""
_ACK_FRAME = struct.Struct(">BHIIQBB")
_TAG, _TABLE_SIZE, _FLAGS = struct.Struct(">Q"), struct.Struct(">I"), struct.Struct(">H")

_CONTENT_TYPE, _CONTENT_ENCODING, _HEADERS, _DELIVERY_MODE = 1 << 15, 1 << 14, 1 << 13, 1 << 12
_PRIORITY, _MESSAGE_ID, _TIMESTAMP, _MORE_FLAGS = 1 << 11, 1 << 7, 1 << 6, 1
_WORDS_BEFORE_ID = (1 << 10, 1 << 9, 1 << 8)
"""Correlation id, reply-to, expiration."""
_WORDS_AFTER_ID = (1 << 5, 1 << 4, 1 << 3, 1 << 2)
"""Type, user id, app id, cluster id."""
_BEFORE_ID, _AFTER_ID = sum(_WORDS_BEFORE_ID), sum(_WORDS_AFTER_ID)

_NUMBERS = {
    ord(kind): struct.Struct(f">{code}")
    for kind, code in zip("tbBUsIilL", "?bBhhiIqq", strict=True)
}
"""How RabbitMQ's types of numbers are read. Its `L` has a sign. A float is left to pika."""
_TEXT = ord("S")


class Message(msgspec.Struct):
    """A message with what is used of its method and its properties."""

    channel: int
    """The number of its channel."""
    consumer: str
    """The tag of its consumer."""
    delivery_tag: int
    """Its own number on the channel."""
    message_id: str | None
    headers: dict[str, object] | None
    body: bytes
    frames: int
    """How many frames it came in."""
    end: int
    """Where the next frame begins."""


def read(
    data: bytes, consumed: Callable[[Message, int], bool], other: Callable[[bytes], None]
) -> bytes:
    """Read all that has arrived whole, and return the rest.

    `consumed` gets each message with its size, and returns whether it took it. `other` gets each
    frame of all else.
    """
    at = 0
    while at < len(data):
        message = message_at(data, at)
        if message is not None and consumed(message, message.end - at):
            at = message.end
            continue
        end = frame_end(data, at)
        if end is None:
            break
        frame, at = data[at:end], end
        other(frame)
    return data[at:]


def message_at(buffer: bytes, at: int) -> Message | None:
    """Read the message that begins there. Return None for anything that is pika's to read."""
    try:
        return _message(buffer, at)
    except (struct.error, LookupError, UnicodeDecodeError):
        return None


def _message(buffer: bytes, at: int) -> Message | None:
    kind, channel, size, method, tag_size = _METHOD_FRAME.unpack_from(buffer, at)
    if kind != _METHOD or method != _DELIVER:
        return None
    tag_at = at + _METHOD_FRAME.size
    consumer = str(buffer[tag_at : tag_at + tag_size], "utf-8")
    (delivery_tag,) = _TAG.unpack_from(buffer, tag_at + tag_size)

    method_end = at + _FRAME.size + size
    mark, kind, header_channel, size, amqp_class, body_size, flags = _HEADER_FRAME.unpack_from(
        buffer, method_end
    )
    if mark != _END or kind != _HEADER or header_channel != channel or amqp_class != _BASIC:
        return None
    header_end = method_end + 1 + _FRAME.size + size
    message_id, headers, end = _properties(buffer, method_end + _HEADER_FRAME.size, flags)
    if end != header_end:
        return None

    body_at = body_end = header_end
    if body_size:
        mark, kind, body_channel, size = _BODY_FRAME.unpack_from(buffer, header_end)
        if mark != _END or kind != _BODY or body_channel != channel or size != body_size:
            return None
        body_at = header_end + _BODY_FRAME.size
        body_end = body_at + size
    if buffer[body_end] != _END:
        return None
    frames, body = 3 if body_size else 2, buffer[body_at:body_end]
    return Message(channel, consumer, delivery_tag, message_id, headers, body, frames, body_end + 1)


def _properties(
    buffer: bytes, at: int, flags: int
) -> tuple[str | None, dict[str, object] | None, int]:
    """Read the message's id and headers. Return them with where the properties end."""
    headers = message_id = None
    if flags & _CONTENT_TYPE:
        at += 1 + buffer[at]
    if flags & _CONTENT_ENCODING:
        at += 1 + buffer[at]
    if flags & _HEADERS:
        headers, at = _table(buffer, at)
    if flags & _DELIVERY_MODE:
        at += 1
    if flags & _PRIORITY:
        at += 1
    if flags & _BEFORE_ID:
        at = _after_words(buffer, at, flags, _WORDS_BEFORE_ID)
    if flags & _MESSAGE_ID:
        end = at + 1 + buffer[at]
        message_id, at = str(buffer[at + 1 : end], "utf-8"), end
    if flags & _TIMESTAMP:
        at += 8
    if flags & _AFTER_ID:
        at = _after_words(buffer, at, flags, _WORDS_AFTER_ID)
    # further flags would come before the properties
    return message_id, headers, -1 if flags & _MORE_FLAGS else at


def _after_words(buffer: bytes, at: int, flags: int, words: Sequence[int]) -> int:
    """Return where those of these short texts end that are there."""
    for word in words:
        if flags & word:
            at += 1 + buffer[at]
    return at


def _table(buffer: bytes, at: int) -> tuple[dict[str, object], int]:
    """Read a table of texts and whole numbers. Raises LookupError at any other value."""
    table: dict[str, object] = {}
    end = at + _TABLE_SIZE.size + _TABLE_SIZE.unpack_from(buffer, at)[0]
    at += _TABLE_SIZE.size
    while at < end:
        kind_at = at + 1 + buffer[at]
        name, kind, at = str(buffer[at + 1 : kind_at], "utf-8"), buffer[kind_at], kind_at + 1
        if kind == _TEXT:
            text_at = at + _TABLE_SIZE.size
            at = text_at + _TABLE_SIZE.unpack_from(buffer, at)[0]
            table[name] = str(buffer[text_at:at], "utf-8")
        else:
            number = _NUMBERS[kind]
            (table[name],) = number.unpack_from(buffer, at)
            at += number.size
    return table, at


def frame_end(buffer: bytes, at: int) -> int | None:
    """Return where the frame ends that begins there; None if it has not arrived whole. What is no
    frame goes on to the end of the buffer.
    """
    if buffer[at] not in _FRAME_TYPES:
        return len(buffer)
    if at + _FRAME.size > len(buffer):
        return None
    end: int = at + _FRAME.size + _FRAME.unpack_from(buffer, at)[2] + 1
    return end if end <= len(buffer) else None


def without_headers(frame: bytes) -> bytes:
    """Return a header frame as if its table of headers were empty."""
    flags_at = _HEADER_FRAME.size - 3
    (flags,) = _FLAGS.unpack_from(frame, flags_at)
    table_at = flags_at + _FLAGS.size
    for flag in (_CONTENT_TYPE, _CONTENT_ENCODING):
        table_at += 1 + frame[table_at] if flags & flag else 0
    end = table_at + _TABLE_SIZE.size + _TABLE_SIZE.unpack_from(frame, table_at)[0]
    payload = frame[_FRAME.size : table_at] + bytes(_TABLE_SIZE.size) + frame[end:-1]
    kind, channel, _ = _FRAME.unpack_from(frame)
    return _FRAME.pack(kind, channel, len(payload)) + payload + frame[-1:]


def acknowledgements(channel: int, delivery_tags: Sequence[int]) -> bytes:
    """Return the frames that acknowledge messages of a channel, one by one."""
    size = _ACK_FRAME.size - _FRAME.size - 1
    return b"".join(
        [_ACK_FRAME.pack(_METHOD, channel, size, _ACK, tag, 0, _END) for tag in delivery_tags]
    )
