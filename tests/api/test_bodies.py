"""Bodies as people's tools write them, and how many of their faults an answer tells. Events have tests of their own as well."""

import json

import pytest

from schemas.errors import MOST_TOLD
from schemas.json_text import BYTE_ORDER_MARK
from tests.api.test_publishing import JSON, event
from tests.kit.api import Caller, House


def test_a_byte_order_mark_before_the_json_is_skipped(admin: Caller, backend: Caller) -> None:
    """Windows writes one, whatever it is that is sent."""
    assert admin.call("POST", "/v1/tokens", data=BYTE_ORDER_MARK + b'{"name":"ACME"}', content_type=JSON).status_code == 201
    assert backend.call("POST", "/v1/events", data=BYTE_ORDER_MARK + json.dumps(event()).encode(), content_type=JSON).status_code == 202


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b'{"name":"a","visibility":{"channels":[]},"visibility":null}', "/visibility"),
        (b'{"name":"a","visibility":{"channels":["secret"],"channels":["ch"]}}', "/visibility/channels"),
        (b'{"name":"a","n\\u0061me":"b"}', "/name"),
    ],
)
def test_a_name_that_comes_twice_is_refused(admin: Caller, body: bytes, pointer: str) -> None:
    """Whoever reads the first of the two believes that something else was asked for."""
    answer = admin.call("POST", "/v1/tokens", data=body, content_type=JSON)

    assert answer.status_code == 422
    assert [fault["pointer"] for fault in (answer.json or {})["errors"]] == [pointer]


def test_of_very_many_faults_the_first_are_told_and_the_others_counted(house: House, backend: Caller) -> None:
    """A program with one slip in it sends a thousand rows of it: a book for an answer helps nobody."""
    batch = {"events": [{"typ": "message.received", "data": {}}] * 1000}

    answer = backend.call("POST", "/v1/events/batch", batch)

    assert answer.status_code == 422
    assert answer.json
    assert len(answer.json["errors"]) == MOST_TOLD
    assert answer.json["more_errors"] == 1000 - MOST_TOLD
    assert answer.json["detail"] == "an event breaks the rules: the first 50 faults are in errors, and 950 more"
    assert house.publisher.published == []


def test_the_same_holds_for_other_bodies(platform: Caller) -> None:
    """One slip is two faults a row: a field that there is not, and one that is missing."""
    answer = platform.call("POST", "/v1/requests", {"requests": [{"request_id": "req_1", "statsu": 200}] * 1000})

    assert answer.status_code == 422
    assert answer.json
    assert len(answer.json["errors"]) == MOST_TOLD
    assert answer.json["more_errors"] > 900
