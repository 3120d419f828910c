"""A test of a callback with data of one's own, and how many there may be."""

import json
from typing import Any

import pytest
import sqlalchemy as sa

from schemas.errors import Fault
from schemas.events.samples import sample_event
from schemas.events.types import EventType
from store.tables import events
from tests.kit.api import Caller, House, callback_path

RECEIVED = EventType.MESSAGE_RECEIVED
DATA = sample_event(RECEIVED)["data"]
NO_DISPATCHER = 503
"""What a test is answered here, where no dispatcher runs: it was asked for, and taken back."""


def sent(admin: Caller, token: dict[str, Any], body: bytes) -> Any:
    """What is answered to a test with this body."""
    path = callback_path(token) + "/test"
    return admin.call("POST", path, data=body, content_type="application/json")


def stored_data(house: House) -> list[bytes]:
    """The data of each test, byte for byte, oldest first."""
    with house.database.read() as connection:
        bodies = connection.scalars(sa.select(events.c.body).order_by(events.c.id)).all()
    return [bytes(body).partition(b'"data":')[2][:-1] for body in bodies]


def faults_of(answer: Any) -> list[Fault]:
    return [Fault(**fault) for fault in answer.json["errors"]]


def test_given_data_are_sent_as_they_came(
    admin: Caller, house: House, token: dict[str, Any]
) -> None:
    """Numbers, blanks, the order of names and halves of pairs, as with a published event."""
    data = json.dumps(DATA)[:-1] + ' , "amount" : 1.10, "big":12345678901234567890,"cut":"\\ud83d"}'

    answer = sent(admin, token, f'\ufeff{{ "data" : {data} }}'.encode())

    assert answer.status_code == NO_DISPATCHER, answer.json
    assert stored_data(house) == [data.encode()]


@pytest.mark.parametrize("body", [None, {}, {"data": None}])
def test_without_data_the_sample_is_sent(
    admin: Caller, house: House, token: dict[str, Any], body: dict[str, Any] | None
) -> None:
    """The body may be left out."""
    answer = admin.call("POST", callback_path(token) + "/test", body)

    assert answer.status_code == NO_DISPATCHER, answer.json
    assert [json.loads(data) for data in stored_data(house)] == [DATA]


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"data": {}}, Fault("the required field message is missing", "/data")),
        ({"data": DATA | {"channel": {"kind": "x"}}},
         Fault("the required field id is missing", "/data/channel")),
        ({"data": [1]}, Fault("Expected object, got array", "/data")),
        ({"data": None, "a/b": 1}, Fault("there is no such field", "/a~1b")),
        ({"type": "message.status"}, Fault("there is no such field", "/type")),
        ([], Fault("Expected object, got array", "")),
    ],
)  # fmt: skip
def test_data_that_could_not_be_published_are_refused_by_pointer(
    admin: Caller, house: House, token: dict[str, Any], body: Any, fault: Fault
) -> None:
    """By the very rules of a published event, so that a test tries what can happen."""
    answer = admin.call("POST", callback_path(token) + "/test", body)

    assert (answer.status_code, fault in faults_of(answer)) == (422, True), answer.json
    assert stored_data(house) == []


def test_data_given_twice_are_refused(admin: Caller, token: dict[str, Any]) -> None:
    """It cannot be known which were meant."""
    answer = sent(admin, token, b'{"data":null,"data":{}}')

    assert answer.status_code == 422
    assert [fault.pointer for fault in faults_of(answer)] == ["/data"]


@pytest.mark.parametrize(
    "body", [b"{", b"\xff", b'{"data":' + b"[" * 100_000, b"\xff\xfe{\0}\0", b'{"\\ud83d":1} x']
)
def test_what_is_no_json_is_malformed(admin: Caller, token: dict[str, Any], body: bytes) -> None:
    """Nothing of it can be pointed at."""
    assert sent(admin, token, body).status_code == 400


def test_a_field_with_an_odd_name_is_refused_in_words(admin: Caller, token: dict[str, Any]) -> None:
    """The answer must be JSON that every client reads."""
    answer = sent(admin, token, b'{"\\ud83d/~":1}')

    assert faults_of(answer) == [Fault("there is no such field", "/\\ud83d~1~0")]


def test_a_parameter_of_the_query_is_refused(admin: Caller, token: dict[str, Any]) -> None:
    """The caller expected some effect."""
    assert admin.call("POST", callback_path(token) + "/test?data=x").status_code == 422


def test_three_tests_may_be_sent_at_once_and_then_one_a_second(
    admin: Caller, house: House, token: dict[str, Any]
) -> None:
    """The button must not become a hammer on a receiver. Another callback has a count of its
    own, and what is refused as invalid was not sent.
    """
    now_ns = 0
    house.use(clock_ns=lambda: now_ns)
    path = callback_path(token) + "/test"
    admin.call(
        "PUT", f"/v1/tokens/{token['id']}/callbacks/message.status", {"url": "https://x.example/"}
    )

    invalid = [admin.call("POST", path, {"data": {}}).status_code for _ in range(5)]
    at_once = [admin.call("POST", path) for _ in range(5)]
    other = admin.call("POST", path.replace("message.received", "message.status"))
    now_ns = 999_000_000
    early = admin.call("POST", path)
    now_ns = 1_000_000_000
    later = [admin.call("POST", path).status_code for _ in range(2)]

    assert invalid == [422] * 5
    assert [answer.status_code for answer in at_once] == [NO_DISPATCHER] * 3 + [429] * 2
    assert at_once[3].headers["Retry-After"] == "1"
    assert at_once[3].json
    assert at_once[3].json["type"] == "/docs/problems/too-many-requests"
    assert other.status_code == NO_DISPATCHER
    assert (early.status_code, later) == (429, [NO_DISPATCHER, 429])
    assert len(stored_data(house)) == 5


def test_a_test_with_data_is_listed_as_a_test(
    admin: Caller, house: House, token: dict[str, Any]
) -> None:
    """No one should look for what no backend has published."""
    admin.call("POST", callback_path(token) + "/test", {"data": DATA})

    (listed,) = (admin.call("GET", "/v1/events").json or {})["data"]

    assert (listed["test"], listed["data"]) == (True, DATA)
