"""The request log: which requests are in it and what of them, as lists and files."""

import csv
import io
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import quote

import msgspec
import openpyxl
import pytest
import sqlalchemy as sa

from api.application import create_app
from schemas.request_log import MAX_METHOD, MAX_PATH, MAX_USER_AGENT
from schemas.times import UnixMs, from_rfc3339, now_ms, to_rfc3339
from schemas.tokens.permissions import Permission
from schemas.tokens.secrets import new_token
from store.directory.directory import Directory
from store.tables import requests
from store.tokens.tokens import NewSecrets
from tests.kit.api import Caller, House
from tests.kit.request_log import Log, make
from tests.kit.requests import a_request
from tests.kit.tokens import TESTER, token_fields
from web.exports import streaming

FORMULA = '=HYPERLINK("http://x")'


def test_a_request_is_logged_with_what_was_asked_and_answered(log: Log, supplier: Caller) -> None:
    """Its query is left out, as it may hold secrets."""
    before = now_ms()

    supplier.call(
        "GET",
        "/v1/me/deliveries?type=message.status",
        headers={"User-Agent": "acme/1.0", "X-Request-Id": "theirs-1"},
    )

    row = log.row()
    assert before <= from_rfc3339(row.pop("at")) <= now_ms()
    assert row.pop("id").startswith("req_")
    assert 0 <= row.pop("duration_ms") < 60_000
    assert row == {
        "request_id": "theirs-1",
        "method": "GET",
        "path": "/v1/me/deliveries",
        "status": 200,
        "ip": "127.0.0.1",
        "user_agent": "acme/1.0",
        "permission": None,
        "allowed": True,
        "reason": None,
        "count": 1,
    }


def test_nothing_secret_is_in_it(house: House, made: NewSecrets, supplier: Caller) -> None:
    """Neither the token nor a body, whatever was asked."""
    supplier.call(
        "POST",
        "/v1/events",
        {"type": "a-body"},
        headers={"X-Other": "a-header"},
        query_string={"a": "a-query"},
    )
    house.request_log.flush()

    with house.database.read() as connection:
        row = str(
            connection.execute(
                sa.select(requests).where(requests.c.token_id == made.token.id)
            ).one()
        )

    assert "/v1/events" in row
    assert not [
        word for word in ("a-body", "a-header", "a-query", made.secret, "Bearer") if word in row
    ]


def test_a_missing_permission_is_logged_with_its_name(log: Log, supplier: Caller) -> None:
    """Which one to grant is the first question of who reads the log."""
    supplier.call("GET", "/v1/events")

    row = log.row()
    assert (row["status"], row["permission"], row["allowed"], row["reason"]) == (
        403,
        "platform:admin",
        False,
        "permission-missing",
    )


@pytest.mark.parametrize("state", ["scheduled", "suspended", "expired", "revoked"])
@pytest.mark.parametrize("known_before", [True, False])
def test_a_call_with_a_token_that_is_not_active_counts_for_it(
    house: House, admin: Caller, state: str, known_before: bool
) -> None:
    """Why it fails is what its supplier will ask. Also when it was revoked before this process
    started.
    """
    fields, now = token_fields("supplier"), now_ms()
    changed = {
        "scheduled": replace(fields, activates_at=UnixMs(now + 60_000)),
        "suspended": replace(fields, enabled=False),
        "expired": replace(fields, expires_at=now),
    }
    made = make(house, fields=changed.get(state, fields))
    if known_before:
        house.directory.refresh()
    if state == "revoked":
        house.parts.tokens.revoke(made.token.id, now, TESTER)
        house.directory.refresh()

    answer = Caller(house, made.secret).call("GET", "/v1/me")

    row = Log(house, admin, f"/v1/tokens/{made.token.id}/requests").row()
    assert (answer.status_code, row["status"], row["allowed"], row["reason"]) == (
        401,
        401,
        False,
        state,
    )


def test_a_revoked_token_is_asked_for_once(house: House, made: NewSecrets) -> None:
    """A supplier that was not informed goes on calling: that must not cost queries."""
    house.parts.tokens.revoke(made.token.id, now_ms(), TESTER)
    directory = Directory(house.database, house.vault, house.observer)
    first = directory.holder(made.secret, now_ms())
    with house.database.write() as connection:
        connection.exec_driver_sql("DROP TABLE directory_version")

    again = directory.holder(made.secret, now_ms())

    assert first
    assert again is first
    directory.close()


def test_a_request_without_a_token_is_not_logged(house: House, supplier: Caller) -> None:
    """Strangers are counted in the metrics; pages and probes would drown the rest."""
    supplier.call("GET", "/healthz")
    supplier.call("GET", "/docs/openapi.json")
    supplier.call("GET", "/nope")
    for stranger in (None, new_token(), "rbk_wrong", "b\xffd"):
        Caller(house, stranger).call("GET", "/v1/me")
        Caller(house, stranger).call("GET", "/v1/nope")
    house.request_log.flush()

    with house.database.read() as connection:
        assert connection.execute(sa.select(requests)).all() == []


def test_a_mistyped_address_or_method_is_logged(log: Log, supplier: Caller) -> None:
    """A supplier's typing error is found here, although nothing of ours took the call."""
    supplier.call("GET", "/v1/me")
    supplier.call("GET", "/v1/mee")
    supplier.call("DELETE", "/v1/me")

    rows = log.rows()
    assert sorted((row["method"], row["path"], row["status"]) for row in rows) == [
        ("DELETE", "/v1/me", 405),
        ("GET", "/v1/me", 200),
        ("GET", "/v1/mee", 404),
    ]


# A WSGI server may pass on what the parser of ours refuses.
@pytest.mark.parametrize("door", ["wsgi"])
def test_what_a_client_makes_up_is_cut_and_made_harmless(supplier: Caller, log: Log) -> None:
    """Bytes that are no UTF-8, NUL, a line that pretends to be another,
    and too much of everything.
    """
    supplier.call("GET", "/v1/me")
    for path, agent in [
        ("/v1/caf\xc3\xa9\x00\xff\n", "a\x00\xc3\xa9\x1b[2J\xff"),
        ("/v1/" + "x" * 2_000, "y" * 1_000),
    ]:
        environ = {"REQUEST_METHOD": "BREW" * 20, "PATH_INFO": path, "HTTP_USER_AGENT": agent}
        supplier.call("GET", "/", environ_overrides=environ)

    odd, long = sorted(log.rows(status=404), key=lambda row: len(row["path"]))
    assert (odd["path"], odd["user_agent"]) == ("/v1/café\\x00\\xff\\n", "a\\x00é\\x1b[2J\\xff")
    assert (len(long["method"]), len(long["path"]), len(long["user_agent"])) == (
        MAX_METHOD,
        MAX_PATH,
        MAX_USER_AGENT,
    )


def test_the_address_is_that_for_which_a_trusted_proxy_speaks(
    house: House, made: NewSecrets, log: Log
) -> None:
    """What other clients say about it is not believed."""
    forwarded = {"X-Forwarded-For": "203.0.113.9"}
    Caller(house, made.secret).call("GET", "/v1/me", headers=forwarded)
    believing = create_app(replace(house.parts, trusted_proxies=[ip_network("127.0.0.0/8")]))
    believing.test_client().get(
        "/v1/me", headers=forwarded | {"Authorization": f"Bearer {made.secret}"}
    )

    assert sorted(row["ip"] for row in log.rows()) == ["127.0.0.1", "203.0.113.9"]


def test_the_log_is_paged_and_filtered(
    house: House, made: NewSecrets, log: Log, admin: Caller
) -> None:
    """By status, method, path, time and whether it was allowed; newest first."""
    for number in range(12):
        house.request_log.add(
            a_request(
                token_id=made.token.id, at=number * 1_000, status=200 + number, path=f"/v1/{number}"
            )
        )
    house.request_log.add(
        a_request(
            token_id=made.token.id,
            at=20_000,
            method="POST",
            status=403,
            allowed=False,
            reason="permission-missing",
        )
    )
    house.request_log.flush()

    first = admin.call("GET", f"{log.address}?limit=10").json or {}
    second = (
        admin.call(
            "GET", log.address, query_string={"limit": 10, "cursor": first["next_cursor"]}
        ).json
        or {}
    )

    assert [row["status"] for row in first["data"] + second["data"]] == [
        403,
        *reversed(range(200, 212)),
    ]
    assert second["next_cursor"] is None
    assert [row["status"] for row in log.rows(method="post")] == [403]
    assert [row["status"] for row in log.rows(allowed="false")] == [403]
    assert [row["status"] for row in log.rows(status=205)] == [205]
    assert [row["status"] for row in log.rows(path="/v1/1")] == [211, 210, 201]
    assert [
        row["status"]
        for row in log.rows(since=to_rfc3339(UnixMs(2_000)), until=to_rfc3339(UnixMs(4_000)))
    ] == [203, 202]


@pytest.mark.parametrize("file", ["", ".csv", ".xlsx"])
def test_the_log_of_no_token_is_not_found(admin: Caller, file: str) -> None:
    """An empty list would look like a token that is not used."""
    assert admin.call("GET", f"/v1/tokens/tok_missing/requests{file}").status_code == 404


@pytest.mark.parametrize("file", ["", ".csv", ".xlsx"])
@pytest.mark.parametrize(
    "query", ["status=99", "status=600", "since=now", "allowed=perhaps", "path=%00", "state=x"]
)
def test_a_filter_that_breaks_the_rules_is_refused(
    admin: Caller, log: Log, file: str, query: str
) -> None:
    """This holds for files too, before they begin."""
    answer = admin.call("GET", f"{log.address}{file}?{query}")

    assert (answer.status_code, answer.content_type) == (422, "application/problem+json")


@pytest.fixture
def two_requests(house: House, made: NewSecrets) -> None:
    """The newer one was refused. Their client says that it is a formula."""
    for one in (
        a_request(token_id=made.token.id, at=1_000),
        a_request(
            token_id=made.token.id,
            at=2_000,
            status=403,
            permission=Permission.STATS_READ,
            allowed=False,
            reason="permission-missing",
        ),
    ):
        house.request_log.add(
            msgspec.structs.replace(one, user_agent=FORMULA, request_id="theirs-1")
        )
    house.request_log.flush()


@pytest.mark.usefixtures("two_requests")
def test_the_log_is_downloaded_as_csv(admin: Caller, log: Log) -> None:
    """With the same filters; what others wrote is no formula."""
    answer = admin.call("GET", f"{log.address}.csv?allowed=false")

    assert answer.content_type == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"].endswith('.csv"')
    (row,) = csv.DictReader(io.StringIO(answer.text))
    assert row == {
        "Time (UTC)": "1970-01-01T00:00:02.000Z",
        "Method": "GET",
        "Path": "/v1/me",
        "Status": "403",
        "Duration (ms)": "3",
        "Address": "192.0.2.1",
        "User agent": "'" + FORMULA,
        "Permission": "stats:read",
        "Allowed": "no",
        "Reason": "permission-missing",
        "Request ID": "theirs-1",
        "Count": "1",
    }


@pytest.mark.usefixtures("two_requests")
def test_the_log_is_downloaded_as_a_workbook(admin: Caller, log: Log, tmp_path: Path) -> None:
    """Read with another library: times are times, figures figures."""
    file = tmp_path / "log.xlsx"
    file.write_bytes(admin.call("GET", f"{log.address}.xlsx").data)

    header, newest, oldest = openpyxl.load_workbook(file)["Requests"].iter_rows(values_only=True)
    assert header[0] == "Time (UTC)"
    assert [str(newest[0]), *newest[1:5]] == ["1970-01-01 00:00:02", "GET", "/v1/me", 403, 3]
    assert oldest[6] == FORMULA


@pytest.mark.usefixtures("two_requests")
def test_a_workbook_too_large_to_be_waited_for_is_refused(
    admin: Caller, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says what to do instead; half a log would be worse."""
    monkeypatch.setattr(streaming, "MAX_WORKBOOK_ROWS", 1)

    answer = admin.call("GET", f"{log.address}.xlsx")

    assert answer.status_code == 422
    assert "download the CSV" in (answer.json or {})["detail"]
    monkeypatch.setattr(streaming, "MAX_WORKBOOK_ROWS", 2)
    assert admin.call("GET", f"{log.address}.xlsx").status_code == 200


def test_a_path_and_a_user_agent_are_kept_as_they_were_sent(
    house: House, made: NewSecrets, supplier: Caller, log: Log
) -> None:
    """By whichever way they come: as a call, as a gateway's check, as introspection's word."""
    agent, path = "Müller\u3000👩\u200d🔬/1", "/v1/株式会社\u3000山田"
    native = {
        "HTTP_USER_AGENT": agent.encode().decode("latin-1"),
        "PATH_INFO": path.encode().decode("latin-1"),
    }
    supplier.call("GET", "/v1/me")
    supplier.call("GET", "/", environ_overrides=native)
    house.use(trusted_proxies=[ip_network("127.0.0.0/8")])
    gateway = {
        "HTTP_USER_AGENT": native["HTTP_USER_AGENT"],
        "HTTP_X_REQUIRED_PERMISSION": "none",
        "HTTP_X_ORIGINAL_URI": quote(path),
    }
    supplier.call("GET", "/v1/authorize", environ_overrides=gateway)
    supplier.call(
        "GET", "/v1/authorize", environ_overrides=gateway | {"HTTP_X_ORIGINAL_URI": "/%ff\xff"}
    )

    rows = log.rows()
    assert {row["path"] for row in rows} == {"/v1/me", path, "/\\xff\\xff"}
    assert [row["user_agent"] for row in rows if row["path"] != "/v1/me"] == [agent] * 3
