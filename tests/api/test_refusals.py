"""Who is refused again and again: few rows of the request log, and no more answers than the limit
lets through.
"""

from collections.abc import Callable

import pytest

from schemas.times import UnixMs, now_ms
from store.request_log.refusals import WINDOW_ROWS
from store.tokens.tokens import NewSecrets
from tests.kit.api import Caller, House
from tests.kit.checks import authorize, introspect
from tests.kit.request_log import Log
from tests.kit.tokens import TESTER

CALLS = 40


@pytest.fixture(autouse=True)
def _one_moment(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine: all calls of a test come in one second."""
    now = UnixMs(now_ms() + 10_000)
    monkeypatch.setattr(house.directory, "now", lambda: now)


@pytest.fixture
def revoked(house: House, made: NewSecrets, supplier: Caller) -> Caller:
    supplier.house.directory.refresh()
    house.parts.tokens.revoke(made.token.id, now_ms(), TESTER)
    house.directory.refresh()
    return supplier


Call = Callable[[House, Caller, Caller], int]

INACTIVE: dict[str, Call] = {
    "a call": lambda _, supplier, __: supplier.call("GET", "/v1/me").status_code,
    "a mistyped address": lambda _, supplier, __: supplier.call("GET", "/v1/mee").status_code,
    "a gateway's check": lambda house, supplier, _: (
        authorize(house, supplier.secret, "none").status_code
    ),
    "introspection": lambda _, supplier, platform: (
        introspect(platform, str(supplier.secret)).status_code
    ),
}


@pytest.mark.parametrize("kind", INACTIVE)
def test_a_flood_of_calls_with_a_revoked_token_is_one_row_a_second(
    house: House, revoked: Caller, platform: Caller, log: Log, kind: str
) -> None:
    """By a job that no one stops: whichever way they come, the row says how many they were."""
    for _ in range(CALLS):
        INACTIVE[kind](house, revoked, platform)

    assert [(row["count"], row["reason"]) for row in log.rows()] == [(CALLS, "revoked")]


ACTIVE: dict[str, Call] = {
    "mistyped addresses": lambda _, supplier, __: supplier.call("GET", "/v1/mee").status_code,
    "mistyped methods": lambda _, supplier, __: supplier.call("DELETE", "/v1/me").status_code,
    "a permission that is missing": lambda _, supplier, __: (
        supplier.call("GET", "/v1/tokens").status_code
    ),
    "queries that break the rules": lambda _, supplier, __: (
        supplier.call("GET", "/v1/me/deliveries?limit=1").status_code
    ),
    "what is not there": lambda _, supplier, __: (
        supplier.call("GET", "/v1/me/deliveries/dlv_1").status_code
    ),
    "gateways' checks": lambda house, supplier, _: (
        authorize(house, supplier.secret, "messages:send").status_code
    ),
}


@pytest.mark.parametrize("kind", ACTIVE)
def test_a_flood_of_refused_calls_with_an_active_token_is_bounded_too(
    house: House, supplier: Caller, platform: Caller, log: Log, kind: str
) -> None:
    """Some are rows of their own: a developer who tries things out finds each mistake."""
    house.directory.refresh()

    statuses = {ACTIVE[kind](house, supplier, platform) for _ in range(CALLS)}

    assert all(400 <= status < 500 for status in statuses)
    assert sorted(row["count"] for row in log.rows()) == [1] * (WINDOW_ROWS - 1) + [
        CALLS - WINDOW_ROWS + 1
    ]


def test_reports_of_refused_requests_share_rows(
    made: NewSecrets, platform: Caller, log: Log
) -> None:
    """The chat platform reports what strangers send it."""
    whole = {
        "token": made.token.id,
        "method": "GET",
        "path": "/conversations",
        "status": 401,
        "reason": "revoked",
    }
    fine = {"token": made.token.id, "method": "GET", "path": "/conversations", "status": 404}

    platform.call("POST", "/v1/requests", {"requests": [whole] * CALLS + [fine] * 12})

    counts = sorted((row["status"], row["count"]) for row in log.rows(limit=100))
    assert counts == [(401, CALLS)] + [(404, 1)] * 12


def test_what_succeeds_is_never_counted_together(supplier: Caller, log: Log) -> None:
    """Each is a row, as ever."""
    for _ in range(CALLS):
        supplier.call("GET", "/v1/me")

    assert [row["count"] for row in log.rows(limit=100)] == [1] * CALLS


def test_a_status_reported_of_a_counted_check_completes_the_row_on_which_it_counts(
    house: House, supplier: Caller, platform: Caller, log: Log
) -> None:
    """Otherwise each report would leave a row that no one sees."""
    answers = [
        introspect(platform, str(supplier.secret), permission="messages:send").json or {}
        for _ in range(CALLS)
    ]

    reports = [{"request_id": one["request_id"], "status": 403} for one in answers]
    assert platform.call("POST", "/v1/requests", {"requests": reports}).status_code == 202

    rows = log.rows(limit=100)
    assert {one["request_id"] for one in answers} == {row["id"] for row in rows}
    assert {row["status"] for row in rows} == {403}
    assert sum(row["count"] for row in rows) == CALLS


def test_the_limit_holds_whatever_the_state_of_the_token(
    house: House, revoked: Caller, log: Log
) -> None:
    """Otherwise a revoked token may ask more than a good one."""
    house.use(rate_limit=0.1)

    statuses = [revoked.call("GET", "/v1/me").status_code for _ in range(CALLS)]

    assert statuses == [401] + [429] * (CALLS - 1)
    assert [row["count"] for row in log.rows()] == [CALLS]


def test_the_count_is_in_the_file(revoked: Caller, admin: Caller, log: Log) -> None:
    """A sum over a download must not miss most of it."""
    for _ in range(3):
        revoked.call("GET", "/v1/me")
    log.rows()

    header, row = admin.call("GET", f"{log.address}.csv").text.splitlines()

    assert (header.rpartition(",")[2], row.rpartition(",")[2]) == ("Count", "3")
