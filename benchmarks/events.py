"""The event that every benchmark sends. Fields that pass through hold what the receiver needs to
count and time it.

Called by the load generator and by `amqp.fill`. Floors and Ringback get the same bytes.
"""

_TEXT = b"hello there, how are you today? " * 8
_CONVERSATIONS = 1000
"""Events of one conversation are sent one after the other. Fewer conversations than events in
flight would measure that waiting.
"""

_DATA = (
    b'{"message":{"id":"m%d","conversation_id":"c%d","content":{"type":"text","text":"'
    + _TEXT
    + b'"}},'
    b'"channel":{"id":"chn_01","kind":"whatsapp"},'
    b'"customer":{"id":"cus_01","display_name":"Maria"},'
    b'"bench_seq":%d,"bench_sent":%.6f}'
)
_POSTED = b'{"type":"message.received","data":' + _DATA + b"}"
_PUBLISHED = (
    b'{"id":"%s","type":"message.received","timestamp":"2026-11-22T10:00:00.000Z","data":'
    + _DATA
    + b"}"
)


def posted(number: int, sent_at_s: float) -> bytes:
    """Return the body of a POST, without an id; `sent_at_s` is in Unix seconds."""
    return _POSTED % (number, number % _CONVERSATIONS, number, sent_at_s)


def published(event_id: str, number: int, sent_at_s: float, padding_bytes: int = 0) -> bytes:
    """Return the message of a backend that publishes by AMQP: 600 bytes and the padding."""
    event = _PUBLISHED % (event_id.encode(), number, number % _CONVERSATIONS, number, sent_at_s)
    return event[:-2] + b',"padding":"' + b"x" * padding_bytes + b'"}}' if padding_bytes else event
