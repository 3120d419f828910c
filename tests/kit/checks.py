"""Tokens to be checked, and what of the checks is in the request log."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import sqlalchemy as sa
from werkzeug.test import TestResponse

from api.http.bodies import FORM
from schemas.times import UnixMs, now_ms
from schemas.tokens.permissions import Permission
from store.tables import requests
from store.tokens.tokens import NewSecrets
from tests.kit.api import Caller, House
from tests.kit.tokens import TESTER, token_fields

NOBODYS = "rbk_0123456789ABCDEFGHIJabcdefghij0BQj2z"
STATES = ["scheduled", "suspended", "expired", "revoked"]
READ, SEND = Permission.CONVERSATIONS_READ, Permission.MESSAGES_SEND


def made(
    house: House, *permissions: Permission, channels: Sequence[str] | None = None, **fields: Any
) -> NewSecrets:
    """A token of another supplier."""
    return house.parts.tokens.create(
        replace(token_fields("ACME CRM", *permissions, channels=channels), **fields),
        {},
        UnixMs(1_000),
        TESTER,
    )


def not_active(house: House, state: str) -> NewSecrets:
    now = now_ms()
    if state != "revoked":
        past = {
            "scheduled": {"activates_at": now + 60_000},
            "suspended": {"enabled": False},
            "expired": {"expires_at": now},
        }
        return made(house, READ, **past[state])
    token = made(house, READ)
    house.directory.refresh()  # known before it is revoked, as in a process that runs
    house.parts.tokens.revoke(token.token.id, now, TESTER)
    house.directory.refresh()
    return token


def logged(house: House) -> list[dict[str, Any]]:
    """The checks: a call of this API has an id in addition to its request id."""
    house.request_log.flush()
    with house.database.read() as connection:
        rows = connection.execute(
            sa.select(requests)
            .where(requests.c.id == requests.c.request_id)
            .order_by(requests.c.id)
        )
        return [row._asdict() for row in rows]


def logged_of(house: House, token: NewSecrets) -> list[dict[str, Any]]:
    return [row for row in logged(house) if row["token_id"] == token.token.id]


def introspect(platform: Caller, token: str, **fields: str) -> TestResponse:
    return platform.call(
        "POST", "/v1/introspect", data=urlencode({"token": token} | fields), content_type=FORM
    )


def authorize(
    house: House,
    secret: str | None,
    permission: str | None = "none",
    peer: str = "10.0.0.1",
    **fields: str,
) -> TestResponse:
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    if permission is not None:
        headers["X-Required-Permission"] = permission
    return Caller(house, secret).call(
        "GET", "/v1/authorize", headers=headers, environ_base={"REMOTE_ADDR": peer}
    )
