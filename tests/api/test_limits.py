"""Limits: so many requests of each token, and so many unknown tokens from one address."""

import pytest
import sqlalchemy as sa
from werkzeug.test import TestResponse

from api.http.bodies import FORM
from schemas.tokens.permissions import Permission
from schemas.tokens.secrets import new_token
from schemas.tokens.target_policy import parse_networks
from tests.kit.api import BOTH_DOORS, Caller, House
from web.rate_limits import UNKNOWN_TOKENS

pytestmark = BOTH_DOORS

RATE_FIELDS = {"RateLimit", "RateLimit-Policy"}


@pytest.fixture
def limited(house: House) -> House:
    """One request in ten seconds: however slow the machine, the second one is refused."""
    house.use(rate_limit=0.1)
    return house


def me(caller: Caller, peer: str = "192.0.2.1", **headers: str) -> TestResponse:
    return caller.call("GET", "/v1/me", environ_base={"REMOTE_ADDR": peer}, headers=headers)


def test_without_a_limit_no_header_mentions_one(house: House) -> None:
    """The default."""
    answers = [me(house.caller()) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200] * 3
    assert not RATE_FIELDS & set(answers[0].headers.keys())


def test_a_token_sees_its_limit_and_is_refused_beyond_it(limited: House) -> None:
    """429 says when to go on, and nothing is done for it."""
    caller = limited.caller()

    first, second = me(caller), me(caller)

    assert (first.status_code, first.headers["RateLimit-Policy"], first.headers["RateLimit"]) == (
        200,
        '"default";q=1;w=10',
        '"default";r=0;t=10',
    )
    assert (second.status_code, second.content_type) == (429, "application/problem+json")
    assert 1 <= int(second.headers["Retry-After"]) <= 10
    assert set(second.headers.keys()) >= RATE_FIELDS
    assert second.json
    assert second.json["type"] == "/docs/problems/too-many-requests"


def test_each_token_has_a_limit_of_its_own(limited: House) -> None:
    """A supplier in a hurry costs itself alone."""
    assert [me(limited.caller()).status_code for _ in range(3)] == [200] * 3


def test_a_refusal_for_want_of_a_permission_counts_too(limited: House) -> None:
    """Every authenticated request counts, whatever the answer is."""
    caller = limited.caller()

    answers = [caller.call("GET", "/v1/tokens") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [403, 429]
    assert set(answers[0].headers.keys()) >= RATE_FIELDS


def test_checks_of_the_tokens_of_others_are_not_limited(limited: House) -> None:
    """The chat platform's API asks once for each request of all its clients. A gateway asks with
    the holder's token, which is limited.
    """
    platform, holder = limited.caller(Permission.TOKENS_INTROSPECT), limited.caller()

    checks = [
        platform.call("POST", "/v1/introspect", data={"token": holder.secret}, content_type=FORM)
        for _ in range(3)
    ]
    asked = [
        holder.call("GET", "/v1/authorize", headers={"X-Required-Permission": "none"}).status_code
        for _ in range(2)
    ]

    assert [answer.status_code for answer in checks] == [200] * 3
    assert not RATE_FIELDS & set(checks[0].headers.keys())
    assert asked == [204, 429]


def test_a_stranger_learns_nothing_of_limits(limited: House) -> None:
    """There is none to report: a caller without a token is not limited, but throttled."""
    answer = me(Caller(limited, new_token()))

    assert answer.status_code == 401
    assert not RATE_FIELDS & set(answer.headers.keys())


def exhaust(house: House, peer: str = "192.0.2.1") -> None:
    """Send as many unknown tokens from there as are answered. Time stands still from now on: a slow
    machine would be let through again.
    """
    house.use(clock_ns=lambda: 0)
    for _ in range(UNKNOWN_TOKENS):
        assert me(Caller(house, "rbk_guessed"), peer).status_code == 401


def test_an_address_that_tries_many_tokens_is_asked_to_wait(house: House) -> None:
    """Without a look at the store, which is what guessing would cost."""
    me(house.caller())
    exhaust(house)
    queries: list[str] = []
    sa.event.listen(
        house.directory._own.engine, "before_cursor_execute", lambda *args: queries.append(args[2])
    )

    answer = me(Caller(house, new_token()))

    assert (answer.status_code, answer.content_type) == (429, "application/problem+json")
    assert 1 <= int(answer.headers["Retry-After"]) <= 3
    assert house.observer.refused[-1] == "throttled"
    assert queries == []
    assert me(Caller(house, new_token()), "192.0.2.2").status_code == 401
    assert queries, "or else the test looks at the wrong place"


def test_a_good_token_works_from_a_throttled_address(house: House) -> None:
    """Behind one address there may be a whole office, or a gateway; a token that is not active
    learns so.
    """
    caller, suspended = house.caller(), house.caller()
    assert (me(caller).status_code, me(suspended).status_code) == (200, 200)
    token = (suspended.call("GET", "/v1/me").json or {})["id"]
    house.caller(Permission.PLATFORM_ADMIN).call("PATCH", f"/v1/tokens/{token}", {"enabled": False})
    house.directory.refresh()
    exhaust(house)

    assert me(caller).status_code == 200
    assert me(suspended).status_code == 401
    assert me(Caller(house, None)).status_code == 401


def test_tokens_that_are_not_active_throttle_no_address(house: House) -> None:
    """Nothing is guessed with them, and they cost no look at the store."""
    caller = house.caller()
    token = (caller.call("GET", "/v1/me").json or {})["id"]
    house.caller(Permission.PLATFORM_ADMIN).call("PATCH", f"/v1/tokens/{token}", {"enabled": False})
    house.directory.refresh()
    for _ in range(2 * UNKNOWN_TOKENS):
        assert me(caller).status_code == 401

    assert me(Caller(house, new_token())).status_code == 401


def test_new_tokens_from_one_address_do_not_throttle_it(house: House) -> None:
    """An administrator's script may make a hundred, and try each at once."""
    assert {me(house.caller()).status_code for _ in range(2 * UNKNOWN_TOKENS)} == {200}


def test_behind_a_trusted_proxy_its_client_is_throttled(house: House) -> None:
    """Everybody comes from the gateway's address."""
    house.use(trusted_proxies=parse_networks(["10.0.0.0/8"]), clock_ns=lambda: 0)
    for _ in range(UNKNOWN_TOKENS):
        me(Caller(house, "x"), "10.0.0.1", **{"X-Forwarded-For": "198.51.100.1"})

    throttled = me(Caller(house, "x"), "10.0.0.1", **{"X-Forwarded-For": "198.51.100.1"})
    other = me(Caller(house, "x"), "10.0.0.1", **{"X-Forwarded-For": "198.51.100.2"})

    assert (throttled.status_code, other.status_code) == (429, 401)


def test_introspection_is_never_throttled_and_asks_the_store_once_for_each_token(
    house: House,
) -> None:
    """Its caller is trusted, and passes on what strangers send it."""
    platform, guessed = house.caller(Permission.TOKENS_INTROSPECT), new_token()
    me(platform)
    queries: list[str] = []
    sa.event.listen(
        house.directory._own.engine, "before_cursor_execute", lambda *args: queries.append(args[2])
    )

    answers = [platform.call("POST", "/v1/introspect", data={"token": guessed}, content_type=FORM)]
    asked = len(queries)
    for text in [guessed, "rbk_garbage"] * 2 * UNKNOWN_TOKENS:
        answers.append(
            platform.call("POST", "/v1/introspect", data={"token": text}, content_type=FORM)
        )

    assert {answer.data for answer in answers} == {b'{"active":false}'}
    assert len(queries) == asked > 0


def test_guesses_that_are_passed_on_to_introspection_stop_costing_lookups(
    house: House,
) -> None:
    """Check digits are public: a guess has the right ones. A token that is new is known by
    the next poll all the same.
    """
    house.use(clock_ns=lambda: 0)
    platform = house.caller(Permission.TOKENS_INTROSPECT)

    def introspect(token: str) -> bytes:
        return platform.call(
            "POST", "/v1/introspect", data={"token": token}, content_type=FORM
        ).data

    for _ in range(UNKNOWN_TOKENS + 1):
        introspect(new_token())
    queries: list[str] = []
    sa.event.listen(
        house.directory._own.engine, "before_cursor_execute", lambda *args: queries.append(args[2])
    )

    assert introspect(new_token()) == introspect(fresh := house.secret()) == b'{"active":false}'
    assert queries == []
    house.directory.refresh()
    assert introspect(fresh).startswith(b'{"active":true')
