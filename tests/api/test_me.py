"""What a token's holder may ask: its own deliveries, events and figures, and nothing of anybody
else's.
"""

import csv
import io
import json
from typing import Any

import openpyxl
import pytest
import sqlalchemy as sa

from schemas.ids import new_test_event_id
from schemas.times import UnixMs, now_ms, to_rfc3339
from schemas.tokens.permissions import Permission
from store.events import claims
from store.stats import by_period
from store.tables import attempts, deliveries
from tests.kit.api import URL, Caller, House, callback_path, deliver
from tests.kit.holders import a_token
from tests.kit.making import a_claim


def get(caller: Caller, path: str, **query: object) -> Any:
    answer = caller.call("GET", path, query_string=query)
    assert answer.status_code == 200, answer.json
    return answer.json


def failed_attempt(house: House, delivery: str) -> None:
    _, callback_id, event_id = delivery.split("_", 2)
    row = {
        "event_id": event_id,
        "callback_id": callback_id,
        "id": "att_1",
        "number": 1,
        "trigger": "first",
        "started_at": 5,
    }
    row |= {"duration_ms": 3, "outcome": "http_5xx", "status_code": 500, "error": "it answered 500"}
    with house.database.write() as connection:
        connection.execute(
            sa.insert(attempts).values(
                row
                | {
                    "request_headers": b'{"webhook-id":"evt_1","X-Key":"***"}',
                    "response_body": b"oh",
                }
            )
        )


def test_a_token_sees_its_own_deliveries_alone(
    house: House, me: Caller, mine: dict[str, Any], theirs: dict[str, Any]
) -> None:
    """By every filter of the administrator's list but the token."""
    own = [
        deliver(
            house,
            mine,
            "evt_1",
            state="exhausted",
            status_code=500,
            outcome="http_5xx",
            due_at=None,
        ),
        deliver(house, mine, "evt_2"),
    ]
    deliver(house, theirs, "evt_3")

    assert [one["id"] for one in get(me, "/v1/me/deliveries")["data"]] == own[::-1]
    assert [
        one["id"]
        for one in get(
            me, "/v1/me/deliveries", status_code=500, state="exhausted", error="http_5xx"
        )["data"]
    ] == own[:1]
    assert get(me, "/v1/me/deliveries", type="message.status") == {
        "data": [],
        "next_cursor": None,
        "looked_until": None,
    }
    assert get(me, "/v1/me/deliveries", until=to_rfc3339(UnixMs(7)))["data"] == []
    assert me.call("GET", f"/v1/me/deliveries?token={theirs['id']}").status_code == 422


def test_a_token_learns_why_its_call_failed(house: House, me: Caller, mine: dict[str, Any]) -> None:
    """What was sent, but for the values of the callback's own headers, and what was answered."""
    delivery = deliver(house, mine)
    failed_attempt(house, delivery)

    shown = get(me, f"/v1/me/deliveries/{delivery}")

    (attempt,) = shown["attempts"]
    assert (shown["id"], shown["state"], shown["callback"]) == (delivery, "pending", URL)
    assert (attempt["status_code"], attempt["error"], attempt["response_body"]) == (
        500,
        "it answered 500",
        "oh",
    )
    assert "hidden" not in json.dumps(shown)


def test_a_delivery_under_way_is_shown_too(house: House, me: Caller, mine: dict[str, Any]) -> None:
    """Before it has a row."""
    delivery = deliver(house, mine)
    with house.database.write() as connection:
        connection.execute(sa.delete(deliveries))

    assert get(me, f"/v1/me/deliveries/{delivery}")["state"] == "pending"


@pytest.mark.parametrize("state", ["recorded", "under way", "absent"])
def test_anothers_delivery_looks_like_one_that_is_not_there(
    house: House, me: Caller, theirs: dict[str, Any], state: str
) -> None:
    """404 in the same words, never 403: ids must not be guessable as existing."""
    delivery = deliver(house, theirs)
    if state == "under way":
        with house.database.write() as connection:
            connection.execute(sa.delete(deliveries))
    if state == "absent":
        delivery = delivery.replace("evt_1", "evt_2")

    answer = me.call("GET", f"/v1/me/deliveries/{delivery}")

    assert (answer.status_code, (answer.json or {})["detail"]) == (
        404,
        f"this token has no delivery {delivery}",
    )


def test_the_life_of_a_token_gone_by_is_still_its_own(
    house: House, admin: Caller, me: Caller, mine: dict[str, Any]
) -> None:
    """This holds for deleted callbacks too."""
    delivery = deliver(house, mine)
    admin.call("DELETE", callback_path(mine))

    assert get(me, f"/v1/me/deliveries/{delivery}")["callback"] is None


def test_events_are_pulled_as_webhooks_carry_them(house: House, me: Caller) -> None:
    """Exactly the body, so that one program reads both;
    whether or not there was a callback for it.
    """
    one = a_claim("evt_1")
    with house.database.write() as connection:
        claims.claim(connection, [one], now_ms())

    answer = me.call("GET", "/v1/me/events")

    assert answer.data.startswith(b'{"data":[' + one.body + b'],"next_cursor":"')
    assert (answer.json or {})["has_more"] is False


def test_pulling_goes_on_with_the_cursor_for_ever(house: House, me: Caller) -> None:
    """It is never null, and what comes later comes then."""
    cursor, seen = get(me, "/v1/me/events", limit=10)["next_cursor"], []
    for number in range(25):
        with house.database.write() as connection:
            claims.claim(connection, [a_claim(f"evt_{number}")], now_ms())
        if number % 7 == 0:
            page = get(me, "/v1/me/events", limit=10, cursor=cursor)
            cursor, seen = page["next_cursor"], seen + page["data"]
    while (page := get(me, "/v1/me/events", limit=10, cursor=cursor))["data"]:
        cursor, seen = page["next_cursor"], seen + page["data"]

    assert [one["id"] for one in seen] == [f"evt_{number}" for number in range(25)]
    assert page["next_cursor"] == cursor


def test_a_token_pulls_events_of_its_channels_alone(
    house: House, admin: Caller, me: Caller
) -> None:
    """Visibility, and from the next request on when it is changed."""
    narrow = a_token(admin, "narrow", "conversations:read", channels=["elsewhere"])
    caller = Caller(house, narrow["token"])
    with house.database.write() as connection:
        claims.claim(connection, [a_claim("evt_1")], now_ms())

    assert len(get(me, "/v1/me/events")["data"]) == 1
    assert get(caller, "/v1/me/events")["data"] == []

    admin.call("PATCH", f"/v1/tokens/{narrow['id']}", {"visibility": {"channels": ["chn_1"]}})
    house.directory.refresh()
    assert len(get(caller, "/v1/me/events")["data"]) == 1


@pytest.mark.parametrize(
    "query", ["limit=9", "cursor=nonsense", "since=now", "type=nope", "token=x"]
)
def test_a_pull_that_breaks_the_rules_is_refused(me: Caller, query: str) -> None:
    """A mistyped filter must not answer with everything."""
    assert me.call("GET", f"/v1/me/events?{query}").status_code == 422


def test_stats_count_by_type_and_state(
    house: House, admin: Caller, me: Caller, mine: dict[str, Any], theirs: dict[str, Any]
) -> None:
    """Its own, of the last day. What is held is counted apart from what is pending."""
    now = now_ms()
    for number, state in enumerate(("delivered", "delivered", "delivered", "exhausted", "pending")):
        deliver(
            house,
            mine,
            f"evt_{number}",
            state=state,
            created_at=now - 1000,
            due_at=9 if state == "pending" else None,
        )
    deliver(house, mine, "evt_old", state="delivered", created_at=now - 25 * 3_600_000)
    deliver(house, theirs, "evt_other", state="delivered", created_at=now - 1000)

    stats = get(me, "/v1/me/stats")

    assert (stats["total"], stats["success_share"], stats["complete"]) == (5, 0.75, True)
    assert stats["deliveries"]["message.received"] == {
        "pending": 1,
        "delivered": 3,
        "exhausted": 1,
        "superseded": 0,
        "cancelled": 0,
        "held": 0,
    }
    assert set(stats["deliveries"]["message.status"].values()) == {0}

    admin.call("PUT", callback_path(mine), {"url": URL, "enabled": False})
    held = get(me, "/v1/me/stats")["deliveries"]["message.received"]
    assert (held["pending"], held["held"], held["delivered"]) == (0, 1, 3)
    assert get(me, "/v1/me/stats", since=to_rfc3339(UnixMs(now - 26 * 3_600_000)))["total"] == 6


def test_a_token_without_deliveries_has_no_share(me: Caller) -> None:
    """Nothing of nothing is not all, nor none."""
    stats = get(me, "/v1/me/stats", since="2026-01-01T00:00:00Z", until="2026-01-02T00:00:00Z")

    assert (stats["total"], stats["success_share"]) == (0, None)
    assert (stats["since"], stats["until"]) == (
        "2026-01-01T00:00:00.000Z",
        "2026-01-02T00:00:00.000Z",
    )


@pytest.mark.parametrize(
    "query",
    ["since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", "until=yesterday", "limit=10"],
)
def test_a_period_that_is_none_is_refused(me: Caller, query: str) -> None:
    """Zero would look like an answer."""
    assert me.call("GET", f"/v1/me/stats?{query}").status_code == 422


def test_very_many_are_counted_a_part_at_a_time(
    house: House, me: Caller, mine: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest first, each once, and the answer says how far back it went:
    ask again from there.
    """
    monkeypatch.setattr(by_period, "SLICE", 3)
    monkeypatch.setattr(by_period, "COUNT_MOST", 6)
    for number in range(20):
        deliver(house, mine, f"evt_{number}", state="delivered", created_at=1_000 + number // 2)

    until, totals, complete = to_rfc3339(UnixMs(2_000)), [], False
    while not complete:
        stats = get(me, "/v1/me/stats", since="1970-01-01T00:00:00Z", until=until)
        until, complete = stats["since"], stats["complete"]
        totals.append(stats["total"])

    assert sum(totals) == 20
    assert max(totals) < 10
    assert until == "1970-01-01T00:00:00.000Z"


def test_the_document_says_what_each_permission_is_called(house: House) -> None:
    """Administrators know the labels, programs the scopes."""
    document = Caller(house, None).call("GET", "/docs/openapi.json").json or {}

    description = document["components"]["schemas"]["Permission"]["description"]
    for permission in Permission:
        assert f"`{permission.value}`: {permission.label}" in description


def test_tests_are_marked_and_counted_nowhere(
    house: House, admin: Caller, me: Caller, mine: dict[str, Any]
) -> None:
    """A callback that is only tried out has no traffic: a share of success would be that of the
    tests.
    """
    sample, alike = new_test_event_id(), "evt_test_of_mine"
    for event_id, state in ((sample, "exhausted"), (alike, "delivered"), ("evt_1", "delivered")):
        deliver(house, mine, event_id, state=state, due_at=None, created_at=now_ms() - 5)

    listed = (me.call("GET", "/v1/me/deliveries").json or {})["data"]
    of_all = (admin.call("GET", "/v1/deliveries").json or {})["data"]
    assert [{one["event_id"]: one["test"] for one in rows} for rows in (listed, of_all)] == [
        {sample: True, alike: False, "evt_1": False}
    ] * 2

    stats = me.call("GET", "/v1/me/stats").json or {}
    assert (
        stats["total"],
        stats["success_share"],
        stats["deliveries"]["message.received"]["exhausted"],
    ) == (2, 1.0, 0)

    rows = list(csv.DictReader(io.StringIO(me.call("GET", "/v1/me/deliveries.csv").text)))
    assert {row["Event ID"]: row["Test"] for row in rows} == {
        sample: "yes",
        alike: "no",
        "evt_1": "no",
    }
    page = openpyxl.load_workbook(io.BytesIO(admin.call("GET", "/v1/tokens.xlsx").data))["Details"]
    header, *tokens = page.iter_rows(values_only=True)
    details = next(dict(zip(header, row, strict=True)) for row in tokens if row[1] == "mine")
    assert (details["Deliveries exhausted"], details["Deliveries delivered"]) == (0, 2)
