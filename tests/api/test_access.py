"""Who may call what, and what every request gets: ids, problems, a place in the metrics."""

from dataclasses import replace

import pytest

from api.application import ROUTES
from api.routes import Route
from schemas.log_events import LogEvent
from schemas.times import UnixMs, now_ms
from schemas.tokens.permissions import Permission
from schemas.tokens.secrets import new_token
from tests.kit.api import Caller, House
from tests.kit.tokens import TESTER, token_fields

CLOSED = [route for route in ROUTES if not route.is_open]
RESTRICTED = [route for route in CLOSED if route.needs]


def address(route: Route) -> str:
    return route.rule.replace("<id>", "tok_1").replace("<type>", "message.received")


@pytest.mark.parametrize("route", CLOSED, ids=lambda route: f"{route.method} {route.rule}")
def test_nothing_is_answered_without_a_token(house: House, route: Route) -> None:
    """Every route that is not open, each by itself: a new one cannot be forgotten."""
    answer = Caller(house, None).call(route.method, address(route))

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.content_type == "application/problem+json"


@pytest.mark.parametrize("route", RESTRICTED, ids=lambda route: f"{route.method} {route.rule}")
def test_every_permission_but_the_one_is_not_enough(house: House, route: Route) -> None:
    """The answer names the one that is missing."""
    assert route.needs
    caller = house.caller(*(set(Permission) - {route.needs}))

    answer = caller.call(route.method, address(route))

    assert answer.status_code == 403
    assert answer.json
    assert route.needs in answer.json["detail"]


@pytest.mark.parametrize("route", CLOSED, ids=lambda route: f"{route.method} {route.rule}")
def test_a_single_permission_opens_what_needs_it_and_nothing_else(
    house: House, route: Route
) -> None:
    """Every route with every permission by itself, and with none: no permission stands in for
    another.
    """
    answers = {
        held: house.caller(*held).call(route.method, address(route))
        for held in ((), *((one,) for one in Permission))
    }

    refused = {held: answer for held, answer in answers.items() if answer.status_code == 403}
    assert set(refused) == {held for held in answers if route.needs and route.needs not in held}
    assert all(f"{route.needs} " in (answer.json or {})["detail"] for answer in refused.values())
    assert 401 not in {answer.status_code for answer in answers.values()}


@pytest.mark.parametrize("route", CLOSED, ids=lambda route: f"{route.method} {route.rule}")
def test_a_suspended_token_opens_nothing(house: House, route: Route) -> None:
    """Whatever it may do: not even what needs no permission."""
    suspended = replace(token_fields("caller", *Permission), enabled=False)
    secret = house.parts.tokens.create(suspended, {}, UnixMs(1), TESTER).secret

    answer = Caller(house, secret).call(route.method, address(route))

    assert (answer.status_code, house.observer.refused) == (401, ["suspended"])


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("", "absent"),
        ("Basic YTpi", "absent"),
        ("Bearer", "absent"),
        ("Bearer ", "absent"),
        ("Bearer rbk_" + "A" * 36, "unknown"),
        ("Bearer rbk_0123456789ABCDEFGHIJabcdefghij0BQj2z", "unknown"),
        ("Bearer b\xffd", "unknown"),
    ],
)
def test_what_is_no_token_of_ours_is_refused(house: House, header: str, reason: str) -> None:
    """Counted by reason, without the token."""
    answer = Caller(house, None).call("GET", "/v1/me", headers={"Authorization": header})

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert house.observer.refused == [reason]


@pytest.mark.parametrize("door", ["front", "wsgi"])
@pytest.mark.parametrize("path", ["//healthz", "/v1//tokens", "//v1/tokens", "/v1/events//"])
def test_a_doubled_slash_is_another_address(admin: Caller, path: str) -> None:
    """A proxy may protect `/v1/tokens` alone. Nothing is redirected either."""
    answer = admin.call("GET", "/", environ_overrides={"PATH_INFO": path})

    assert (answer.status_code, answer.content_type) == (404, "application/problem+json")


def test_the_scheme_is_read_whatever_its_case(house: House) -> None:
    """RFC 9110, section 11.1."""
    secret = house.secret()

    assert (
        Caller(house, None)
        .call("GET", "/v1/me", headers={"Authorization": f"bEaReR  {secret}"})
        .status_code
        == 200
    )


@pytest.mark.parametrize("state", ["scheduled", "suspended", "expired", "revoked"])
def test_a_token_that_is_not_active_is_refused(house: House, state: str) -> None:
    """Each for its own reason."""
    now = now_ms()
    fields = token_fields("caller")
    made = {
        "scheduled": replace(fields, activates_at=UnixMs(now + 60_000)),
        "suspended": replace(fields, enabled=False),
        "expired": replace(fields, expires_at=now),
        "revoked": fields,
    }[state]
    created = house.parts.tokens.create(made, {}, now, TESTER)
    if state == "revoked":
        house.parts.tokens.revoke(created.token.id, now, TESTER)
        house.directory.refresh()

    answer = Caller(house, created.secret).call("GET", "/v1/me")

    assert answer.status_code == 401
    assert house.observer.refused == [state]


def test_a_token_that_cannot_be_looked_up_is_not_refused_but_asked_to_wait(house: House) -> None:
    """401 would make a client throw its good token away."""
    known = house.caller()
    assert known.call("GET", "/v1/me").status_code == 200
    with house.database.write() as connection:
        connection.exec_driver_sql("DROP TABLE directory_version")

    answer = Caller(house, new_token()).call("GET", "/v1/me")

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert known.call("GET", "/v1/me").status_code == 200, "what is known is still known"


def test_a_request_id_is_taken_over_when_it_is_well_formed(house: House) -> None:
    """One id should go through all systems; what could break a log is replaced."""
    caller = Caller(house, None)

    assert (
        caller.call("GET", "/healthz", headers={"X-Request-Id": "abc-1.2_3"}).headers[
            "X-Request-Id"
        ]
        == "abc-1.2_3"
    )
    for bad in ("", "a b", "x" * 129, "ü"):
        assert (
            caller.call("GET", "/healthz", headers={"X-Request-Id": bad})
            .headers["X-Request-Id"]
            .startswith("req_")
        )


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nope", 404), ("DELETE", "/v1/events", 405), ("GET", "/v1/tokens/", 404)],
)
def test_what_the_router_refuses_is_a_problem_too(
    house: House, method: str, path: str, status: int
) -> None:
    """Everything is RFC 9457, and carries a request id."""
    answer = Caller(house, None).call(method, path)

    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")
    assert answer.headers["X-Request-Id"]
    if status == 405:
        assert {"GET", "POST"} <= set(answer.headers["Allow"].split(", "))


def test_an_internal_error_is_a_problem_and_is_noted(house: House) -> None:
    """The answer says nothing of the inside; the log has it under the request's id."""
    del house.metrics

    answer = Caller(house, None).call("GET", "/metrics", headers={"X-Request-Id": "find-me"})

    assert (answer.status_code, answer.content_type) == (500, "application/problem+json")
    assert "House" not in answer.text
    ((what, fields),) = house.observer.notes
    assert (what, fields["request_id"]) == (LogEvent.REQUEST_FAILED, "find-me")
    assert "AttributeError" in str(fields["trace"])


def test_requests_are_counted_by_rule_and_not_by_address(house: House, admin: Caller) -> None:
    """Closed label sets: neither ids nor made-up methods and paths may grow them."""
    admin.call("GET", "/v1/tokens/tok_1")
    admin.call("GET", "/made/up")
    admin.call("PROPFIND", "/healthz")

    assert house.observer.requests == [
        ("/v1/tokens/<id>", "GET", 404),
        ("unmatched", "GET", 404),
        ("unmatched", "other", 405),
    ]


def test_a_use_is_remembered(house: House) -> None:
    """`last_used_at` shows an administrator which tokens are not needed any more."""
    caller = house.caller(Permission.PLATFORM_ADMIN)
    assert caller.call("GET", "/v1/me").status_code == 200

    house.directory.usage.flush()

    (token,) = (caller.call("GET", "/v1/tokens").json or {})["data"]
    assert token["last_used_at"]
