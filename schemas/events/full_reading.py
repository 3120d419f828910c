"""The full reading of an event, slow and complete, after the fast reading refused it or could not
decide (docs/decisions/0011-two-readings.md).

The full reading finds every fault, where the fast decoders stop at the first one. It accepts JSON
that they refuse, and finds duplicate names. An event that both accept is the same in both. Called
only by `schemas.events.events`.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import islice
from types import NoneType, UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin

import msgspec

from schemas.errors import MAX_COUNTED, Fault, InvalidEvent
from schemas.events import data as event_data
from schemas.events.data import CONTENT_MODELS, DATA_MODELS, Content, Facts, Id, facts_in
from schemas.events.json_text import (
    BYTE_ORDER_MARK,
    DUPLICATE_NAME,
    Members,
    depth,
    items,
    members,
    read,
)
from schemas.events.types import EventType
from schemas.ids import EVENT_ID, FREE_EVENT_ID, EventId, new_event_id
from schemas.texts import shortened
from schemas.times import UnixMs, from_rfc3339

MAX_DEPTH = 100
"""Levels of nested objects and lists in the data. JSON can be read as deep as the stack allows,
near a thousand levels. Without this limit an event could be accepted here that code with a deeper
stack, such as the list of events, could not read.
"""

ENVELOPE = ("id", "type", "timestamp", "data")
"""The names at the top of an event."""

DECIDING: Mapping[type[msgspec.Struct], tuple[str, ...]] = {
    event_data.ConversationCreated: ("conversation", "channel"),
    event_data.MessageReceived: ("message", "channel"),
    event_data.MessageStatus: ("message", "channel", "status"),
    event_data.Conversation: ("id",),
    event_data.Message: ("id", "conversation_id"),
    event_data.MessageReference: ("id", "conversation_id"),
    event_data.Channel: ("id",),
}
"""The names, by model, whose values decide something, such as who may see the event. A duplicate of
such a name could mean one thing here and another to the receiver.
"""

_NOT_IN_IDS = re.compile("[\0\ud800-\udfff]")
_PATH = re.compile(r" - at `\$(.*)`$")

_TYPES = ", ".join(EventType)


class FullReading(NamedTuple):
    """The parts of an event, in the order of `Event`."""

    id: EventId
    """The id, given or generated."""

    type: EventType
    """The event type."""

    timestamp: UnixMs | None
    """The given time; None: not given."""

    data: bytes
    """The data, byte for byte."""

    facts: Facts
    """The values in the data that decide how the event is delivered."""


def read_in_full(
    body: bytes,
    at: str,
    message_id: str | None,
    *,
    id_required: bool,
    ids: re.Pattern[str] = FREE_EVENT_ID,
) -> FullReading:
    """Read and check an event. Raises InvalidEvent with every fault, at most `MAX_COUNTED`.

    `body` is UTF-8, `at` is the pointer to the event, and `ids` matches the allowed ids.
    """
    try:
        return _read(body, at, message_id, id_required=id_required, ids=ids)
    except RecursionError:
        raise _too_deep(at) from None


def events_of(body: bytes) -> list[bytes]:
    """Return the events of a batch, byte for byte. `body` is UTF-8. Raises InvalidEvent."""
    try:
        tree, spelled = object_in(body, "")
        faults = [*_duplicates(tree, ("events",), ""), *_field(tree, "events", list[Any], "")]
        if faults:
            raise InvalidEvent(faults)
        return list(items(spelled["events"].decode()))
    except RecursionError:
        raise _too_deep("") from None


def has_duplicate_name(body: bytes, event_type: EventType) -> bool:
    """Return whether a name of `DECIDING` or `ENVELOPE` occurs twice, in an event that is otherwise
    valid.
    """
    tree: Any = read(body.decode())  # JSON of any shape
    data, model = tree["data"], DATA_MODELS[event_type]
    if any(_duplicates(tree, ENVELOPE, "")) or any(_duplicates(data, DECIDING[model], "")):
        return True
    inner = (
        field
        for field in _fields(model)
        if field.name in DECIDING[model] and field.type in DECIDING
    )
    return any(any(_duplicates(data[field.name], DECIDING[field.type], "")) for field in inner)


def _read(
    body: bytes, at: str, message_id: str | None, *, id_required: bool, ids: re.Pattern[str]
) -> FullReading:
    tree, spelled = object_in(body, at)
    if "data" in spelled and depth(spelled["data"]) > MAX_DEPTH:
        raise InvalidEvent(
            [Fault(f"the data is nested deeper than {MAX_DEPTH} levels", f"{at}/data")]
        )
    given = message_id if tree.get("id") is None else tree["id"]
    faults = list(
        islice(_faults_of(tree, given, at, id_required=id_required, ids=ids), MAX_COUNTED)
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


def object_in(body: bytes, at: str) -> tuple[Members, dict[str, bytes]]:
    """Return the object in `body`, and each of its values as it was written. Raises InvalidEvent."""
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
    yield from _duplicates(tree, ENVELOPE, at)
    if given_id is not None or id_required:
        yield from _id_faults(given_id, f"{at}/id", ids)
    if (timestamp := tree.get("timestamp")) is not None:
        yield from _timestamp_faults(timestamp, f"{at}/timestamp")
    event_type: object = tree.get("type")
    model: object = dict[str, Any]
    if not isinstance(event_type, str):
        yield from _field(tree, "type", str, at)
    elif event_type not in list(EventType):
        yield Fault(f"the type is one of {_TYPES}", f"{at}/type")
    else:
        model = DATA_MODELS[EventType(event_type)]
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
            "evt_test_ followed by 32 characters is the id of a sample, which is not counted: "
            "choose another",
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


def _field(tree: Members, name: str, wanted: object, at: str) -> Iterator[Fault]:
    if name in tree:
        yield from _faults(tree[name], wanted, f"{at}/{name}")
    else:
        yield Fault(f"the required field {name} is missing", at)


def _faults(value: object, wanted: object, at: str) -> Iterator[Fault]:
    """Return the faults of a value for which `wanted`, the type of a model's field, is expected.
    `msgspec.Raw` stands for a message's content.
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
        yield from _duplicates(value, DECIDING.get(wanted, ()), at)
        for field in _fields(wanted):
            if field.required or field.name in value:
                yield from _field(value, field.name, field.type, at)
    elif isinstance(value, list) and get_origin(wanted) is list:
        for number, item in enumerate(value):
            yield from _faults(item, get_args(wanted)[0], f"{at}/{number}")
    elif not (isinstance(value, Members) and get_origin(wanted) is dict):
        yield from _simple(value, wanted, at)


@lru_cache(maxsize=64)
def _fields(model: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """Return a model's fields. Cached, because finding them takes longer than all the rest."""
    return msgspec.structs.fields(model)


def _content_model(value: object) -> type[Content]:
    name = value.get("type") if isinstance(value, Members) else None
    return CONTENT_MODELS.get(name, Content) if isinstance(name, str) else Content


def _simple(value: object, wanted: object, at: str) -> Iterator[Fault]:
    """Return the fault of a simple value in msgspec's words, such as `Expected str, got int`. As in
    JSON Schema, 1.0 is an integer.
    """
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
    # msgspec compares with a closed set in UTF-8, which cannot encode half of a surrogate pair
    except UnicodeError:
        yield Fault("none of the possible values holds half of a surrogate pair", at)
    else:
        if wanted == Id and _NOT_IN_IDS.search(str(value)):
            yield Fault("an id must not hold the character U+0000, or half of a surrogate pair", at)


def _is_of(value: object, wanted: object) -> bool:
    try:
        msgspec.convert(value, wanted)
    except msgspec.ValidationError:
        return False
    return True


def _duplicates(tree: Members, deciding: tuple[str, ...], at: str) -> Iterator[Fault]:
    for name in tree.duplicates:
        if name in deciding:
            yield Fault(DUPLICATE_NAME.format(name=name), f"{at}/{name}")
