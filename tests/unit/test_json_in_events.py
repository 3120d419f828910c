r"""JSON as people's tools write it: halves of surrogate pairs, byte order marks, names that come
twice, numbers beyond all bounds.
"""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import MAX_COUNTED, MAX_REPORTED, InvalidEvent
from schemas.events import events, full_reading
from schemas.events.events import parse_batch, parse_event
from schemas.events.json_text import BYTE_ORDER_MARK, depth
from schemas.events.samples import sample_event
from schemas.events.stored_bodies import data_of, stored_facts
from schemas.events.types import EventType
from schemas.times import UnixMs
from tests.unit.test_events import anything, pointers, received, refusal, spelled

STATUS = sample_event(EventType.MESSAGE_STATUS)


@pytest.mark.parametrize(
    "half", [r"\ud83d", r"\ude00", r"\ud83d\ud83d", r"a\ud83d\u0041", r"\uD83D\n", r"\ude00\ud83d"]
)
def test_half_of_a_surrogate_pair_passes_as_it_came(half: str) -> None:
    """JavaScript leaves one where it cuts a text: in a text, in a name, in what we do not know."""
    data = spelled(received()["data"])[:-1] + f',"{half}":"{half}"}}'.encode()
    data = data.replace(b"Hello", half.encode())
    body = b'{"id":"evt_1","type":"message.received","note":"%s","data": %s }' % (
        half.encode(),
        data,
    )

    parsed = parse_event(body)

    assert parsed.data == data
    assert parsed.facts == parse_event(spelled(received())).facts
    assert parse_event(parsed.message(), id_required=True) == parsed
    assert (
        parse_batch(b'{"events":[%s, %s]}' % (body, spelled(received(id="evt_2"))))[0].data == data
    )


@pytest.mark.parametrize(
    "place",
    [("message", "id"), ("message", "conversation_id"), ("channel", "id"), ("customer", "id")],
)
@pytest.mark.parametrize("character", ["\ud83d", "\0"])
def test_in_an_id_it_is_refused_by_its_name(place: tuple[str, str], character: str) -> None:
    """Things are looked up by ids: no database spells this."""
    event = received()
    event["data"][place[0]][place[1]] = f"x{character}y"

    assert pointers(spelled(event)) == ["/data/" + "/".join(place)]
    assert "half of a surrogate pair" in (refusal(spelled(event)) or "")


def test_a_byte_order_mark_before_the_json_is_skipped() -> None:
    """Windows writes one. Elsewhere it is named, and so is another encoding."""
    one, batch = (
        spelled(received(id="evt_1")),
        spelled({"events": [received(id="evt_1"), received(id="evt_2")]}),
    )

    assert parse_event(BYTE_ORDER_MARK + one) == parse_event(one)
    assert parse_batch(BYTE_ORDER_MARK + batch) == parse_batch(batch)
    assert "a byte order mark is allowed only at the beginning" in (
        refusal(2 * BYTE_ORDER_MARK + one) or ""
    )
    assert "not UTF-8, but UTF-16" in (refusal(json.dumps(received()).encode("utf-16")) or "")


TWICE = [
    (b'"id":', b'"id":"evt_0","id":', "/id"),
    (b'"type":', b'"type":"","type":', "/type"),
    (b'"timestamp":', b'"timestamp":null,"timestamp":', "/timestamp"),
    (b'"data":', b'"data":0,"data":', "/data"),
    (b'"message":', b'"message":{"id":"m","conversation_id":"c"},"message":', "/data/message"),
    (b'"channel":', b'"channel":{"id":"secret","kind":"sms"},"channel":', "/data/channel"),
    (b'"status":', b'"status":"read","status":', "/data/status"),
    (
        b'"conversation_id":',
        b'"conversation_id":"c","conversation_id":',
        "/data/message/conversation_id",
    ),
    (b'"chn_support"', b'"chn_support","id":"secret"', "/data/channel/id"),
    (b'"msg_02"', b'"msg_02","id":"msg_03"', "/data/message/id"),
]


@pytest.mark.parametrize(("name", "doubled", "pointer"), TWICE, ids=[case[2] for case in TWICE])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("number", [0, 1])
def test_a_name_by_which_something_is_decided_comes_once(
    name: bytes, doubled: bytes, pointer: str, indent: int | None, number: int
) -> None:
    """We would judge by the second who may see it, and the receiver might read the first. However
    it is spelled, in a batch too.
    """
    body = spelled({"id": "evt_1", **STATUS}, separators=(",", ":")).replace(name, doubled, 1)
    assert body.count(doubled) == 1
    body = body.replace(b",", b",\n" + b" " * indent) if indent else body
    batch = b'{"events":[%s,%s]}' % (
        (spelled(received()), body) if number else (body, spelled(received()))
    )

    assert pointers(body) == [pointer]
    assert "occurs twice" in (refusal(body) or "")
    with pytest.raises(InvalidEvent) as refused:
        parse_batch(batch)
    assert [fault.pointer for fault in refused.value.faults] == [f"/events/{number}{pointer}"]


@pytest.mark.parametrize(
    ("name", "escaped", "value"),
    [
        ('"id": "evt_1"', r"\u0069d", '"evt_0"'),
        ('"type":', r"t\u0079pe", '"message.received"'),
        ('"timestamp":', r"timest\u0061mp", "null"),
        ('"data":', r"dat\u0061", "0"),
        ('"channel":', r"channe\u006C", '{"id":"secret","kind":""}'),
        ('"message":', r"\u006dessage", '{"id":"m","conversation_id":"c"}'),
        ('"status":', r"\u0073tatus", '"read"'),
        ('"conversation_id":', r"conversation\u005Fid", '"c"'),
        ('"id": "msg_02"', r"i\u0064", '"m"'),
    ],
)
def test_an_escaped_letter_hides_no_name(name: str, escaped: str, value: str) -> None:
    """It is the same name, and nothing else in the event needs to be odd."""
    body = spelled({"id": "evt_1", **STATUS})
    hidden = body.replace(name.encode(), f'"{escaped}": {value}, {name}'.encode())
    assert hidden.count(b"\\u00") == 1

    assert "occurs twice" in (refusal(hidden) or "")
    with pytest.raises(InvalidEvent, match="occurs twice"):
        parse_batch(b'{"events":[%s]}' % hidden)


def test_two_lists_of_events_are_refused() -> None:
    """Which of them was meant is unknown."""
    with pytest.raises(InvalidEvent, match="the name events occurs twice"):
        parse_batch(b'{"events":[],"events":[%s]}' % spelled(received()))


def test_names_that_decide_nothing_may_come_twice() -> None:
    """What we do not read passes untouched."""
    data = (
        spelled(received()["data"])[:-1]
        + b',"x":{"id":1,"id":2},"x":3,"note":"\\"id\\" \\"channel\\"","metadata":{"channel":1,'
        b'"channel":2}}'
    )

    assert parse_event(b'{"x":1,"x":2,"type":"message.received","data":%s}' % data).data == data


@pytest.mark.parametrize(
    "number",
    [
        "1e400",
        "-1e400",
        "1" * 5000,
        "-0",
        "1E-400",
        "0." + "0" * 400 + "1",
        "123456789012345678901234567890",
    ],
)
@pytest.mark.parametrize("place", ["unknown", "assignee", "metadata"])
def test_numbers_beyond_all_bounds_pass_as_they_came(number: str, place: str) -> None:
    """We need not know what they are worth."""
    event = sample_event(EventType.CONVERSATION_CREATED)
    event["data"]["conversation"] |= {place: {"n": "HERE"}, "x": "HERE"}
    data = spelled(event["data"]).replace(b'"HERE"', number.encode())

    assert parse_event(b'{"type":"conversation.created","data":%s}' % data).data == data


def sized(number: str) -> bytes:
    """An event with a picture of so many bytes."""
    event = received()
    event["data"]["message"]["content"] = {
        "type": "image",
        "media": {"url": "https://x.example/1", "size_bytes": "HERE"},
    }
    return spelled(event).replace(b'"HERE"', number.encode())


@pytest.mark.parametrize("number", ["1.0", "1e3", "-0.0", "9" * 5000])
def test_a_whole_number_is_one_however_it_is_written(number: str) -> None:
    """JSON Schema calls 1.0 an integer, and knows no most digits."""
    assert number.encode() in parse_event(sized(number)).data


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("-1.0", "Expected int >= 0"),
        ("1.5", "Expected int, got float"),
        ("-" + "9" * 5000, "Expected int >= 0"),
    ],
)
def test_what_is_wrong_with_a_number_is_reported(number: str, words: str) -> None:
    """A whole number is not reported as being none."""
    with pytest.raises(InvalidEvent, match=words):
        parse_event(sized(number))


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_in_json_is_named(word: str) -> None:
    """Python writes these, and most receivers cannot read them."""
    body = spelled(received(x="HERE")).replace(b'"HERE"', word.encode())

    with pytest.raises(InvalidEvent, match=f"{word} is not a JSON number") as refused:
        parse_event(body)
    assert refused.value.malformed


def test_every_fault_of_an_event_is_reported() -> None:
    """Who mends one and sends again should not meet the next."""
    bad: dict[str, Any] = {
        "id": "a.b",
        "type": "message.received",
        "timestamp": "yesterday",
        "data": {
            "message": {
                "id": 5,
                "content": {"type": "image", "media": {"url": "", "size_bytes": -1}},
            },
            "channel": {"id": ""},
            "customer": {"id": "c", "identities": [{"kind": "phone", "value": 1}, 7]},
        },
    }

    assert pointers(spelled(bad)) == [
        "/id",
        "/timestamp",
        "/data/message/id",
        "/data/message",
        "/data/message/content/media/url",
        "/data/message/content/media/size_bytes",
        "/data/channel/id",
        "/data/channel",
        "/data/customer/identities/0/value",
        "/data/customer/identities/1",
    ]


def test_very_many_faults_are_counted_and_not_all_reported() -> None:
    """A slip in a program that sends thousands is one slip. Beyond some number they are not even
    looked for.
    """
    event = received()
    event["data"]["customer"]["identities"] = [0] * 60
    assert (refusal(spelled(event)) or "").endswith("; and 10 more")
    with pytest.raises(InvalidEvent) as refused:
        parse_batch(spelled({"events": [event] * 1000}))

    assert MAX_COUNTED <= len(refused.value.faults) < MAX_COUNTED + 60
    assert str(refused.value).endswith(
        f"; and at least {len(refused.value.faults) - MAX_REPORTED} more"
    )


@given(
    st.sampled_from(EventType),
    anything,
    st.sampled_from(["id", "type", "timestamp", "data", "x"]),
    st.sampled_from([None, 2]),
)
def test_both_looks_take_the_same_event(
    kind: EventType, value: object, where: str, indent: int | None
) -> None:
    """The first look is only quicker: what it takes, the second takes too, as the same."""
    event = {"id": "evt_1", **sample_event(kind)}
    event[where] = event[where] | {"x": value} if where == "data" else value
    body = spelled(event, indent=indent)

    first = events._read_fast(body, None, False)

    if first is not None:
        assert (
            events.Event(*full_reading.read_in_full(body, "", None, id_required=False)) == first
            or event["id"] is None
        )


@given(
    st.sampled_from(EventType),
    st.dictionaries(
        st.sampled_from(["message", "conversation", "status", "x", "\ud83d"]), anything, max_size=3
    ),
)
def test_what_was_accepted_is_read_back(kind: EventType, more: dict[str, Any]) -> None:
    """Whatever it holds: a row that could not be read would end the process that reads it, at each
    start again.
    """
    event = {"id": "evt_1", **sample_event(kind)}
    event["data"] = more | event["data"]
    parsed = parse_event(spelled(event))
    stored = parsed.webhook_body(UnixMs(0))

    assert data_of(stored) == parsed.data
    assert stored_facts(kind, stored) == parsed.facts


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"data":}',
        b'{"data":{}}',
        b'{"data":{"message":[],"channel":{"id":1}}}',
        b'{"data":\xff}',
    ],
)
def test_a_row_that_cannot_be_read_costs_its_place_in_the_order_only(body: bytes) -> None:
    """It is an internal error, but the process goes on."""
    assert stored_facts("message.status", body) is None


@given(anything)
def test_the_depth_is_that_of_a_slow_count(value: object) -> None:
    """Brackets in texts are none."""

    def slow(inner: object) -> int:
        if isinstance(inner, dict):
            inner = list(inner.values())
        return 1 + max(map(slow, inner), default=0) if isinstance(inner, list) else 0

    assert depth(spelled([value, '[{"\\'])) == slow([value])
