"""Whatever the OpenAPI document allows, and what it does not, sent to each operation in it: every
answer is as the document says.

What is sent is derived from the document, so that a new operation is covered by being in it. The
same is sent every time.
"""

import zlib
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.application import openapi_document
from schemas.tokens.permissions import Permission
from tests.kit.api import URL, Caller, House, deliver

CONFORMANCE = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
ALONE = "POST /v1/tokens/{id}/callbacks/{type}/test"
"""Answers 503 as the document says: no dispatcher is there to make the attempt. No other operation
has a reason to.
"""


def described(**config: Any) -> Any:
    document = openapi_document("9.9.9", "https://ringback.example")
    return schemathesis.openapi.from_dict(document, config=schemathesis.Config.from_dict(config))


# In addition to what is drawn: every limit of every field, missed by one. The token is the test's,
# whatever the document says of tokens.
HELD = described(generation={"with-security-parameters": False})
# Refused before anything of it is read: a few are enough. Some carry a made-up token.
LOCKED_OUT = described(phases={"coverage": {"enabled": False}})

BOUNDED = settings(
    max_examples=25,
    derandomize=True,
    deadline=None,
    suppress_health_check=[
        # one house for all that is sent to an operation: what was done before is part of it
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,  # says something about the machine
        HealthCheck.filter_too_much,  # the generator's way of making formats and wrong types
    ],
)


def replace_half(given: object, name: str, there: str | None) -> None:
    """By what was drawn, so that the same is replaced every time."""
    if (
        there
        and isinstance(given, dict)
        and name in given
        and zlib.crc32(str(given[name]).encode()) % 2
    ):
        given[name] = there


class Furnished:
    """A house with one of each thing in it, twice: another token's, and those of the caller, who
    holds every permission.
    """

    def __init__(self, house: House):
        house.use(timeout_s=-1.99)  # a test of a callback is waited for a hundredth of a second
        self.house = house
        admin = house.caller(*Permission)
        other, own = (self._token(admin, name) for name in ("ACME CRM", "caller"))
        self.caller = Caller(house, own["token"])
        recovery = (
            admin.call("POST", "/v1/recoveries", {"since": "1970-01-01T00:00:00Z"}).json or {}
        )
        self._ids = {"tokens": other["id"], "recoveries": recovery["id"]} | self._delivered(
            other, "evt_other"
        )
        self._own_ids = self._delivered(own, "evt_own")

    def aim(self, case: schemathesis.Case) -> None:
        """Half of the well-formed ids become that of what is there. Never the caller's own token:
        it must outlive its DELETEs.
        """
        path = case.operation.path
        ids = self._own_ids if path.startswith("/v1/me/") else self._ids
        replace_half(
            case.path_parameters, "id", ids.get(path.partition("/{id}")[0].rpartition("/")[2])
        )
        token = self.caller.secret if path == "/v1/introspect" else self._ids["tokens"]
        for place in (case.query, case.body):
            replace_half(place, "token", token)

    def _token(self, admin: Caller, name: str) -> dict[str, Any]:
        body = {
            "name": name,
            "permissions": list(Permission),
            "callbacks": {"message.received": {"url": URL}},
        }
        return admin.call("POST", "/v1/tokens", body).json or {}

    def _delivered(self, token: dict[str, Any], event_id: str) -> dict[str, str]:
        delivery = deliver(self.house, token, event_id, state="exhausted", due_at=None)
        return {"events": event_id, "deliveries": delivery}


@pytest.fixture
def furnished(house: House) -> Furnished:
    return Furnished(house)


@HELD.parametrize()
@BOUNDED
def test_whatever_a_caller_with_every_permission_sends_the_answer_is_as_documented(
    case: schemathesis.Case, furnished: Furnished
) -> None:
    """Right and wrong, to what is there and to what is not: no 5xx, and nothing that a generated
    client could not read.
    """
    furnished.aim(case)

    answer = case.call(
        app=furnished.house.app, headers={"Authorization": f"Bearer {furnished.caller.secret}"}
    )

    assert answer.status_code not in (401, 403), "the caller is known, and may do everything"
    require_conformance(case, answer)


@LOCKED_OUT.parametrize()
@settings(BOUNDED, max_examples=10)
def test_whatever_is_sent_without_a_token_the_answer_is_as_documented(
    case: schemathesis.Case, house: House
) -> None:
    """The document says of each route whether it is open, so that nothing else can come through."""
    answer = case.call(app=house.app)

    assert answer.status_code in (401, 405, 429) or "security" not in case.operation.definition.raw
    require_conformance(case, answer)


def require_conformance(case: schemathesis.Case, answer: Response) -> None:
    is_expected = case.operation.label == ALONE and answer.status_code == 503
    case.validate_response(
        answer, CONFORMANCE if is_expected else [not_a_server_error, *CONFORMANCE]
    )
