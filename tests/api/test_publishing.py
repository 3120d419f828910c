"""Events in: what is good is published before it is answered 202, what is not gets a problem that
says what.
"""

import json
from typing import Any

import pytest

from api.http.bodies import MAX_BODY_BYTES
from schemas.events.samples import sample_event
from schemas.events.types import EventType
from tests.kit.api import BOTH_DOORS, Caller, House

pytestmark = BOTH_DOORS

RECEIVED = EventType.MESSAGE_RECEIVED
JSON = "application/json"


def event(**more: Any) -> dict[str, Any]:
    return sample_event(RECEIVED) | more


def status_event(status: str | None) -> dict[str, Any]:
    made = sample_event(EventType.MESSAGE_STATUS)
    made["data"]["status"] = status
    return made


def padded(size: int) -> bytes:
    """A valid event of exactly `size` bytes."""
    bare = json.dumps(event(data=event()["data"] | {"x": ""})).encode()
    return bare.replace(b'"x": ""', b'"x": "' + b"y" * (size - len(bare)) + b'"')


@pytest.mark.parametrize("kind", EventType)
def test_a_good_event_is_published_and_answered_202(
    house: House, backend: Caller, kind: EventType
) -> None:
    """With its own id, its data byte for byte, and the time of its acceptance."""
    body = json.dumps(
        sample_event(kind) | {"id": "evt_mine"}, indent=3, ensure_ascii=False
    ).encode()

    answer = backend.call("POST", "/v1/events", data=body, content_type=JSON)

    assert (answer.status_code, answer.json) == (202, {"id": "evt_mine", "status": "accepted"})
    (published,) = house.publisher.published
    assert published.event.data in body
    assert published.accepted_at > 0
    assert house.observer.accepted == [kind]


def test_an_event_without_an_id_is_given_one(house: House, backend: Caller) -> None:
    """The answer names it, so that the backend can look the event up."""
    answer = backend.call("POST", "/v1/events", event(id=None, timestamp=None))

    assert answer.json
    assert answer.json["id"] == house.publisher.published[0].event.id
    assert answer.json["id"].startswith("evt_")


BAD = [
    ("not JSON", b"{nope", 400),
    ("empty", b"", 400),
    ("not UTF-8", b'{"type":"message.received","data":{"a":"\xff"}}', 400),
    ("half a surrogate pair as an id", json.dumps(event(id="\ud83d")).encode(), 422),
    (
        "half a surrogate pair in an id",
        event(data=event()["data"] | {"channel": {"id": "a\ud83d", "kind": "sms"}}),
        422,
    ),
    ("a name twice", json.dumps(event()).encode().replace(b'"data":', b'"data": {}, "data":'), 422),
    ("not a number", b'{"type":"message.received","data":{"a":NaN}}', 400),
    (
        "too deep",
        b'{"type":"message.received","data":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        400,
    ),
    (
        "deep within the limit of JSON",
        b'{"type":"message.received","data":{"customer":' + b"[" * 5_000 + b"]" * 5_000 + b"}}",
        400,
    ),
    ("more after the end", json.dumps(event()).encode() + b"{}", 400),
    ("not an object", b"[1]", 422),
    ("null", b"null", 422),
    ("no type", {"data": {}}, 422),
    ("no data", {"type": "message.received"}, 422),
    ("unknown type", {"type": "cat.meowed", "data": {}}, 422),
    ("id with a dot", event(id="no.dots"), 422),
    ("id too long", event(id="x" * 65), 422),
    ("empty id", event(id=""), 422),
    ("id of a number", event(id=7), 422),
    ("timestamp in words", event(timestamp="yesterday"), 422),
    ("timestamp without an offset", event(timestamp="2026-11-22T10:00:00"), 422),
    ("wrong field type", event(data=event()["data"] | {"message": "m"}), 422),
    ("no status", status_event(None), 422),
    (
        "an id with U+0000",
        event(data=event()["data"] | {"channel": {"id": "a\0b", "kind": "sms"}}),
        422,
    ),
]


@pytest.mark.parametrize(
    ("body", "status"), [case[1:] for case in BAD], ids=[case[0] for case in BAD]
)
def test_a_bad_event_gets_a_problem_and_is_not_published(
    house: House, backend: Caller, body: Any, status: int
) -> None:
    """Every kind of mistake, reported as in RFC 9457, counted, and without harm to the next one."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()

    answer = backend.call("POST", "/v1/events", data=sent, content_type=JSON)

    assert answer.status_code == status, answer.json
    assert answer.content_type == "application/problem+json"
    assert answer.json
    assert answer.json["status"] == status
    assert answer.json["type"] == "/docs/problems/" + ("malformed" if status == 400 else "invalid")
    assert answer.json["detail"]
    assert house.publisher.published == []
    assert house.observer.rejected == [answer.json["type"].rpartition("/")[2]]
    assert backend.call("POST", "/v1/events", event()).status_code == 202


def test_a_fault_is_pointed_at(backend: Caller) -> None:
    """RFC 6901, into the body as it was sent."""
    bad = event()
    bad["data"]["message"]["content"] = {"type": "text", "text": 5}

    answer = backend.call("POST", "/v1/events", bad)

    assert answer.json
    assert [fault["pointer"] for fault in answer.json["errors"]] == ["/data/message/content/text"]


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
        "multipart/form-data",
    ],
)
def test_a_body_that_is_not_declared_as_json_is_refused(
    house: House, backend: Caller, kind: str | None
) -> None:
    """curl's -d without a header says that it is a form: an error is better than a guess."""
    answer = backend.call("POST", "/v1/events", data=json.dumps(event()), content_type=kind)

    assert answer.status_code == 415
    assert house.publisher.published == []


@pytest.mark.parametrize(
    "kind", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/cloudevents+json"]
)
def test_json_by_any_of_its_names_is_taken(backend: Caller, kind: str) -> None:
    """Parameters and case mean nothing here."""
    assert (
        backend.call("POST", "/v1/events", data=json.dumps(event()), content_type=kind).status_code
        == 202
    )


def test_a_compressed_body_is_refused_as_what_it_is(backend: Caller) -> None:
    """It is not reported as broken JSON."""
    answer = backend.call(
        "POST",
        "/v1/events",
        data=b"\x1f\x8b",
        content_type=JSON,
        headers={"Content-Encoding": "gzip"},
    )

    assert answer.status_code == 415


def test_the_greatest_event_is_taken_and_one_byte_more_is_not(backend: Caller) -> None:
    """The limit is a promise in both directions."""
    assert (
        backend.call(
            "POST", "/v1/events", data=padded(MAX_BODY_BYTES), content_type=JSON
        ).status_code
        == 202
    )

    answer = backend.call("POST", "/v1/events", data=padded(MAX_BODY_BYTES + 1), content_type=JSON)

    assert (answer.status_code, answer.content_type) == (413, "application/problem+json")


def test_a_batch_is_published_in_its_order(house: House, backend: Caller) -> None:
    """The ids come back in the order given."""
    answer = backend.call(
        "POST", "/v1/events/batch", {"events": [event(id=f"e{number}") for number in range(20)]}
    )

    assert answer.status_code == 202
    assert answer.json == {"ids": [f"e{number}" for number in range(20)]}
    assert [one.event.id for one in house.publisher.published] == answer.json["ids"]
    assert len(house.observer.accepted) == 20


def test_a_batch_with_bad_events_is_taken_not_at_all(house: House, backend: Caller) -> None:
    """Each bad one is named by pointer."""
    huge = event(data=event()["data"] | {"x": "y" * 300_000})

    answer = backend.call(
        "POST",
        "/v1/events/batch",
        {"events": [event(), {"type": "nope"}, event(), {"type": "nope", "data": {}}, huge]},
    )

    assert answer.status_code == 422
    assert answer.json
    assert [fault["pointer"] for fault in answer.json["errors"]] == [
        "/events/1/type",
        "/events/1",
        "/events/3/type",
        "/events/4",
    ]
    assert house.publisher.published == []


@pytest.mark.parametrize(
    "batch", [{"events": []}, {"events": [1]}, {}, {"events": None}, [], {"events": [{}] * 1001}]
)
def test_a_batch_of_the_wrong_shape_is_refused(backend: Caller, batch: object) -> None:
    """Empty, not of events, too many."""
    assert (
        backend.call(
            "POST", "/v1/events/batch", data=json.dumps(batch), content_type=JSON
        ).status_code
        == 422
    )


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/events", event(id="e1")), ("/v1/events/batch", {"events": [event(id="e1")]})],
)
def test_when_nothing_durable_takes_it_the_answer_names_the_ids_to_repeat_with(
    house: House, backend: Caller, path: str, body: object
) -> None:
    """Some may have been stored: under the same ids a repetition is harmless."""
    house.publisher.is_away = True

    answer = backend.call("POST", path, body)

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert answer.json
    assert (answer.json["type"], answer.json["ids"]) == ("/docs/problems/unavailable", ["e1"])
    assert house.observer.accepted == []
