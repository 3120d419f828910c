"""A token whose requests are logged, and its log as administrators see it."""

from typing import Any

from schemas.times import UnixMs
from schemas.tokens.fields import TokenFields
from schemas.tokens.permissions import Permission
from store.tokens.tokens import NewSecrets
from tests.kit.api import Caller, House
from tests.kit.tokens import TESTER, token_fields


def make(house: House, *permissions: Permission, fields: TokenFields | None = None) -> NewSecrets:
    return house.parts.tokens.create(
        fields or token_fields("supplier", *permissions), {}, UnixMs(1), TESTER
    )


class Log:
    """The log of one token, as administrators see it."""

    def __init__(self, house: House, admin: Caller, address: str):
        self._house, self._admin, self.address = house, admin, address

    def rows(self, **query: object) -> list[dict[str, Any]]:
        self._house.request_log.flush()
        answer = self._admin.call("GET", self.address, query_string=query)
        assert answer.status_code == 200, answer.json
        shown: list[dict[str, Any]] = (answer.json or {})["data"]
        return shown

    def row(self) -> dict[str, Any]:
        (one,) = self.rows()
        return one
