"""The request log of one token, as administrators see it."""

from typing import Any

from tests.kit.api import Caller, House


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
