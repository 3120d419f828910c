"""Slips that could show or send more than was meant: what is empty, comes twice, or stands where
nothing is read.

Every route is tried, by the document's own list of them: one that is added is covered.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from api.application import ROUTES, openapi_document
from schemas.times import EXAMPLE
from schemas.tokens.permissions import Permission
from store.tables import recoveries, tokens
from tests.kit.api import URL, Caller, House, deliver
from tests.kit.holders import a_token

DOCUMENT = openapi_document("9.9.9", "https://ringback.example")
SCHEMAS = DOCUMENT["components"]["schemas"]
SINCE = "1970-01-01T00:00:00.000Z"


class Asked(NamedTuple):
    """A field or parameter of a route."""

    method: str
    path: str
    name: str


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield (
                method.upper(),
                path.replace("{id}", "tok_1").replace("{type}", "message.received"),
                operation,
            )


def parameters() -> list[Asked]:
    return [
        Asked(method, path, parameter["name"])
        for method, path, operation in operations()
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "query"
    ]


def bodies() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The bodies that administrators send."""
    administrative = {route.name for route in ROUTES if route.needs is Permission.PLATFORM_ADMIN}
    for method, path, operation in operations():
        if operation["operationId"] in administrative and "requestBody" in operation:
            yield (
                method,
                path,
                SCHEMAS[
                    operation["requestBody"]["content"]["application/json"]["schema"][
                        "$ref"
                    ].rpartition("/")[2]
                ],
            )


def fields_of_text() -> list[Asked]:
    return [
        Asked(method, path, name)
        for method, path, schema in bodies()
        for name, field in schema["properties"].items()
        if any(takes_text(option) for option in (field, *field.get("anyOf", ())))
    ]


def takes_text(schema: dict[str, Any]) -> bool:
    target = SCHEMAS[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return target.get("type") == "string"


def without_parameters() -> list[tuple[str, str]]:
    """Routes of callers with a token that take none; but for events, and for checks, whose address
    a gateway may have put together.
    """
    free = {route.name for route in ROUTES if route.is_open or route.authenticates or route.takes}
    return [
        (method, path)
        for method, path, operation in operations()
        if operation["operationId"] not in free
        and not any(one["in"] == "query" for one in operation.get("parameters", ()))
    ]


@pytest.fixture
def anybody(house: House) -> Caller:
    """May do everything."""
    return house.caller(*Permission)


@pytest.mark.parametrize("asked", parameters(), ids=" ".join)
def test_a_parameter_that_is_empty_or_comes_twice_is_refused(anybody: Caller, asked: Asked) -> None:
    """`?token=$TOKEN` with a variable that is not set would answer with those of all tokens, and of
    two filters one would not be heard.
    """
    for query in (f"{asked.name}=", asked.name, f"{asked.name}=10&{asked.name}=10"):
        answer = anybody.call(asked.method, f"{asked.path}?{query}")

        assert answer.status_code == 422, query
        assert f"/{asked.name}" in pointers(answer.json)


@pytest.mark.parametrize(("method", "path"), without_parameters(), ids=" ".join)
def test_a_parameter_where_none_is_taken_is_refused(
    anybody: Caller, method: str, path: str
) -> None:
    """A caller that adds `?dry_run=true` or `?state=active` there must not get the whole of it
    done.
    """
    answer = anybody.call(
        method, f"{path}?dry_run=true", json={"since": SINCE} if path == "/v1/recoveries" else None
    )

    assert answer.status_code in {415, 422}, answer.json


@pytest.mark.parametrize("asked", fields_of_text(), ids=" ".join)
def test_a_field_that_is_empty_is_refused(anybody: Caller, asked: Asked) -> None:
    """It is a variable that was not set. What it leaves out may be asked for by leaving it out."""
    needed = {"name": "ACME CRM", "since": SINCE, "url": URL}
    named = next(
        schema["properties"] for method, path, schema in bodies() if (method, path) == asked[:2]
    )
    body = {name: value for name, value in needed.items() if name in named} | {asked.name: ""}

    answer = anybody.call(asked.method, asked.path, body)

    assert answer.status_code in {404, 422}, answer.json
    if answer.status_code == 422:
        assert f"/{asked.name}" in pointers(answer.json)


def without_fields() -> list[tuple[str, str]]:
    """Routes with a method that takes a body, whose body has nothing in it that is taken."""
    return [
        (method, path)
        for method, path, operation in operations()
        if method in {"POST", "PUT", "PATCH"}
        and not any(
            "$ref" not in schema
            or SCHEMAS[schema["$ref"].rpartition("/")[2]].get("properties", True)
            for schema in sent(operation)
        )
    ]


def sent(operation: dict[str, Any]) -> list[dict[str, Any]]:
    return [one["schema"] for one in operation.get("requestBody", {}).get("content", {}).values()]


@pytest.mark.parametrize(("method", "path"), without_fields(), ids=" ".join)
@pytest.mark.parametrize(
    ("body", "status"),
    [(b'{"url":"x"}', 422), (b'{"data":{}}', 422), (b"garbage", 400), (b"[]", 422)],
)
def test_a_body_where_none_is_taken_is_refused(
    anybody: Caller, method: str, path: str, body: bytes, status: int
) -> None:
    """A caller that sends one means something by it, and would take the answer for an answer to
    that.
    """
    assert (
        anybody.call(method, path, data=body, content_type="application/json").status_code == status
    )
    for nothing in (b"", b"{}"):
        assert (
            anybody.call(method, path, data=nothing, content_type="application/json").status_code
            == 404
        )


def test_all_of_these_are_found() -> None:
    """A change of the document's form must not leave the tests above without cases."""
    assert Asked("GET", "/v1/deliveries", "state") in parameters()
    assert Asked("GET", "/v1/me/deliveries.csv", "error") in parameters()
    assert {
        Asked("POST", "/v1/recoveries", name) for name in ("token", "type", "since", "until")
    } <= set(fields_of_text())
    assert ("GET", "/v1/tokens.xlsx") in without_parameters()
    assert without_fields() == [("POST", "/v1/deliveries/tok_1/retry")]


@pytest.mark.parametrize(
    "body",
    [
        {"token": ""},
        {"states": []},
        {"states": [""]},
        {"type": ""},
        {"until": ""},
        {"tokens": "tok_1"},
    ],
)
def test_a_slip_recovers_nothing(
    admin: Caller, house: House, token: dict[str, Any], body: dict[str, object]
) -> None:
    """What is sent again cannot be called back."""
    deliver(house, token, state="exhausted", due_at=None)

    answer = admin.call("POST", "/v1/recoveries", {"since": SINCE} | body)

    assert answer.status_code == 422
    assert rows(house, recoveries) == 0


@pytest.mark.parametrize(
    "visibility", [{}, {"channels": ""}, {"channel": ["chn_1"]}, [], "", {"channels": [""]}]
)
def test_a_slip_does_not_widen_what_a_token_sees(
    admin: Caller, house: House, visibility: object
) -> None:
    """Only `null`, written out, is all channels: for who makes a token, and for who changes one
    that sees little.
    """
    token = a_token(admin, "CRM", channels=["chn_1"])
    before = rows(house, tokens)

    changed = admin.call("PATCH", f"/v1/tokens/{token['id']}", {"visibility": visibility})
    made = admin.call("POST", "/v1/tokens", {"name": "other", "visibility": visibility})

    assert (changed.status_code, made.status_code) == (422, 422)
    assert all(
        pointer.startswith("/visibility")
        for pointer in [*pointers(changed.json), *pointers(made.json)]
    )
    assert (admin.call("GET", f"/v1/tokens/{token['id']}").json or {})["visibility"] == {
        "channels": ["chn_1"]
    }
    assert rows(house, tokens) == before


def test_null_that_is_written_out_widens(admin: Caller) -> None:
    """Null is all channels, and leaving it out changes nothing."""
    token = a_token(admin, "CRM", channels=["chn_1"])
    path = f"/v1/tokens/{token['id']}"

    assert (admin.call("PATCH", path, {"visibility": None}).json or {})["visibility"] == {
        "channels": ["chn_1"]
    }
    assert (admin.call("PATCH", path, {"visibility": {"channels": None}}).json or {})[
        "visibility"
    ] == {"channels": None}


def test_a_check_whose_permission_got_lost_is_refused(platform: Caller, supplier: Caller) -> None:
    """`allowed` would be true: without a permission that was asked about, everything is. Other
    empty fields are none.
    """
    answer = platform.call(
        "POST", "/v1/introspect", data={"token": supplier.secret, "permission": ""}
    )
    fine = platform.call(
        "POST", "/v1/introspect", data={"token": supplier.secret, "method": "", "status": ""}
    )

    assert (answer.status_code, pointers(answer.json)) == (422, ["/permission"])
    assert (fine.json or {})["active"] is True


@pytest.mark.parametrize(
    "path",
    ["/v1/deliveries", "/v1/events", "/v1/me/stats", "/v1/me/events", "/v1/tokens/tok_1/requests"],
)
def test_a_plus_that_was_not_encoded_is_read(anybody: Caller, path: str) -> None:
    """In a query it is a blank; there it can be nothing else."""
    statuses = {
        anybody.call("GET", f"{path}?since=2026-11-22T10:00:00{zone}").status_code
        for zone in ("+01:00", "%2B01:00", ".5+01:00")
    }

    assert statuses <= {200, 404}


PERIODS = sorted({(asked.method, asked.path) for asked in parameters() if asked.name == "since"})


@pytest.mark.parametrize(("method", "path"), PERIODS, ids=" ".join)
def test_a_period_that_ends_before_it_begins_is_refused(
    anybody: Caller, method: str, path: str
) -> None:
    """An empty list would say that there is nothing. The two may be the same."""
    wrong = anybody.call(
        method, f"{path}?since=2026-11-22T10:00:00.001Z&until=2026-11-22T11:00:00%2B01:00"
    )
    right = anybody.call(method, f"{path}?since=2026-11-22T10:00:00Z&until=2026-11-22T10:00:00Z")

    assert wrong.status_code == 422
    assert set(pointers(wrong.json)) <= {"/since", "/until"}
    assert right.status_code in {200, 404}, right.json


@pytest.mark.parametrize(
    "text", ["2_0", "20.0", "%2020", "%2B20", "٢٠", "2e1", "0x14", "twenty", "9" * 5000]
)
@pytest.mark.parametrize("name", ["limit", "status_code"])
def test_a_number_that_no_other_program_reads_is_refused(
    anybody: Caller, name: str, text: str
) -> None:
    """Python's spellings are Python's own."""
    answer = anybody.call("GET", f"/v1/deliveries?{name}={text}")

    assert (answer.status_code, pointers(answer.json)) == (422, [f"/{name}"])


@pytest.mark.parametrize("zone", ["+01", "%2B01", "%2B0100", "+Z", "%20Z", ",5Z"])
def test_a_time_that_is_none_of_rfc3339_is_refused_however_it_is_encoded(
    anybody: Caller, zone: str
) -> None:
    """Elsewhere it means something else, or nothing."""
    assert anybody.call("GET", f"/v1/deliveries?since=2026-11-22T10:00:00{zone}").status_code == 422


@pytest.mark.parametrize(
    "text",
    [
        "yesterday",
        "2026-11-22",
        "2026-11-22+10:00",
        "2026-11-22T10:00:00",
        "1700000000",
        "2026-11-22T25:00:00Z",
    ],
)
def test_a_time_that_cannot_be_read_is_refused_with_an_example(anybody: Caller, text: str) -> None:
    """Alike in a query and in a body."""
    query = anybody.call("GET", f"/v1/deliveries?since={text}").json or {}
    body = anybody.call("POST", "/v1/recoveries", {"since": text}).json or {}

    for answer in (query, body):
        assert (answer["status"], answer["errors"][0]["pointer"]) == (422, "/since")
        assert EXAMPLE in answer["errors"][0]["detail"]


def pointers(problem: Any) -> list[str]:
    return [fault["pointer"] for fault in problem["errors"]]


def rows(house: House, table: Any) -> int:
    with house.database.read() as connection:
        return len(connection.execute(table.select()).all())
