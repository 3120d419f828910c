"""Lists, events, retries and tests over HTTP: what became of it, and do it again."""

import threading
from typing import Any

import pytest
import sqlalchemy as sa

from schemas.ids import new_test_event_id
from schemas.times import now_ms
from store.engine import paging
from store.tables import attempts, deliveries, requested_attempts
from tests.kit.api import URL, Caller, House, callback_path, deliver
from tests.kit.waiting import wait_for


@pytest.mark.parametrize(
    "path",
    [
        "/v1/tokens/tok_missing",
        "/v1/events/evt_missing",
        "/v1/deliveries/dlv_missing",
        "/v1/tokens/a%00b",
        "/v1/tokens/é",
    ],
)
def test_what_is_not_there_is_not_found(admin: Caller, path: str) -> None:
    """Whatever the id looks like."""
    assert admin.call("GET", path).status_code == 404


@pytest.mark.parametrize("path", ["/v1/tokens", "/v1/events", "/v1/deliveries"])
@pytest.mark.parametrize(
    "query",
    [
        "limit=9",
        "limit=101",
        "limit=x",
        "cursor=nonsense",
        "cursor=a%00b",
        "stat=held",
        "state=nope&type=nope",
        "since=now",
    ],
)
def test_a_query_that_breaks_the_rules_is_refused(admin: Caller, path: str, query: str) -> None:
    """A mistyped filter must not answer with everything."""
    answer = admin.call("GET", f"{path}?{query}")

    assert (answer.status_code, answer.content_type) == (422, "application/problem+json")


def test_lists_are_paged(admin: Caller, house: House, token: dict[str, Any]) -> None:
    """`next_cursor` until there is none."""
    made = {deliver(house, token, f"evt_{number}") for number in range(12)}

    first = admin.call("GET", "/v1/deliveries?limit=10").json or {}
    second = (
        admin.call(
            "GET", "/v1/deliveries", query_string={"limit": 10, "cursor": first["next_cursor"]}
        ).json
        or {}
    )

    assert {one["id"] for one in first["data"] + second["data"]} == made
    assert (len(first["data"]), second["next_cursor"]) == (10, None)


def test_lists_say_how_far_back_they_looked(
    admin: Caller, house: House, token: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A filter that fits few may find none in what a page looks at; the last page has looked at
    everything.
    """
    monkeypatch.setattr(paging, "SCAN_ROWS", 8)
    for number in range(12):
        deliver(house, token, f"evt_{number}", created_at=number)

    for path, back in (
        ("/v1/deliveries?error=tls", "1970-01-01T00:00:00.004Z"),
        ("/v1/events?type=message.status", "1970-01-01T00:00:01.000Z"),
    ):
        first = admin.call("GET", path).json or {}
        second = admin.call("GET", f"{path}&cursor={first['next_cursor']}").json or {}

        assert (first["data"], first["looked_until"]) == ([], back)
        assert second == {"data": [], "next_cursor": None, "looked_until": None}


def test_the_deliveries_of_one_event_are_a_list(
    admin: Caller, house: House, token: dict[str, Any]
) -> None:
    """The event itself shows the first of very many."""
    one = deliver(house, token, "evt_1")
    deliver(house, token, "evt_2")

    listed = admin.call("GET", "/v1/deliveries?event=evt_1").json or {}
    event = admin.call("GET", "/v1/events/evt_1").json or {}

    assert [delivery["id"] for delivery in listed["data"]] == [one]
    assert (len(event["deliveries"]), event["deliveries_total"]) == (1, 1)


def test_a_sample_is_marked_as_such(admin: Caller, house: House, token: dict[str, Any]) -> None:
    """Among events as among deliveries: no one should look for what no backend has published."""
    sample = new_test_event_id()
    deliver(house, token, sample)
    deliver(house, token, "evt_1")

    listed = admin.call("GET", "/v1/events").json or {}

    assert {one["id"]: one["test"] for one in listed["data"]} == {sample: True, "evt_1": False}
    assert (admin.call("GET", f"/v1/events/{sample}").json or {})["test"] is True


def test_an_event_is_shown_as_it_was_published(
    admin: Caller, house: House, token: dict[str, Any]
) -> None:
    """With its deliveries, and without their attempts; its data number for number."""
    delivery = deliver(house, token)

    event = admin.call("GET", "/v1/events/evt_1").json or {}

    assert (event["id"], event["type"], event["accepted_at"]) == (
        "evt_1",
        "message.received",
        "1970-01-01T00:00:01.000Z",
    )
    assert event["data"]["message"]["content"] == {"type": "text", "text": "hello"}
    assert [one["id"] for one in event["deliveries"]] == [delivery]
    assert "attempts" not in event["deliveries"][0]
    assert (admin.call("GET", "/v1/events").json or {})["data"] == [event]


def test_the_recipients_of_an_event_are_shown(
    admin: Caller, house: House, token: dict[str, Any]
) -> None:
    """Who got it, and who did not and why."""
    delivery = deliver(house, token)
    callbacks = {"message.received": {"url": URL}}
    other = admin.call(
        "POST",
        "/v1/tokens",
        {"name": "Beta", "visibility": {"channels": []}, "callbacks": callbacks},
    ).json

    shown = admin.call("GET", "/v1/events/evt_1/recipients").json or {}

    assert shown["more"] == 0
    got, late = shown["data"]
    assert got == {
        "token_id": token["id"],
        "token_name": "ACME CRM",
        "callback": URL,
        "delivery_id": delivery,
        "state": "pending",
        "reason": None,
        "detail": None,
        "note": None,
    }
    assert (late["token_id"], late["delivery_id"]) == ((other or {})["id"], None)
    assert (late["state"], late["reason"]) == ("not", "token")
    assert admin.call("GET", "/v1/events/evt_none/recipients").status_code == 404


def test_a_retry_asks_for_one_attempt(admin: Caller, house: House, token: dict[str, Any]) -> None:
    """The answer names it, to look it up among the delivery's attempts."""
    delivery = deliver(house, token, state="exhausted", due_at=None)

    answer = admin.call("POST", f"/v1/deliveries/{delivery}/retry")

    assert answer.status_code == 202
    with house.database.read() as connection:
        (row,) = connection.execute(sa.select(requested_attempts)).all()
    assert answer.json == {"attempt_id": row.id}
    assert (row.event_id, row.trigger) == ("evt_1", "manual")


@pytest.mark.parametrize("why", ["suspended", "revoked", "callback deleted", "first attempt"])
def test_a_retry_that_cannot_be_is_a_conflict(
    admin: Caller, house: House, token: dict[str, Any], why: str
) -> None:
    """Nothing is asked for that no dispatcher would do."""
    delivery = deliver(house, token)
    if why == "suspended":
        admin.call("PATCH", f"/v1/tokens/{token['id']}", {"enabled": False})
    elif why == "revoked":
        admin.call("DELETE", f"/v1/tokens/{token['id']}")
    elif why == "callback deleted":
        admin.call("DELETE", callback_path(token))
    else:
        with house.database.write() as connection:
            connection.execute(sa.delete(deliveries))

    assert admin.call("POST", f"/v1/deliveries/{delivery}/retry").status_code == 409


def test_a_callback_that_is_off_may_be_retried(
    admin: Caller, house: House, token: dict[str, Any]
) -> None:
    """An administrator finds out whether it works again."""
    delivery = deliver(house, token)
    admin.call("PUT", callback_path(token), {"url": URL, "enabled": False})

    assert admin.call("POST", f"/v1/deliveries/{delivery}/retry").status_code == 202


def test_a_test_answers_the_attempt_that_a_dispatcher_made(
    admin: Caller, house: House, token: dict[str, Any]
) -> None:
    """The API only waits for the record of it."""
    object.__setattr__(house.parts, "timeout_s", 10.0)
    answers: list[Any] = []
    asking = threading.Thread(
        target=lambda: answers.append(admin.call("POST", callback_path(token) + "/test"))
    )
    asking.start()

    asked = wait_for("the request for it", lambda: requested(house))
    made = {
        "event_id": asked.event_id,
        "callback_id": asked.callback_id,
        "id": asked.id,
        "number": 1,
        "trigger": asked.trigger,
    }
    found = {
        "started_at": now_ms(),
        "duration_ms": 3,
        "outcome": "http_5xx",
        "status_code": 500,
        "error": "it answered 500",
    }
    met = {
        "response_headers": b'{"server":"x"}',
        "address": "203.0.113.7:443",
        "dns_ms": 1,
        "connect_ms": 3,
        "wait_ms": 2,
    }
    with house.database.write() as connection:
        connection.execute(
            sa.insert(attempts).values(
                made | found | met | {"request_headers": b"{}", "response_body": b"oh\xff"}
            )
        )
    asking.join()

    answer = answers[0]
    assert (answer.status_code, answer.json["id"], answer.json["trigger"]) == (
        200,
        asked.id,
        "test",
    )
    assert (answer.json["status_code"], answer.json["outcome"], answer.json["error"]) == (
        500,
        "http_5xx",
        "it answered 500",
    )
    assert answer.json["response_body"] == "oh\ufffd"
    assert answer.json["response_headers"] == {"server": "x"}
    assert answer.json["address"] == "203.0.113.7:443"
    assert answer.json["phases_ms"] == {"dns": 1, "connect": 3, "tls": None, "wait": 2}
    assert asked.event_id.startswith("evt_test_")
    event = admin.call("GET", f"/v1/events/{asked.event_id}").json or {}
    assert event["data"]["channel"]["id"] == "chn_support"


def test_a_test_that_no_dispatcher_takes_says_so(
    admin: Caller, house: House, token: dict[str, Any]
) -> None:
    """After its timeout it is taken back."""
    answer = admin.call("POST", callback_path(token) + "/test")

    assert answer.status_code == 503
    assert answer.json
    assert answer.json["type"] == "/docs/problems/no-dispatcher"
    assert requested(house) is None


def test_a_test_of_a_token_that_is_not_active_is_a_conflict(
    admin: Caller, token: dict[str, Any]
) -> None:
    """It would never be called."""
    admin.call("PATCH", f"/v1/tokens/{token['id']}", {"enabled": False})

    assert admin.call("POST", callback_path(token) + "/test").status_code == 409


def requested(house: House) -> Any:
    with house.database.read() as connection:
        return connection.execute(sa.select(requested_attempts)).one_or_none()
