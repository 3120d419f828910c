"""Contacts of tokens, the longest life, and lists of the tokens that may need attention, over
HTTP.
"""

import datetime as dt
from typing import Any

import pytest

from tests.kit.api import Caller, House

CONTACT = "ops@acme.example"


def test_a_contact_is_given_kept_and_taken_away(admin: Caller) -> None:
    """Null takes it away, leaving it out keeps it; the operation log has both."""
    made = admin.call("POST", "/v1/tokens", {"name": "x", "contact": CONTACT}).json or {}
    path = f"/v1/tokens/{made['id']}"

    renamed = admin.call("PATCH", path, {"name": "y"}).json or {}
    cleared = admin.call("PATCH", path, {"contact": None}).json or {}

    assert (made["contact"], renamed["contact"], cleared["contact"]) == (CONTACT, CONTACT, None)
    changes = (admin.call("GET", path + "/changes").json or {})["data"]
    assert [change["details"].get("contact") for change in changes] == [
        [CONTACT, None],
        None,
        [None, CONTACT],
    ]


@pytest.mark.parametrize("contact", ["", "ops", "ops@acme.example\n", "a@b, c@d", 5])
def test_what_is_no_address_is_refused_as_a_contact(admin: Caller, contact: object) -> None:
    """Mail is sent there."""
    answer = admin.call("POST", "/v1/tokens", {"name": "x", "contact": contact})

    assert answer.status_code == 422
    assert [fault["pointer"] for fault in (answer.json or {})["errors"]] == ["/contact"]


def test_a_token_lives_no_longer_than_the_policy_says(house: House, admin: Caller) -> None:
    """It says so where the date belongs; renaming an older token stays possible."""
    old = admin.call("POST", "/v1/tokens", {"name": "old"}).json or {}
    house.use(token_max_life=dt.timedelta(days=30))
    path = f"/v1/tokens/{old['id']}"

    endless = admin.call("POST", "/v1/tokens", {"name": "x"})
    moved = admin.call("PATCH", path, {"activates_at": "2026-01-01T00:00:00Z"})
    renamed = admin.call("PATCH", path, {"name": "older"})
    timely = admin.call(
        "POST",
        "/v1/tokens",
        {
            "name": "x",
            "activates_at": "2030-01-01T00:00:00Z",
            "expires_at": "2030-01-31T00:00:00Z",
        },
    )

    for refused in (endless, moved):
        assert refused.status_code == 422
        (fault,) = (refused.json or {})["errors"]
        assert fault["pointer"] == "/expires_at"
        assert "RINGBACK_TOKEN_MAX_LIFE" in fault["detail"]
    assert (renamed.status_code, timely.status_code) == (200, 201)


def test_tokens_that_may_need_attention_are_listed(admin: Caller, token: dict[str, Any]) -> None:
    """By the name of the reason; another name is refused."""

    def listed(name: str) -> set[str]:
        answer = admin.call("GET", f"/v1/tokens?filter={name}")
        assert answer.status_code == 200, answer.json
        return {one["name"] for one in (answer.json or {})["data"]}

    assert listed("never_expires") == {"caller", "ACME CRM"}
    assert listed("without_callbacks") == {"caller"}
    # the caller was made in 1970, and what it uses is written later
    assert listed("unused") <= {"caller"}
    assert listed("expiring") == listed("failing") == set()
    refused = admin.call("GET", "/v1/tokens?filter=lazy")
    assert (refused.status_code, (refused.json or {})["errors"][0]["pointer"]) == (422, "/filter")
