"""Saving a token that someone else may have changed: `ETag`, `If-Match`, and 412 with what stands
there now.
"""

from typing import Any

import pytest

from schemas.tokens.secrets import signing_key
from tests.kit.api import URL, Caller, House, callback_path


def path_of(token: dict[str, Any]) -> str:
    return f"/v1/tokens/{token['id']}"


def etag(admin: Caller, token: dict[str, Any]) -> str:
    return admin.call("GET", path_of(token)).headers["ETag"]


def test_what_shows_a_token_names_its_edition(admin: Caller) -> None:
    """Created, read or changed: each can be saved next without another GET."""
    made = admin.call("POST", "/v1/tokens", {"name": "x"})
    token = made.json or {}
    shown = admin.call("GET", path_of(token))
    changed = admin.call("PATCH", path_of(token), {"name": "y"})

    assert made.headers["ETag"] == shown.headers["ETag"] != changed.headers["ETag"]
    assert changed.headers["ETag"] == etag(admin, token)
    assert shown.headers["ETag"].startswith('"'), "a strong one: others match nothing"


def test_the_second_of_two_savers_sees_what_the_first_saved(
    admin: Caller, token: dict[str, Any]
) -> None:
    """And nothing is lost. With the new edition it is saved after all."""
    seen = etag(admin, token)
    first = admin.call("PATCH", path_of(token), {"name": "first"}, headers={"If-Match": seen})

    second = admin.call("PATCH", path_of(token), {"name": "second"}, headers={"If-Match": seen})

    assert (first.status_code, second.status_code) == (200, 412)
    assert second.content_type == "application/problem+json"
    problem = second.json or {}
    assert problem["type"] == "/docs/problems/precondition-failed"
    assert problem["current"] == first.json
    assert "secret" not in str(problem["current"])
    again = {"If-Match": first.headers["ETag"]}
    assert admin.call("PATCH", path_of(token), {"name": "x"}, headers=again).status_code == 200


@pytest.mark.parametrize(
    ("written", "status"),
    [
        ("*", 200),
        ("{etag}", 200),
        ('"other", {etag}', 200),
        ("W/{etag}", 412),
        ('"other"', 412),
        ("", 412),
    ],
)
def test_if_match_is_read_as_http_says(
    admin: Caller, token: dict[str, Any], written: str, status: int
) -> None:
    """One of several is enough; weak ones never match; anything else refuses."""
    headers = {"If-Match": written.format(etag=etag(admin, token))}

    assert admin.call("PATCH", path_of(token), {}, headers=headers).status_code == status


def test_each_change_that_could_overwrite_another_takes_it(
    admin: Caller, token: dict[str, Any]
) -> None:
    """Callbacks are a part of the token. Nothing is done."""
    stale = {"If-Match": etag(admin, token)}
    admin.call("PUT", callback_path(token, "message.status"), {"url": URL}, headers=stale)
    current = admin.call("GET", path_of(token))

    for method, path, body in (
        ("PATCH", path_of(token), {"name": "x"}),
        ("DELETE", path_of(token), None),
        ("PUT", callback_path(token), {"url": URL + "2"}),
        ("DELETE", callback_path(token), None),
    ):
        refused = admin.call(method, path, body, headers=stale)
        assert (refused.status_code, (refused.json or {})["current"]) == (412, current.json)

    fresh = {"If-Match": current.headers["ETag"]}
    assert admin.call("DELETE", callback_path(token), headers=fresh).status_code == 204
    fresh = {"If-Match": etag(admin, token)}
    assert admin.call("DELETE", path_of(token), headers=fresh).status_code == 204


def test_a_token_that_is_not_there_is_not_found_whatever_was_expected(admin: Caller) -> None:
    """There is nothing to compare."""
    headers = {"If-Match": "*"}
    assert admin.call("PATCH", "/v1/tokens/tok_0", {}, headers=headers).status_code == 404


def test_no_secret_is_in_an_edition(house: House, admin: Caller, token: dict[str, Any]) -> None:
    """It is written into logs of proxies."""
    shown = etag(admin, token).strip('"')

    assert len(shown) == 32
    assert shown not in token["token"]
    assert shown not in signing_key(token["signing_secret"]).hex()
