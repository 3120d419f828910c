"""Tokens and callbacks over HTTP, as an administrator's program changes them."""

from typing import Any

import pytest

from schemas.ids import TokenId
from schemas.tokens.secrets import is_token, signing_key
from tests.kit.api import RECEIVED, URL, Caller, House, callback_path, deliver

WELL = {
    "failing_since": None,
    "throttled_until": None,
    "disabled_at": None,
    "disabled_reason": None,
}


def test_a_new_token_is_shown_with_its_secrets_once(
    admin: Caller, house: House, token: dict[str, Any]
) -> None:
    """Exactly the shape that the contract draws; header values never come out."""
    assert is_token(token["token"])
    assert signing_key(token["signing_secret"])
    assert house.caller().call("GET", "/v1/me").status_code == 200
    assert Caller(house, token["token"]).call("GET", "/v1/me").status_code == 200, (
        "it can be used at once"
    )

    shown = admin.call("GET", f"/v1/tokens/{token['id']}")

    assert shown.json == {
        key: value for key, value in token.items() if key not in {"token", "signing_secret"}
    }
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
        "contact": None,
        "callbacks": {
            "conversation.created": None,
            "message.received": {
                "url": URL,
                "enabled": True,
                "state": "healthy",
                "held": "release",
                "header_names": ["X-Key"],
            }
            | WELL,
            "message.status": None,
        },
        "created_at": token["created_at"],
        "last_used_at": None,
    }


def test_every_optional_field_of_a_new_token_may_be_null(admin: Caller) -> None:
    """Null is what is not given."""
    optional = (
        "activates_at",
        "expires_at",
        "enabled",
        "permissions",
        "visibility",
        "contact",
        "callbacks",
    )

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
        (
            {
                "name": "x",
                "activates_at": "2030-01-01T00:00:00Z",
                "expires_at": "2030-01-01T01:00:00+01:00",
            },
            ["/expires_at"],
        ),
        ({"name": "x", "visibility": {"channels": [1]}}, ["/visibility/channels/0"]),
        ({"name": "x", "visibility": {"channels": ["a\u0000"]}}, ["/visibility/channels"]),
        (
            {"name": "x", "visibility": {"channel": []}},
            ["/visibility/channels", "/visibility/channel"],
        ),
        (
            {"name": "x", "callbacks": {"message.received": {"url": "ftp://x.example"}}},
            ["/callbacks/message.received/url"],
        ),
        ({"name": "x", "callbacks": {"cat.meowed": None}}, ["/callbacks/cat.meowed"]),
        ([], [""]),
    ],
)
def test_a_token_that_breaks_the_rules_is_refused_with_pointers(
    admin: Caller, body: object, pointers: list[str]
) -> None:
    """A typo is named, never swallowed."""
    answer = admin.call("POST", "/v1/tokens", body)

    assert answer.status_code == 422
    assert answer.json
    assert [fault["pointer"] for fault in answer.json["errors"]] == pointers


@pytest.mark.parametrize("body", [b"", b"{", b'{"name":"\xff"}', b"[" * 10_000])
def test_a_body_that_cannot_be_read_is_malformed(admin: Caller, body: bytes) -> None:
    """Not a validation error: nothing in it could be read."""
    assert (
        admin.call("POST", "/v1/tokens", data=body, content_type="application/json").status_code
        == 400
    )


def test_a_patch_changes_what_it_names_and_nothing_else(
    admin: Caller, token: dict[str, Any]
) -> None:
    """Null leaves a field, but clears the expiration."""
    path = f"/v1/tokens/{token['id']}"
    assert (
        admin.call(
            "PATCH", path, {"expires_at": "2099-01-01T00:00:00Z", "permissions": ["stats:read"]}
        ).status_code
        == 200
    )

    renamed = admin.call("PATCH", path, {"name": "other", "permissions": None}).json or {}
    cleared = (
        admin.call("PATCH", path, {"expires_at": None, "visibility": {"channels": ["b", "a"]}}).json
        or {}
    )

    assert (renamed["name"], renamed["expires_at"], renamed["permissions"]) == (
        "other",
        "2099-01-01T00:00:00.000Z",
        ["stats:read"],
    )
    assert (cleared["name"], cleared["expires_at"], cleared["visibility"]) == (
        "other",
        None,
        {"channels": ["a", "b"]},
    )


def test_a_token_is_suspended_and_comes_back(
    admin: Caller, house: House, token: dict[str, Any]
) -> None:
    """It keeps its token and its secret."""
    path, holder = f"/v1/tokens/{token['id']}", Caller(house, token["token"])

    assert (admin.call("PATCH", path, {"enabled": False}).json or {})["state"] == "suspended"
    house.directory.refresh()
    assert holder.call("GET", "/v1/me").status_code == 401
    assert (admin.call("PATCH", path, {"enabled": True}).json or {})["state"] == "active"
    house.directory.refresh()

    assert holder.call("GET", "/v1/me").status_code == 200


def test_a_deleted_token_is_revoked_for_good(
    admin: Caller, house: House, token: dict[str, Any]
) -> None:
    """Shown only to who asks for revoked ones; its open deliveries are cancelled and counted;
    nothing changes it any more.
    """
    deliver(house, token)
    path = f"/v1/tokens/{token['id']}"

    answer = admin.call("DELETE", path)

    assert (answer.status_code, answer.data) == (204, b"")
    assert house.observer.cancelled == [(RECEIVED, 1)]
    assert (admin.call("GET", path).json or {})["state"] == "revoked"
    assert token["id"] not in {
        one["id"] for one in (admin.call("GET", "/v1/tokens").json or {})["data"]
    }
    assert [
        one["id"] for one in (admin.call("GET", "/v1/tokens?state=revoked").json or {})["data"]
    ] == [token["id"]]
    assert admin.call("DELETE", path).status_code == 204
    for method, more, body in (
        ("PATCH", "", {"name": "x"}),
        ("POST", "/regenerate", {}),
        ("PUT", "/callbacks/message.status", {"url": URL}),
    ):
        assert admin.call(method, path + more, body).status_code == 409


def test_a_regenerated_token_takes_over_from_the_old_one(
    admin: Caller, house: House, token: dict[str, Any]
) -> None:
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


def test_an_overlap_that_is_null_is_as_good_as_left_out(
    admin: Caller, house: House, token: dict[str, Any]
) -> None:
    """Like every optional field."""
    path = f"/v1/tokens/{token['id']}"

    made = admin.call("POST", path + "/regenerate", {"overlap": None})
    rotated = admin.call("POST", path + "/rotate-signing-secret", {"overlap": None})

    assert (made.status_code, rotated.status_code) == (200, 200)
    stored = house.parts.tokens.get(TokenId(token["id"]))
    assert (len(stored.hashes), len(stored.signing_keys)) == (1, 2)


@pytest.mark.parametrize("overlap", ["8d", "-1s", "soon", 5, "999999999d", "9" * 400 + "d"])
def test_an_overlap_that_is_none_is_refused(
    admin: Caller, token: dict[str, Any], overlap: object
) -> None:
    """Up to a week, in the spelling of durations."""
    answer = admin.call(
        "POST", f"/v1/tokens/{token['id']}/rotate-signing-secret", {"overlap": overlap}
    )

    assert answer.status_code == 422
    assert answer.json
    assert answer.json["errors"][0]["pointer"] == "/overlap"


def test_a_signing_secret_is_rotated_and_can_be_shown_again(
    admin: Caller, token: dict[str, Any]
) -> None:
    """A supplier that lost it need not rotate it. That it was shown is recorded:
    `test_audit_log`.
    """
    path = f"/v1/tokens/{token['id']}"
    assert (admin.call("GET", path + "/signing-secret").json or {}) == {
        "signing_secret": token["signing_secret"]
    }

    rotated = admin.call("POST", path + "/rotate-signing-secret").json or {}

    assert rotated["signing_secret"] != token["signing_secret"]
    assert admin.call("GET", path + "/signing-secret").json == rotated


def test_a_callback_is_put_and_deleted(admin: Caller, house: House, token: dict[str, Any]) -> None:
    """Off, back on, gone; its headers stay when they are not given."""
    off = admin.call(
        "PUT", callback_path(token), {"url": URL, "enabled": False, "headers": None, "held": None}
    )
    assert (off.status_code, off.json) == (
        200,
        {"url": URL, "enabled": False, "state": "off", "held": "release", "header_names": ["X-Key"]}
        | WELL,
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
        ({"url": URL, "held": "forget"}, "/held"),
        ({"enabled": True}, "/url"),
    ],
)
def test_a_callback_that_breaks_the_rules_is_refused(
    admin: Caller, token: dict[str, Any], body: object, pointer: str
) -> None:
    """The quick answer of the target policy; the judgement that counts is made when connecting."""
    answer = admin.call("PUT", callback_path(token), body)

    assert answer.status_code == 422
    assert answer.json
    assert [fault["pointer"] for fault in answer.json["errors"]] == [pointer]


def test_a_callback_of_a_type_that_there_is_not_is_not_found(
    admin: Caller, token: dict[str, Any]
) -> None:
    """The type is a part of the address."""
    assert admin.call("PUT", callback_path(token, "cat.meowed"), {"url": URL}).status_code == 404
