"""Bodies as people's tools write them, and how many of their faults an answer tells. Events have
tests of their own as well.
"""

import json

import pytest

from schemas.errors import MAX_REPORTED
from schemas.events.json_text import BYTE_ORDER_MARK
from schemas.tokens.permissions import Permission
from store.tokens.tokens import NewSecrets
from tests.api.test_publishing import JSON, event
from tests.kit.api import BOTH_DOORS, Caller, House
from tests.kit.request_log import Log

pytestmark = BOTH_DOORS


def test_a_byte_order_mark_before_the_json_is_skipped(admin: Caller, backend: Caller) -> None:
    """Windows writes one, whatever it is that is sent."""
    assert (
        admin.call(
            "POST", "/v1/tokens", data=BYTE_ORDER_MARK + b'{"name":"ACME"}', content_type=JSON
        ).status_code
        == 201
    )
    assert (
        backend.call(
            "POST",
            "/v1/events",
            data=BYTE_ORDER_MARK + json.dumps(event()).encode(),
            content_type=JSON,
        ).status_code
        == 202
    )


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b'{"name":"a","visibility":{"channels":[]},"visibility":null}', "/visibility"),
        (
            b'{"name":"a","visibility":{"channels":["secret"],"channels":["ch"]}}',
            "/visibility/channels",
        ),
        (b'{"name":"a","n\\u0061me":"b"}', "/name"),
    ],
)
def test_a_name_that_comes_twice_is_refused(admin: Caller, body: bytes, pointer: str) -> None:
    """A program that reads the first of the two believes that something else was asked for."""
    answer = admin.call("POST", "/v1/tokens", data=body, content_type=JSON)

    assert answer.status_code == 422
    assert [fault["pointer"] for fault in (answer.json or {})["errors"]] == [pointer]


def test_of_very_many_faults_the_first_are_reported_and_the_others_counted(
    house: House, backend: Caller
) -> None:
    """A program with one slip in it sends a thousand rows of it: an answer as long as a book helps
    no one.
    """
    batch = {"events": [{"typ": "message.received", "data": {}}] * 1000}

    answer = backend.call("POST", "/v1/events/batch", batch)

    assert answer.status_code == 422
    assert answer.json
    assert len(answer.json["errors"]) == MAX_REPORTED
    assert answer.json["more_errors"] == 1000 - MAX_REPORTED
    assert (
        answer.json["detail"]
        == "an event is invalid: the first 50 faults are in errors, and 950 more"
    )
    assert house.publisher.published == []


def test_the_same_holds_for_other_bodies(platform: Caller) -> None:
    """One slip is two faults a row: a field that there is not, and one that is missing."""
    answer = platform.call(
        "POST", "/v1/requests", {"requests": [{"request_id": "req_1", "statsu": 200}] * 1000}
    )

    assert answer.status_code == 422
    assert answer.json
    assert len(answer.json["errors"]) == MAX_REPORTED
    assert answer.json["more_errors"] > 900


@pytest.mark.parametrize(
    ("text", "kept"), [(r"cut \ud83d", r"cut \ud83d"), (r"\udc4b\ud83d\udc4b", "\\udc4b👋")]
)
def test_half_of_a_surrogate_pair_is_spelled_out_where_only_the_log_shows_it(
    platform: Caller, made: NewSecrets, log: Log, text: str, kept: str
) -> None:
    """One client was cut off in the middle of an emoji:
    a thousand reports must not be lost for it.
    """
    texts = ",".join(f'"{name}":"{text}"' for name in ("method", "user_agent", "ip", "reason"))
    body = f'{{"requests":[{{"token":"{made.token.id}","path":"/{text}","status":200,{texts}}}]}}'

    answer = platform.call("POST", "/v1/requests", data=body, content_type=JSON)

    assert answer.status_code == 202, answer.json
    row = log.row()
    assert [row[name] for name in ("method", "path", "user_agent", "ip", "reason")] == [
        kept,
        f"/{kept}",
        kept,
        kept,
        kept,
    ]


@pytest.mark.parametrize(
    ("method", "path", "body", "pointer"),
    [
        ("POST", "/v1/tokens", r'{"name":"ACME \ud83d"}', "/name"),
        (
            "POST",
            "/v1/tokens",
            r'{"name":"a","visibility":{"channels":["c","\udfff"]}}',
            "/visibility/channels/1",
        ),
        ("POST", "/v1/tokens", r'{"name":"a","permissions":["\ud83d"]}', "/permissions/0"),
        ("POST", "/v1/tokens", r'{"name":"a","x\ud83d":1}', r"/x\ud83d"),
        ("POST", "/v1/recoveries", r'{"since":"1970-01-01T00:00:00Z","token":"\ud83d"}', "/token"),
        (
            "PUT",
            "/v1/tokens/tok_1/callbacks/message.received",
            r'{"url":"https://x.example/\ud83d"}',
            "/url",
        ),
        (
            "PUT",
            "/v1/tokens/tok_1/callbacks/message.received",
            r'{"url":"https://x.example/","headers":{"x\ud83d":"1"}}',
            r"/headers/x\ud83d",
        ),
        (
            "POST",
            "/v1/requests",
            r'{"requests":[{"token":"\ud83d","method":"GET","path":"/","status":200}]}',
            "/requests/0/token",
        ),
    ],
)
def test_half_of_a_surrogate_pair_is_a_fault_elsewhere(
    house: House, method: str, path: str, body: str, pointer: str
) -> None:
    """At the field that holds it, and in words: it is JSON, so nothing is malformed."""
    answer = house.caller(*Permission).call(method, path, data=body, content_type=JSON)

    assert answer.status_code == 422, answer.json
    (fault,) = (answer.json or {})["errors"]
    assert (fault["pointer"], "half of a surrogate pair" in fault["detail"]) == (pointer, True)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"name":"a"}'.encode("utf-16"), "not UTF-8, but UTF-16"),
        (b'{"name":"\xff"}', "not UTF-8"),
        (b'{"name":}', "line 1, column 9: expecting value"),
        (b'{"name":"a","activates_at":NaN}', "NaN is not a JSON number"),
        (b'{"name":NaN}', "NaN is not a JSON number"),
        (b'{"name":' + b"[" * 500 + b"]" * 500 + b"}", "nested too deeply"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"name":' + b"[" * 300 + b"]" * 300 + b"}", "nested too deeply"),
    ],
)
def test_what_is_no_json_is_called_so_in_the_words_that_events_get(
    admin: Caller, body: bytes, words: str
) -> None:
    """One way of reading, one way of refusing."""
    answer = admin.call("POST", "/v1/tokens", data=body, content_type=JSON)

    assert (answer.status_code, words in (answer.json or {})["detail"]) == (400, True), answer.json


def test_a_number_with_very_many_digits_is_one(admin: Caller) -> None:
    """It is JSON; what is wrong with it is where it stands."""
    answer = admin.call(
        "POST", "/v1/tokens", data=b'{"name":' + b"9" * 5000 + b"}", content_type=JSON
    )

    assert (answer.status_code, (answer.json or {})["errors"][0]["pointer"]) == (422, "/name")


LONG = "x" * 60_000


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/requests", {LONG: 1}),
        ("POST", "/v1/requests", {"requests": [{"request_id": "req_1", LONG: 1}] * 9}),
        ("POST", "/v1/tokens/tok_1/regenerate", {"overlap": LONG}),
        ("POST", "/v1/tokens", {"name": LONG}),
        ("POST", "/v1/tokens", {"name": "a", "callbacks": {LONG: None}}),
        (
            "POST",
            "/v1/tokens",
            {"name": "a", "callbacks": {"message.received": {"url": f"https://{'h' * 1900}/"}}},
        ),
        (
            "POST",
            "/v1/tokens",
            {
                "name": "a",
                "callbacks": {
                    "message.received": {"url": "https://h/", "headers": {f"{LONG}/": "1"}}
                },
            },
        ),
        ("POST", "/v1/recoveries", {"since": LONG}),
        ("POST", "/v1/events", {"type": LONG, "timestamp": LONG, "id": LONG, "data": {LONG: 1}}),
        ("GET", f"/v1/events?{LONG}=1", None),
        ("GET", f"/docs/problems/{LONG}", None),
    ],
)
def test_an_answer_repeats_little_of_what_was_wrong(
    house: House, method: str, path: str, body: object
) -> None:
    """It would be as large as the request, for each fault."""
    answer = house.caller(*Permission).call(method, path, body)

    assert answer.status_code in {404, 422}
    assert len(answer.data) < 5000
    assert (
        max(len(fault["detail"]) for fault in (answer.json or {}).get("errors", [{"detail": ""}]))
        < 400
    )
