"""What the chat platform reports to the request log."""

from typing import Any

import pytest
import sqlalchemy as sa

from schemas.ids import first_request_id, new_request_id
from schemas.times import now_ms
from store.request_log import writer
from store.tables import requests
from store.tokens.tokens import NewSecrets
from tests.kit.api import Caller, House
from tests.kit.request_log import Log
from tests.kit.requests import a_request
from tests.kit.tokens import TESTER


def test_a_report_completes_what_was_introspected(
    house: House, made: NewSecrets, platform: Caller, log: Log
) -> None:
    """Until then its status is unknown."""
    asked = a_request(token_id=made.token.id, status=None)
    house.request_log.add(asked)
    assert log.row()["status"] is None

    answer = platform.call(
        "POST",
        "/v1/requests",
        {"requests": [{"request_id": asked.id, "status": 201, "duration_ms": 17}]},
    )

    assert (answer.status_code, answer.json) == (202, {"accepted": 1})
    assert (log.row()["status"], log.row()["duration_ms"]) == (201, 17)


def test_a_request_without_introspection_is_reported_whole(
    made: NewSecrets, platform: Caller, log: Log
) -> None:
    """A request as the chat platform knows it, without the optional fields."""
    whole = {
        "token": made.token.id,
        "at": "2026-11-22T10:00:00.000Z",
        "method": "GET",
        "path": "/conversations?key=secret",
        "status": 403,
        "duration_ms": 5,
        "ip": "203.0.113.9",
        "user_agent": "acme/1.0",
        "permission": "conversations:read",
        "reason": "permission missing",
    }
    few = {"token": made.token.id, "method": "GET", "path": "/ping", "status": 200}

    assert platform.call("POST", "/v1/requests", {"requests": [whole, few]}).status_code == 202

    rows = {row["path"]: row for row in log.rows()}
    of_log = rows["/conversations"]
    assert of_log.pop("id") == of_log.pop("request_id")
    assert of_log | {"token": made.token.id} == whole | {
        "path": "/conversations",
        "allowed": False,
        "count": 1,
    }
    assert (rows["/ping"]["allowed"], rows["/ping"]["ip"], rows["/ping"]["reason"]) == (
        True,
        None,
        None,
    )


def test_a_request_of_a_token_that_was_revoked_since_can_be_reported(
    house: House, made: NewSecrets, platform: Caller, log: Log
) -> None:
    """Reports come in batches, later than the requests."""
    house.parts.tokens.revoke(made.token.id, now_ms(), TESTER)

    answer = platform.call(
        "POST",
        "/v1/requests",
        {"requests": [{"token": made.token.id, "method": "GET", "path": "/", "status": 200}]},
    )

    assert answer.status_code == 202
    assert log.row()["path"] == "/"


@pytest.mark.parametrize(
    ("report", "pointer"),
    [
        ({"request_id": "req_" + "0" * 32}, "/status"),
        ({"request_id": "mine", "status": 200}, "/request_id"),
        ({"request_id": "req_" + "f" * 32, "status": 200}, "/request_id"),
        ({"request_id": "req_" + "0" * 32, "status": 99}, "/status"),
        ({"request_id": "req_" + "0" * 32, "status": 200, "duration_ms": -1}, "/duration_ms"),
        ({"request_id": "req_" + "0" * 32, "status": 200, "path": "/"}, "/path"),
        ({"token": "tok_missing", "method": "GET", "path": "/", "status": 200}, "/token"),
        ({"token": "tok_1", "path": "/", "status": 200}, "/method"),
        ({"at": "9999-01-01T00:00:00Z"}, "/at"),
        ({"permission": "everything"}, "/permission"),
        ("nonsense", ""),
    ],
)
def test_a_report_that_breaks_the_rules_is_named_and_none_is_taken(
    made: NewSecrets, platform: Caller, log: Log, report: Any, pointer: str
) -> None:
    """A batch that was half taken could not be sent again."""
    good = {"token": made.token.id, "method": "GET", "path": "/", "status": 200}
    if isinstance(report, dict) and not {"request_id", "token"} & set(report):
        report = good | report

    answer = platform.call("POST", "/v1/requests", {"requests": [good, report]})

    assert answer.status_code == 422
    assert [fault["pointer"] for fault in (answer.json or {})["errors"]] == [
        f"/requests/1{pointer}"
    ]
    assert log.rows() == []


def test_an_id_may_be_as_far_ahead_as_a_clock(platform: Caller) -> None:
    """Five minutes. What is further ahead would be kept for longer than `RETENTION`,
    or for ever.
    """

    def status(ahead_s: int) -> int:
        own = first_request_id(now_ms() + ahead_s * 1000) + "0" * 20
        return platform.call(
            "POST", "/v1/requests", {"requests": [{"request_id": own, "status": 200}]}
        ).status_code

    assert (status(240), status(360)) == (202, 422)


def test_a_whole_number_is_one_however_it_is_written(
    made: NewSecrets, platform: Caller, log: Log
) -> None:
    """JSON Schema calls 200.0 an integer."""
    report = {
        "token": made.token.id,
        "method": "GET",
        "path": "/",
        "status": 200.0,
        "duration_ms": 5.0,
    }

    assert platform.call("POST", "/v1/requests", {"requests": [report]}).status_code == 202
    assert (log.row()["status"], log.row()["duration_ms"]) == (200, 5)
    assert (
        platform.call(
            "POST", "/v1/requests", {"requests": [report | {"status": 200.5}]}
        ).status_code
        == 422
    )


@pytest.mark.parametrize(
    "path",
    [
        "/a?key=secret",
        "/a%3Fkey=secret",
        "/a%3fkey=secret",
        "/a%253Fkey=secret",
        "/a%25253fkey=secret",
    ],
)
def test_no_query_is_kept_however_it_was_escaped(
    made: NewSecrets, platform: Caller, log: Log, path: str
) -> None:
    """Secrets may be in it."""
    report = {"token": made.token.id, "method": "GET", "path": path, "status": 200}

    assert platform.call("POST", "/v1/requests", {"requests": [report]}).status_code == 202
    assert log.row()["path"] == "/a"


@pytest.mark.parametrize("count", [0, 1001])
def test_a_batch_of_reports_is_bounded(platform: Caller, count: int) -> None:
    """A batch holds one to a thousand reports."""
    report = {"request_id": "req_" + "0" * 32, "status": 200}

    assert platform.call("POST", "/v1/requests", {"requests": [report] * count}).status_code == 422


def test_a_full_batch_of_long_reports_is_taken(
    made: NewSecrets, platform: Caller, house: House
) -> None:
    """A thousand may be larger than a single call's body."""
    report = {"token": made.token.id, "method": "GET", "path": "/" + "x" * 500, "status": 200}

    assert platform.call("POST", "/v1/requests", {"requests": [report] * 1000}).status_code == 202
    house.request_log.flush()

    with house.database.read() as connection:
        assert (
            connection.scalar(
                sa.select(sa.func.count()).where(requests.c.token_id == made.token.id)
            )
            == 1000
        )


def test_a_made_up_request_id_does_no_harm(
    house: House, made: NewSecrets, platform: Caller, log: Log, supplier: Caller
) -> None:
    """What this API has answered cannot be rewritten either."""
    supplier.call("GET", "/v1/me")
    reports = [{"request_id": own, "status": 500} for own in (new_request_id(), log.row()["id"])]

    assert platform.call("POST", "/v1/requests", {"requests": reports}).status_code == 202

    assert log.row()["status"] == 200


def test_what_could_only_be_dropped_is_not_taken(
    made: NewSecrets, platform: Caller, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """202 would be a promise that is not kept. The caller can report it again."""
    report = {"token": made.token.id, "method": "GET", "path": "/conversations", "status": 200}
    with monkeypatch.context() as full:
        full.setattr(writer, "MOST_ADDED", 0)
        refused = platform.call("POST", "/v1/requests", {"requests": [report]})
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")

    assert platform.call("POST", "/v1/requests", {"requests": [report]}).status_code == 202
    assert log.row()["path"] == "/conversations"
