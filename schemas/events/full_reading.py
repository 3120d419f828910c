"""An event looked at once more, in full and slowly: when the first look refused it, or could not
tell.

It finds every fault, where the fast decoders stop at the first; it takes what they do not know to
be JSON; and it sees names that come twice. What both take is the same event. Called by
`schemas.events.events` alone.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import islice
from types import NoneType, UnionType
from typing import Any, NamedTuple, Union, cast, get_args, get_origin

import msgspec

from schemas.errors import MOST_COUNTED, Fault, InvalidEvent
from schemas.events import data as event_data
from schemas.events.data import CONTENT_MODELS, DATA_MODELS, Content, Facts, Id
from schemas.events.json_text import BYTE_ORDER_MARK, TWICE, Members, depth, items, members, read
from schemas.events.types import EventType
from schemas.ids import EVENT_ID, FREE_EVENT_ID, EventId, new_event_id
from schemas.stored_values import facts_in
from schemas.texts import shortened
from schemas.times import UnixMs, from_rfc3339

MAX_DEPTH = 100
"""Of the data, in nested objects and lists. JSON is read within what the stack leaves at that
place, near a thousand: without a limit of our own an event could be accepted here and break whoever
reads it from deeper calls, such as the list that shows it.
"""

ENVELOPE = ("id", "type", "timestamp", "data")
DECIDING: Mapping[type[msgspec.Struct], tuple[str, ...]] = {
    event_data.ConversationCreated: ("conversation", "channel"),
    event_data.MessageReceived: ("message", "channel"),
    event_data.MessageStatus: ("message", "channel", "status"),
    event_data.Conversation: ("id",),
    event_data.ChatMessage: ("id", "conversation_id"),
    event_data.MessageReference: ("id", "conversation_id"),
    event_data.Channel: ("id",),
}
"""By where they stand: names by whose values something is decided, such as who may see the event.
One that came twice could mean one thing here and another to the receiver.
"""

_NOT_IN_IDS = re.compile("[\0\ud800-\udfff]")
_PATH = re.compile(r" - at `\$(.*)`$")

_TYPES = ", ".join(EventType)


class FullReading(NamedTuple):
    """What an event consists of."""

    id: EventId
    type: EventType
    timestamp: UnixMs | None
    data: bytes
    facts: Facts


def look(
    body: bytes,
    at: str,
    message_id: str | None,
    *,
    id_required: bool,
    ids: re.Pattern[str] = FREE_EVENT_ID,
) -> FullReading:
    """`body` is UTF-8. Raises InvalidEvent with every fault, `MOST_COUNTED` at most; `at` is where the event stands, `ids` are those that
    it may have.
    """
    try:
        return _look(body, at, message_id, id_required=id_required, ids=ids)
    except RecursionError:
        raise _too_deep(at) from None


def events_of(body: bytes) -> list[bytes]:
    """The events of a batch, each as it was written. `body` is UTF-8. Raises InvalidEvent."""
    try:
        tree, spelled = _object(body, "")
        faults = [*_doubled(tree, ("events",), ""), *_field(tree, "events", list[Any], "")]
        if faults:
            raise InvalidEvent(faults)
        return list(items(spelled["events"].decode()))
    except RecursionError:
        raise _too_deep("") from None


def comes_twice(body: bytes, kind: EventType) -> bool:
    """Whether a name by which something is decided does so, in an event that is valid but for that.
    """
    tree: Any = read(body.decode())
    data, model = tree["data"], DATA_MODELS[kind]
    if any(_doubled(tree, ENVELOPE, "")) or any(_doubled(data, DECIDING[model], "")):
        return True
    inner = (
        field
        for field in _fields(model)
        if field.name in DECIDING[model] and field.type in DECIDING
    )
    return any(any(_doubled(data[field.name], DECIDING[field.type], "")) for field in inner)


def _look(
    body: bytes, at: str, message_id: str | None, *, id_required: bool, ids: re.Pattern[str]
) -> FullReading:
    tree, spelled = _object(body, at)
    if "data" in spelled and depth(spelled["data"]) > MAX_DEPTH:
        raise InvalidEvent(
            [Fault(f"the data is nested deeper than {MAX_DEPTH} levels", f"{at}/data")]
        )
    given = message_id if tree.get("id") is None else tree["id"]
    faults = list(
        islice(_faults_of(tree, given, at, id_required=id_required, ids=ids), MOST_COUNTED)
    )
    if faults:
        raise InvalidEvent(faults)
    timestamp = tree.get("timestamp")
    return FullReading(
        id=new_event_id() if given is None else EventId(str(given)),
        type=EventType(str(tree["type"])),
        timestamp=None if timestamp is None else from_rfc3339(str(timestamp)),
        data=spelled["data"],
        facts=facts_in(str(tree["type"]), tree["data"]),
    )


def _object(body: bytes, at: str) -> tuple[Members, dict[str, bytes]]:
    """What it says, and how each of its outermost values was written."""
    text = body.removeprefix(BYTE_ORDER_MARK).decode()
    try:
        tree = read(text)
    except ValueError as error:
        raise InvalidEvent([Fault(str(error), at)], malformed=True) from None
    if not isinstance(tree, Members):
        raise InvalidEvent(list(_simple(tree, dict[str, Any], at)))
    return tree, dict(members(text))


def _too_deep(at: str) -> InvalidEvent:
    return InvalidEvent([Fault("the JSON is nested too deeply", at)], malformed=True)


def _faults_of(
    tree: Members, given_id: object, at: str, *, id_required: bool, ids: re.Pattern[str]
) -> Iterator[Fault]:
    yield from _doubled(tree, ENVELOPE, at)
    if given_id is not None or id_required:
        yield from _id_faults(given_id, f"{at}/id", ids)
    if (timestamp := tree.get("timestamp")) is not None:
        yield from _timestamp_faults(timestamp, f"{at}/timestamp")
    kind, model = tree.get("type"), cast("Any", dict[str, Any])
    if not isinstance(kind, str):
        yield from _field(tree, "type", str, at)
    elif kind not in list(EventType):
        yield Fault(f"the type is one of {_TYPES}", f"{at}/type")
    else:
        model = DATA_MODELS[EventType(kind)]
    yield from _field(tree, "data", model, at)


def _id_faults(given: object, at: str, ids: re.Pattern[str]) -> Iterator[Fault]:
    if given is None:
        yield Fault("an id is required here, in the JSON or as the property message_id", at)
    elif not isinstance(given, str):
        yield from _simple(given, str, at)
    elif not EVENT_ID.fullmatch(given):
        yield Fault("an id is 1 to 64 of A-Z a-z 0-9 _ -", at)
    elif not ids.fullmatch(given):
        yield Fault(
            "evt_test_ with 32 characters behind it is the id of a sample, which is not counted: choose another",
            at,
        )


def _timestamp_faults(given: object, at: str) -> Iterator[Fault]:
    if not isinstance(given, str):
        yield from _simple(given, str, at)
        return
    try:
        from_rfc3339(given)
    except ValueError as error:
        yield Fault(str(error), at)


def _field(tree: Members, name: str, wanted: Any, at: str) -> Iterator[Fault]:
    if name in tree:
        yield from _faults(tree[name], wanted, f"{at}/{name}")
    else:
        yield Fault(f"the required field {name} is missing", at)


def _faults(value: object, wanted: Any, at: str) -> Iterator[Fault]:
    """Of a value in a place where `wanted`, the type of a model's field, is expected. `msgspec.Raw`
    is a message's content.
    """
    options = get_args(wanted) if get_origin(wanted) in (Union, UnionType) else ()
    if value is None and NoneType in options:
        return
    if len(options) == len((wanted, None)):
        wanted = options[0]
    if wanted is msgspec.Raw:
        wanted = _content_model(value)
    if (
        isinstance(value, Members)
        and isinstance(wanted, type)
        and issubclass(wanted, msgspec.Struct)
    ):
        yield from _doubled(value, DECIDING.get(wanted, ()), at)
        for field in _fields(wanted):
            if field.required or field.name in value:
                yield from _field(value, field.name, field.type, at)
    elif isinstance(value, list) and get_origin(wanted) is list:
        for number, one in enumerate(value):
            yield from _faults(one, get_args(wanted)[0], f"{at}/{number}")
    elif not (isinstance(value, Members) and get_origin(wanted) is dict):
        yield from _simple(value, wanted, at)


@lru_cache(maxsize=64)
def _fields(model: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """To find them out takes longer than all the rest."""
    return msgspec.structs.fields(model)


def _content_model(value: object) -> type[Content]:
    name = value.get("type") if isinstance(value, Members) else None
    return CONTENT_MODELS.get(name, Content) if isinstance(name, str) else Content


def _simple(value: object, wanted: Any, at: str) -> Iterator[Fault]:
    """In msgspec's words: `Expected str, got int`. JSON Schema calls 1.0 an integer."""
    if (
        isinstance(value, float)
        and value.is_integer()
        and _is_of(0, wanted)
        and not _is_of(0.5, wanted)
    ):
        value = int(value)
    try:
        msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        yield Fault(shortened(_PATH.sub("", str(error)).replace("`", "")), at)
    except UnicodeError:  # it looks among the words of a closed set, and half of a surrogate pair is spelled in no encoding
        yield Fault(
            "half of a surrogate pair stands in none of the words that are possible here", at
        )
    else:
        if wanted == Id and _NOT_IN_IDS.search(str(value)):
            yield Fault("an id must not hold the character U+0000, or half of a surrogate pair", at)


def _is_of(value: object, wanted: Any) -> bool:
    try:
        msgspec.convert(value, wanted)
    except msgspec.ValidationError:
        return False
    return True


def _doubled(tree: Members, deciding: tuple[str, ...], at: str) -> Iterator[Fault]:
    for name in tree.doubled:
        if name in deciding:
            yield Fault(TWICE.format(name=name), f"{at}/{name}")
