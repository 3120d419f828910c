"""Events: what is taken and what is not, and that nothing of the data is ever rewritten."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import InvalidEvent
from schemas.events.events import MAX_BATCH, MAX_DEPTH, MAX_EVENT_BYTES, parse_batch, parse_event
from schemas.events.samples import sample_event
from schemas.events.types import EventType
from schemas.times import UnixMs

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


def received(**more: Any) -> dict[str, Any]:
    return sample_event(EventType.MESSAGE_RECEIVED) | more


def spelled(event: object, **how: Any) -> bytes:
    return json.dumps(event, **how).encode(errors="surrogatepass")


def refusal(body: bytes) -> str | None:
    """Why it is no event, or None: any other error fails the test."""
    try:
        parse_event(body)
    except InvalidEvent as error:
        return str(error) if error.faults else ""
    return None


def pointers(body: bytes) -> list[str]:
    with pytest.raises(InvalidEvent) as refused:
        parse_event(body)
    return [fault.pointer for fault in refused.value.faults]


@given(st.sampled_from(EventType), anything, st.sampled_from([None, 2]))
def test_data_passes_byte_for_byte(kind: EventType, unknown: object, indent: int | None) -> None:
    """Unknown fields, spelling, white space: the receiver gets the very bytes of the backend."""
    event = sample_event(kind)
    event["data"]["unknown"] = unknown
    data = spelled(event["data"], indent=indent)
    body = b'{"type":"%s", "data":%s}' % (kind.encode(), data)

    parsed = parse_event(body)

    assert parsed.data == data
    assert parse_event(parsed.message()) == parsed
    assert parsed.webhook_body(UnixMs(0)).endswith(b'"data":' + data + b"}")


@pytest.mark.parametrize("number", ["1.10", "1E5", "12345678901234567890123", "-0.0", "1e-7"])
def test_numbers_keep_their_spelling(number: str) -> None:
    """A decoder would make them 1.1, 100000.0 and 1.2345678901234568e22."""
    data = spelled(received()["data"])[:-1] + f', "amount":{number}}}'.encode()

    assert f'"amount":{number}'.encode() in parse_event(
        b'{"type":"message.received","data":' + data + b"}"
    ).webhook_body(UnixMs(0))


@given(st.text(alphabet="abcXYZ019_-", min_size=1, max_size=64))
def test_a_given_id_is_the_events_id(event_id: str) -> None:
    """1 to 64 of the allowed characters."""
    assert parse_event(spelled(received(id=event_id))).id == event_id


@pytest.mark.parametrize("event_id", ["", "a.b", "x" * 65, "ä", "a b", "a\n", "a/b"])
def test_an_id_of_anything_else_is_refused(event_id: str) -> None:
    """Ids go into headers and URLs as they are."""
    assert pointers(spelled(received(id=event_id))) == ["/id"]


SAMPLES = "evt_test_0123456789abcdef0123456789abcdef"


def test_the_id_of_a_sample_is_refused_in_each_place() -> None:
    """An event under it would be left out of every figure and recovery. By AMQP it becomes a dead
    letter.
    """
    by_amqp = spelled(received())

    assert pointers(spelled(received(id=SAMPLES))) == ["/id"]
    assert pointers(spelled(received(id="evt_test_" + "-" * 32))) == ["/id"]
    assert "a sample" in (refusal(spelled(received(id=SAMPLES))) or "")
    with pytest.raises(InvalidEvent, match="a sample"):
        parse_event(by_amqp, message_id=SAMPLES, id_required=True)
    with pytest.raises(InvalidEvent, match="a sample"):
        parse_batch(spelled({"events": [received(id="evt_1"), received(id=SAMPLES)]}))


@pytest.mark.parametrize("event_id", [SAMPLES[:-1], SAMPLES + "0", "evt_test_1", "my_" + SAMPLES])
def test_an_id_that_only_begins_like_a_samples_is_free(event_id: str) -> None:
    """Backends may call their events as they like."""
    assert parse_event(spelled(received(id=event_id))).id == event_id


def test_what_was_accepted_under_the_id_of_a_sample_is_still_read() -> None:
    """By a version before: its 202 was a promise."""
    assert parse_event(spelled(received(id=SAMPLES)), id_required=True, accepted=True).id == SAMPLES
    odd = spelled(received(id=SAMPLES)).replace(b'"message"', b'"\\u006dessage"')
    assert parse_event(odd, id_required=True, accepted=True).id == SAMPLES


def test_an_event_by_amqp_needs_an_id_in_the_json_or_in_a_property() -> None:
    """Without one, it could not be distinguished from its own redelivery."""
    body = spelled(received())

    assert parse_event(body, message_id="evt_property", id_required=True).id == "evt_property"
    assert (
        parse_event(
            spelled(received(id="evt_json")), message_id="evt_property", id_required=True
        ).id
        == "evt_json"
    )
    with pytest.raises(InvalidEvent, match="an id is required"):
        parse_event(body, id_required=True)


def test_a_timestamp_is_kept_and_an_absent_one_is_the_acceptance() -> None:
    """To the millisecond."""
    given_one = parse_event(spelled(received(timestamp="2026-11-22T11:00:00.5+01:00")))
    without = parse_event(spelled(received(timestamp=None)))

    assert b'"timestamp":"2026-11-22T10:00:00.500Z"' in given_one.webhook_body(UnixMs(5))
    assert b'"timestamp":"1970-01-01T00:00:00.005Z"' in without.webhook_body(UnixMs(5))


@pytest.mark.parametrize(
    ("path", "value", "pointer"),
    [
        (("message",), "m", "/data/message"),
        (("message", "id"), "", "/data/message/id"),
        (("message", "id"), "x" * 257, "/data/message/id"),
        (("message", "conversation_id"), None, "/data/message/conversation_id"),
        (("message", "content"), {"type": "image"}, "/data/message/content"),
        (
            ("message", "content"),
            {"type": "image", "media": {"url": ""}},
            "/data/message/content/media/url",
        ),
        (
            ("message", "content"),
            {"type": "location", "latitude": 91, "longitude": 0},
            "/data/message/content/latitude",
        ),
        (("message", "content"), "text", "/data/message/content"),
        (("channel", "kind"), 5, "/data/channel/kind"),
        (("customer",), None, "/data/customer"),
        (("customer", "identities"), [{"kind": "phone"}], "/data/customer/identities/0"),
    ],
)
def test_a_fault_in_the_data_is_pointed_at(
    path: tuple[str, ...], value: object, pointer: str
) -> None:
    """By where it stands in what was sent."""
    event = received()
    place = event["data"]
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value

    assert pointers(spelled(event)) == [pointer]


@pytest.mark.parametrize("value", [None, 3, True, ["read"], {}])
def test_a_status_that_is_no_text_is_refused(value: object) -> None:
    """It may be a word that we do not know, but a word."""
    event = sample_event(EventType.MESSAGE_STATUS)
    event["data"]["status"] = value

    assert pointers(spelled(event)) == ["/data/status"]


def test_words_that_we_do_not_know_yet_are_accepted() -> None:
    """The platform's words grow. A status without a rank is passed on like any other event."""
    status = sample_event(EventType.MESSAGE_STATUS)
    status["data"] |= {"status": "played", "previous_status": "READ"}
    created = sample_event(EventType.CONVERSATION_CREATED)
    created["data"]["conversation"]["status"] = "snoozed"
    created["data"]["channel"]["kind"] = created["data"]["customer"]["identities"][0]["kind"] = (
        "rcs"
    )
    message = received()
    message["data"]["message"]["content"] = {"type": "poll"}

    assert parse_event(spelled(status)).facts.status is None
    assert parse_event(spelled(sample_event(EventType.MESSAGE_STATUS))).facts.status == "failed"
    assert refusal(spelled(created)) is refusal(spelled(message)) is None


def test_a_set_that_is_closed_stays_closed() -> None:
    """Where a conversation comes from, and what kinds of events there are."""
    created = sample_event(EventType.CONVERSATION_CREATED)
    created["data"]["conversation"]["origin"] = "carrier pigeon"

    assert pointers(spelled(created)) == ["/data/conversation/origin"]
    assert pointers(spelled(received(type="message.read"))) == ["/type"]


@given(st.binary(max_size=80))
def test_no_bytes_whatever_bring_the_reader_down(body: bytes) -> None:
    """What comes off the exchange may be anything: it is an event,
    or it is refused with a reason.
    """
    fault = refusal(body)

    assert fault is None or fault


@given(st.sampled_from(EventType), anything, st.sampled_from(["id", "type", "timestamp", "data"]))
def test_no_json_whatever_brings_the_reader_down(
    kind: EventType, value: object, where: str
) -> None:
    """The same, for what looks like an event."""
    fault = refusal(spelled(sample_event(kind) | {where: value}))

    assert fault is None or fault


def test_the_size_is_limited() -> None:
    """In a batch too, where the whole may be larger."""
    huge = received(id="x", data=received()["data"] | {"x": "y" * MAX_EVENT_BYTES})

    with pytest.raises(InvalidEvent) as refused:
        parse_batch(spelled({"events": [received(), huge]}))

    assert [fault.pointer for fault in refused.value.faults] == ["/events/1"]


@pytest.mark.parametrize("timestamp", [None, "2026-11-22T10:00:00Z"])
def test_the_largest_event_that_is_taken_is_one_on_the_exchange_too(timestamp: str | None) -> None:
    """It travels with an id and its time in full: what was answered 202 must not end as a dead
    letter.
    """
    bare = b'{"type":"message.received","timestamp":%s,"data":{"x":"",%s}' % (
        spelled(timestamp),
        spelled(received()["data"])[1:],
    )
    posted = bare.replace(b'"x":""', b'"x":"%s"' % (b"y" * (MAX_EVENT_BYTES - len(bare))))

    accepted = parse_event(posted)

    assert len(posted) == MAX_EVENT_BYTES
    assert parse_event(accepted.message(), id_required=True, accepted=True) == accepted
    assert refusal(posted + b" ")


def test_a_backend_on_the_exchange_has_the_same_limit() -> None:
    """What is allowed beyond it is for what the API itself adds."""
    event = spelled(received(id="evt_1")).ljust(MAX_EVENT_BYTES)

    assert parse_event(event, id_required=True).id == "evt_1"
    with pytest.raises(InvalidEvent, match="at most 262144 bytes, this one is 262145"):
        parse_event(event + b" ", id_required=True)


@pytest.mark.parametrize("timestamp", ["0999-12-31T23:59:59Z", "9999-12-31T23:59:59-01:00"])
def test_a_timestamp_that_could_not_be_written_again_is_pointed_at(timestamp: str) -> None:
    """Accepted, it would be a dead letter: no reader takes a year of three or five digits."""
    assert pointers(spelled(received(timestamp=timestamp))) == ["/timestamp"]


@pytest.mark.parametrize("count", [0, MAX_BATCH + 1])
def test_a_batch_has_its_limits(count: int) -> None:
    """One to a thousand."""
    with pytest.raises(InvalidEvent, match="a batch holds"):
        parse_batch(spelled({"events": [{}] * count}))


def test_the_same_content_hashes_alike_and_other_content_does_not() -> None:
    """A repetition can be distinguished from a conflict by it."""
    one, again, other = (
        parse_event(spelled(received(id="e", data=received()["data"] | {"n": n})))
        for n in (1, 1, 2)
    )

    assert one.content_hash() == again.content_hash()
    assert one.content_hash() != other.content_hash()


@pytest.mark.parametrize(
    "wrap", [lambda inner: [inner], lambda inner: {"a": inner}], ids=["lists", "objects"]
)
def test_the_depth_of_the_data_is_limited(wrap: Callable[[object], object]) -> None:
    """Exactly. That there is much side by side, or brackets in a text, does not count."""

    def event(depth: int) -> bytes:
        inner: object = '[{"' * 200 + "\\"
        for _ in range(depth - 1):  # the data itself is the first level
            inner = wrap(inner)
        return spelled(received(data=received()["data"] | {"wide": [[]] * 200, "deep": inner}))

    assert refusal(event(MAX_DEPTH)) is None
    assert pointers(event(MAX_DEPTH + 1)) == ["/data"]
