"""Tokens, callbacks, events and deliveries over HTTP, as an administrator's program uses them."""

import threading
from typing import Any

import pytest
import sqlalchemy as sa

from schemas.event_types import EventType
from schemas.ids import CallbackId, TokenId
from schemas.secrets import is_token, signing_key
from schemas.times import UnixMs, now_ms
from store import claims
from store.tables import attempts, deliveries, requested_attempts
from tests.kit.api import Caller, House
from tests.kit.making import a_claim
from tests.kit.waiting import wait_for

RECEIVED = EventType.MESSAGE_RECEIVED
URL = "https://x.example/hook"


@pytest.fixture
def token(admin: Caller) -> dict[str, Any]:
    """Just made, with a callback for received messages."""
    answer = admin.call(
        "POST", "/v1/tokens", {"name": "ACME CRM", "callbacks": {"message.received": {"url": URL, "headers": {"X-Key": "hidden"}}}}
    )
    assert answer.status_code == 201, answer.json
    return answer.json or {}


def callback_path(token: dict[str, Any], kind: str = "message.received") -> str:
    return f"/v1/tokens/{token['id']}/callbacks/{kind}"


def callback_id(house: House, token: dict[str, Any]) -> CallbackId:
    return house.parts.tokens.get(TokenId(token["id"])).callbacks[RECEIVED].id


def deliver(house: House, token: dict[str, Any], event_id: str = "evt_1", **columns: object) -> str:
    """A claimed event with one delivery of this token; its id."""
    to = callback_id(house, token)
    row = {
        "event_id": event_id,
        "callback_id": to,
        "token_id": token["id"],
        "type": "message.received",
        "state": "pending",
        "created_at": 7,
    }
    with house.database.write() as connection:
        claims.claim(connection, [a_claim(event_id, to)], UnixMs(1))
        connection.execute(sa.insert(deliveries).values(row | {"leased": False, "lease": 0, "failures": 0, "due_at": 9} | columns))
    return f"dlv_{to}_{event_id}"


def test_a_new_token_is_shown_with_its_secrets_once(admin: Caller, house: House, token: dict[str, Any]) -> None:
    """Exactly the shape that the contract draws; header values never come out."""
    assert is_token(token["token"])
    assert signing_key(token["signing_secret"])
    assert house.caller().call("GET", "/v1/me").status_code == 200
    assert Caller(house, token["token"]).call("GET", "/v1/me").status_code == 200, "it can be used at once"

    shown = admin.call("GET", f"/v1/tokens/{token['id']}")

    assert shown.json == {key: value for key, value in token.items() if key not in {"token", "signing_secret"}}
    assert shown.json == {
        "id": token["id"],
        "name": "ACME CRM",
        "state": "active",
        "token_hint": "rbk_…" + token["token"][-4:],
        "activates_at": token["created_at"],
        "expires_at": None,
        "enabled": True,
        "permissions": [],
        "visibility": {"channels": None},
        "callbacks": {
            "conversation.created": None,
            "message.received": {"url": URL, "enabled": True, "state": "healthy", "failing_since": None, "header_names": ["X-Key"]},
            "message.status": None,
        },
        "created_at": token["created_at"],
        "last_used_at": None,
    }


def test_every_optional_field_of_a_new_token_may_be_null(admin: Caller) -> None:
    """Null is what is not given."""
    optional = ("activates_at", "expires_at", "enabled", "permissions", "visibility", "callbacks")

    answer = admin.call("POST", "/v1/tokens", {"name": "x"} | dict.fromkeys(optional))

    assert answer.status_code == 201
    assert answer.json
    assert (answer.json["enabled"], answer.json["state"]) == (True, "active")


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/name"]),
        ({"name": " "}, ["/name"]),
        ({"name": "a\u0000b"}, ["/name"]),
        ({"name": "x" * 201}, ["/name"]),
        ({"name": 5}, ["/name"]),
        ({"name": "x", "typo": 1}, ["/typo"]),
        ({"name": "x", "enabled": "yes"}, ["/enabled"]),
        ({"name": "x", "permissions": ["fly"]}, ["/permissions/0"]),
        ({"name": "x", "expires_at": "tomorrow"}, ["/expires_at"]),
        ({"name": "x", "expires_at": 5}, ["/expires_at"]),
        ({"name": "x", "activates_at": "2030-01-01T00:00:00Z", "expires_at": "2030-01-01T01:00:00+01:00"}, ["/expires_at"]),
        ({"name": "x", "visibility": {"channels": [1]}}, ["/visibility/channels/0"]),
        ({"name": "x", "visibility": {"channels": ["a\u0000"]}}, ["/visibility/channels"]),
        ({"name": "x", "visibility": {"channel": []}}, ["/visibility/channel"]),
        ({"name": "x", "callbacks": {"message.received": {"url": "ftp://x.example"}}}, ["/callbacks/message.received/url"]),
        ({"name": "x", "callbacks": {"cat.meowed": None}}, ["/callbacks/cat.meowed"]),
        ([], [""]),
    ],
)
def test_a_token_that_breaks_the_rules_is_refused_with_pointers(admin: Caller, body: object, pointers: list[str]) -> None:
    """A typo is named, never swallowed."""
    answer = admin.call("POST", "/v1/tokens", body)

    assert answer.status_code == 422
    assert answer.json
    assert [fault["pointer"] for fault in answer.json["errors"]] == pointers


@pytest.mark.parametrize("body", [b"", b"{", b'{"name":"\xff"}', b"[" * 10_000])
def test_a_body_that_cannot_be_read_is_malformed(admin: Caller, body: bytes) -> None:
    """Not a validation error: nothing in it could be read."""
    assert admin.call("POST", "/v1/tokens", data=body, content_type="application/json").status_code == 400


def test_a_patch_changes_what_it_names_and_nothing_else(admin: Caller, token: dict[str, Any]) -> None:
    """Null leaves a field, but clears the expiration."""
    path = f"/v1/tokens/{token['id']}"
    assert admin.call("PATCH", path, {"expires_at": "2099-01-01T00:00:00Z", "permissions": ["stats:read"]}).status_code == 200

    renamed = admin.call("PATCH", path, {"name": "other", "permissions": None}).json or {}
    cleared = admin.call("PATCH", path, {"expires_at": None, "visibility": {"channels": ["b", "a"]}}).json or {}

    assert (renamed["name"], renamed["expires_at"], renamed["permissions"]) == ("other", "2099-01-01T00:00:00.000Z", ["stats:read"])
    assert (cleared["name"], cleared["expires_at"], cleared["visibility"]) == ("other", None, {"channels": ["a", "b"]})


def test_a_token_is_suspended_and_comes_back(admin: Caller, house: House, token: dict[str, Any]) -> None:
    """The same token, the same secret."""
    path, holder = f"/v1/tokens/{token['id']}", Caller(house, token["token"])

    assert (admin.call("PATCH", path, {"enabled": False}).json or {})["state"] == "suspended"
    house.directory.refresh()
    assert holder.call("GET", "/v1/me").status_code == 401
    assert (admin.call("PATCH", path, {"enabled": True}).json or {})["state"] == "active"
    house.directory.refresh()

    assert holder.call("GET", "/v1/me").status_code == 200


def test_a_deleted_token_is_revoked_for_good(admin: Caller, house: House, token: dict[str, Any]) -> None:
    """Shown only to who asks for revoked ones; its open deliveries are cancelled and counted; nothing changes it any more."""
    deliver(house, token)
    path = f"/v1/tokens/{token['id']}"

    answer = admin.call("DELETE", path)

    assert (answer.status_code, answer.data) == (204, b"")
    assert house.observer.cancelled == [(RECEIVED, 1)]
    assert (admin.call("GET", path).json or {})["state"] == "revoked"
    assert token["id"] not in {one["id"] for one in (admin.call("GET", "/v1/tokens").json or {})["data"]}
    assert [one["id"] for one in (admin.call("GET", "/v1/tokens?state=revoked").json or {})["data"]] == [token["id"]]
    assert admin.call("DELETE", path).status_code == 204
    for method, more, body in (
        ("PATCH", "", {"name": "x"}),
        ("POST", "/regenerate", {}),
        ("PUT", "/callbacks/message.status", {"url": URL}),
    ):
        assert admin.call(method, path + more, body).status_code == 409


def test_a_regenerated_token_takes_over_from_the_old_one(admin: Caller, house: House, token: dict[str, Any]) -> None:
    """Without a body at once, with an overlap both; the signing secret stays what it was."""
    path = f"/v1/tokens/{token['id']}/regenerate"

    overlapping = admin.call("POST", path, {"overlap": "1h"}).json or {}
    house.directory.refresh()

    assert "signing_secret" not in overlapping
    assert Caller(house, token["token"]).call("GET", "/v1/me").status_code == 200
    assert Caller(house, overlapping["token"]).call("GET", "/v1/me").status_code == 200

    alone = admin.call("POST", path).json or {}
    house.directory.refresh()

    assert Caller(house, token["token"]).call("GET", "/v1/me").status_code == 401
    assert Caller(house, overlapping["token"]).call("GET", "/v1/me").status_code == 401
    assert Caller(house, alone["token"]).call("GET", "/v1/me").status_code == 200


@pytest.mark.parametrize("overlap", ["8d", "-1s", "soon", 5, "999999999d", "9" * 400 + "d"])
def test_an_overlap_that_is_none_is_refused(admin: Caller, token: dict[str, Any], overlap: object) -> None:
    """Up to a week, in the spelling of durations."""
    answer = admin.call("POST", f"/v1/tokens/{token['id']}/rotate-signing-secret", {"overlap": overlap})

    assert answer.status_code == 422
    assert answer.json
    assert answer.json["errors"][0]["pointer"] == "/overlap"


def test_a_signing_secret_is_rotated_and_can_be_shown_again(admin: Caller, house: House, token: dict[str, Any]) -> None:
    """That somebody looked is recorded, with who it was."""
    path = f"/v1/tokens/{token['id']}"
    assert (admin.call("GET", path + "/signing-secret").json or {}) == {"signing_secret": token["signing_secret"]}

    rotated = admin.call("POST", path + "/rotate-signing-secret").json or {}

    assert rotated["signing_secret"] != token["signing_secret"]
    assert admin.call("GET", path + "/signing-secret").json == rotated
    what, fields = house.observer.notes[0]
    assert (what, fields["token"]) == ("signing_secret_shown", token["id"])
    assert str(fields["by"]).startswith("tok_")


def test_a_callback_is_put_and_deleted(admin: Caller, house: House, token: dict[str, Any]) -> None:
    """Off, back on, gone; its headers stay when they are not given."""
    off = admin.call("PUT", callback_path(token), {"url": URL, "enabled": False, "headers": None, "held": None})
    assert (off.status_code, off.json) == (
        200,
        {"url": URL, "enabled": False, "state": "off", "failing_since": None, "header_names": ["X-Key"]},
    )
    deliver(house, token)

    assert admin.call("DELETE", callback_path(token)).status_code == 204
    assert admin.call("DELETE", callback_path(token)).status_code == 404
    assert house.observer.cancelled == [(RECEIVED, 1)]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"url": "ftp://example.com/x"}, "/url"),
        ({"url": "http://user:pw@127.0.0.1/x"}, "/url"),
        ({"url": "not a url"}, "/url"),
        ({"url": "https://10.0.0.1/x"}, "/url"),
        ({"url": "https://169.254.169.254/x"}, "/url"),
        ({"url": "http://example.com/x"}, "/url"),
        ({"url": URL, "headers": {"webhook-id": "mine"}}, "/headers/webhook-id"),
        ({"url": URL, "headers": {"X": 1}}, "/headers/X"),
        ({"url": URL, "held": "discard"}, "/held"),
        ({"enabled": True}, "/url"),
    ],
)
def test_a_callback_that_breaks_the_rules_is_refused(admin: Caller, token: dict[str, Any], body: object, pointer: str) -> None:
    """The quick answer of the target policy; the judgement that counts is made when connecting."""
    answer = admin.call("PUT", callback_path(token), body)

    assert answer.status_code == 422
    assert answer.json
    assert [fault["pointer"] for fault in answer.json["errors"]] == [pointer]


@pytest.mark.parametrize(
    "path", ["/v1/tokens/tok_missing", "/v1/events/evt_missing", "/v1/deliveries/dlv_missing", "/v1/tokens/a%00b", "/v1/tokens/é"]
)
def test_what_is_not_there_is_not_found(admin: Caller, path: str) -> None:
    """Whatever the id looks like."""
    assert admin.call("GET", path).status_code == 404


def test_a_callback_of_a_type_that_there_is_not_is_not_found(admin: Caller, token: dict[str, Any]) -> None:
    """The type is a part of the address."""
    assert admin.call("PUT", callback_path(token, "cat.meowed"), {"url": URL}).status_code == 404


@pytest.mark.parametrize("path", ["/v1/tokens", "/v1/events", "/v1/deliveries"])
@pytest.mark.parametrize(
    "query", ["limit=9", "limit=101", "limit=x", "cursor=nonsense", "cursor=a%00b", "stat=held", "state=nope&type=nope", "since=now"]
)
def test_a_query_that_breaks_the_rules_is_refused(admin: Caller, path: str, query: str) -> None:
    """A mistyped filter must not answer with everything."""
    answer = admin.call("GET", f"{path}?{query}")

    assert (answer.status_code, answer.content_type) == (422, "application/problem+json")


def test_lists_are_paged(admin: Caller, house: House, token: dict[str, Any]) -> None:
    """`next_cursor` until there is none; an empty parameter is none, as forms send it."""
    made = {deliver(house, token, f"evt_{number}") for number in range(12)}

    first = admin.call("GET", "/v1/deliveries?limit=10&state=&cursor=").json or {}
    second = admin.call("GET", "/v1/deliveries", query_string={"limit": 10, "cursor": first["next_cursor"]}).json or {}

    assert {one["id"] for one in first["data"] + second["data"]} == made
    assert (len(first["data"]), second["next_cursor"]) == (10, None)


def test_an_event_is_shown_as_it_was_published(admin: Caller, house: House, token: dict[str, Any]) -> None:
    """With its deliveries, and without their attempts; its data number for number."""
    delivery = deliver(house, token)

    event = admin.call("GET", "/v1/events/evt_1").json or {}

    assert (event["id"], event["type"], event["accepted_at"]) == ("evt_1", "message.received", "1970-01-01T00:00:01.000Z")
    assert event["data"]["message"]["content"] == {"type": "text", "text": "hello"}
    assert [one["id"] for one in event["deliveries"]] == [delivery]
    assert "attempts" not in event["deliveries"][0]
    assert (admin.call("GET", "/v1/events").json or {})["data"] == [event]


def test_a_retry_asks_for_one_attempt(admin: Caller, house: House, token: dict[str, Any]) -> None:
    """And names it, so that one can look for it among the delivery's attempts."""
    delivery = deliver(house, token, state="exhausted", due_at=None)

    answer = admin.call("POST", f"/v1/deliveries/{delivery}/retry")

    assert answer.status_code == 202
    with house.database.read() as connection:
        (row,) = connection.execute(sa.select(requested_attempts)).all()
    assert answer.json == {"attempt_id": row.id}
    assert (row.event_id, row.trigger) == ("evt_1", "manual")


@pytest.mark.parametrize("why", ["suspended", "revoked", "callback deleted", "first attempt"])
def test_a_retry_that_cannot_be_is_a_conflict(admin: Caller, house: House, token: dict[str, Any], why: str) -> None:
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


def test_a_callback_that_is_off_may_be_retried(admin: Caller, house: House, token: dict[str, Any]) -> None:
    """That is how one finds out whether it works again."""
    delivery = deliver(house, token)
    admin.call("PUT", callback_path(token), {"url": URL, "enabled": False})

    assert admin.call("POST", f"/v1/deliveries/{delivery}/retry").status_code == 202


def test_a_test_answers_the_attempt_that_a_dispatcher_made(admin: Caller, house: House, token: dict[str, Any]) -> None:
    """The API only waits for the record of it."""
    object.__setattr__(house.parts, "timeout_s", 10.0)
    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(admin.call("POST", callback_path(token) + "/test")))
    asking.start()

    asked = wait_for("the request for it", lambda: requested(house))
    made = {"event_id": asked.event_id, "callback_id": asked.callback_id, "id": asked.id, "number": 1, "trigger": asked.trigger}
    found = {"started_at": now_ms(), "duration_ms": 3, "outcome": "http_5xx", "status_code": 500, "error": "it answered 500"}
    with house.database.write() as connection:
        connection.execute(sa.insert(attempts).values(made | found | {"request_headers": b"{}", "response_body": b"oh\xff"}))
    asking.join()

    answer = answers[0]
    assert (answer.status_code, answer.json["id"], answer.json["trigger"]) == (200, asked.id, "test")
    assert (answer.json["status_code"], answer.json["outcome"], answer.json["error"]) == (500, "http_5xx", "it answered 500")
    assert answer.json["response_body"] == "oh\ufffd"
    assert asked.event_id.startswith("evt_test_")
    event = admin.call("GET", f"/v1/events/{asked.event_id}").json or {}
    assert event["data"]["channel"]["id"] == "chn_support"


def test_a_test_that_no_dispatcher_takes_says_so(admin: Caller, house: House, token: dict[str, Any]) -> None:
    """After its patience, and it is taken back."""
    answer = admin.call("POST", callback_path(token) + "/test")

    assert answer.status_code == 503
    assert answer.json
    assert answer.json["type"] == "/docs/problems/no-dispatcher"
    assert requested(house) is None


def test_a_test_of_a_token_that_is_not_active_is_a_conflict(admin: Caller, token: dict[str, Any]) -> None:
    """It would never be called."""
    admin.call("PATCH", f"/v1/tokens/{token['id']}", {"enabled": False})

    assert admin.call("POST", callback_path(token) + "/test").status_code == 409


def requested(house: House) -> Any:
    with house.database.read() as connection:
        return connection.execute(sa.select(requested_attempts)).one_or_none()
