"""deploy/nginx before a chat API, with a real nginx and a real Ringback: who gets through, and what
the chat API learns.
"""

import contextlib
import socket
import time
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
import sqlalchemy as sa

from store.engine.database import Database
from store.tables import requests
from tests.docs.pages import ROOT
from tests.kit.client import Answer, Client
from tests.kit.nginx import Nginx
from tests.kit.ringback import IN_FORCE_S, Ringback
from tests.kit.service import Service
from tests.kit.waiting import free_port, wait_for

CONFIGURATION = ROOT / "deploy/nginx/chat-api.conf"
SPOOFED = {
    "X_Ringback_Channels": "*",
    "X_Ringback_Token_Id": "tok_1",
    "X_Ringback_Request_Id": "req_1",
}


class Platform:
    """Ringback, a chat API, and nginx before it: on the ports of the configuration, swapped for
    free ones.
    """

    def __init__(self, ringback: Ringback, service: Service, port: int):
        self.ringback, self.service, self.port = ringback, service, port

    def ask(
        self,
        token: str | None,
        method: str = "GET",
        path: str = "/conversations",
        body: bytes | None = None,
        **headers: str,
    ) -> Answer:
        with Client(self.port, token) as client:
            return client.call(method, path, body, **headers)


@pytest.fixture(scope="module")
def ringback() -> Iterator[Ringback]:
    made = Ringback(TRUSTED_PROXIES="127.0.0.1", RATE_LIMIT="1000")
    yield made
    made.close()


@pytest.fixture(scope="module")
def platform(ringback: Ringback) -> Iterator[Platform]:
    with _platform(ringback) as made:
        yield made


@contextlib.contextmanager
def _platform(ringback: Ringback, *changes: tuple[str, str]) -> Iterator[Platform]:
    """With the configuration as it is printed, but for its ports and these changes."""
    port = free_port()
    with Service() as service, Nginx() as nginx:
        text = CONFIGURATION.read_text()
        addresses = {
            "127.0.0.1:8080": f"127.0.0.1:{ringback.port}",
            "127.0.0.1:9200": f"127.0.0.1:{service.port}",
        }
        for printed, ours in [
            *addresses.items(),
            ("listen 8000", f"listen 127.0.0.1:{port}"),
            *changes,
        ]:
            assert printed in text
            text = text.replace(printed, ours)
        (nginx.conf_d / "chat-api.conf").write_text(text)
        nginx.run("-s", "reload")
        made = Platform(ringback, service, port)
        wait_for("nginx to listen", lambda: made.ask(None).status)
        yield made


@pytest.fixture(autouse=True)
def _nothing_was_asked(platform: Platform) -> None:
    platform.service.asked.clear()


def test_who_may_gets_through_and_the_chat_api_learns_whose_token_it_is(
    platform: Platform,
) -> None:
    """Not the token itself: it must not appear in the chat API's logs."""
    token = platform.ringback.token("crm", "messages:send", channels=("chn 1", "chn_2"))

    answer = platform.ask(token["token"], "POST", "/messages?to=1", b'{"text":"hi"}')

    assert (answer.status, answer.data) == (200, b"ok")
    (asked,) = platform.service.asked
    assert (asked.method, asked.path, asked.body) == ("POST", "/messages?to=1", b'{"text":"hi"}')
    assert asked.headers["x-ringback-token-id"] == token["id"]
    assert asked.headers["x-ringback-channels"] == "chn%201,chn_2"
    assert asked.headers["x-ringback-request-id"].startswith("req_")
    assert asked.headers["x-request-id"] == answer.headers["x-request-id"]
    assert "authorization" not in asked.headers
    assert answer.headers["ratelimit-policy"] == '"default";q=1000;w=1'


def test_what_a_client_says_in_our_place_does_not_get_through(platform: Platform) -> None:
    """A token that sees no channel must not become one that sees all."""
    token = platform.ringback.token("crm", "conversations:read", channels=())

    answer = platform.ask(token["token"], **SPOOFED)

    assert answer.status == 200
    (asked,) = platform.service.asked
    assert asked.headers["x-ringback-token-id"] == token["id"]
    assert "x-ringback-channels" not in asked.headers
    assert asked.headers["x-ringback-request-id"] != "req_1"


ASKING = (
    "X-Required-Permission",
    "X-Original-Method",
    "X-Original-URI",
    "X-Forwarded-Method",
    "X-Forwarded-Uri",
)
TELLING = ("X-Ringback-Channels", "X-Ringback-Token-Id", "X-Ringback-Request-Id")


def _spellings(name: str) -> list[str]:
    """With each hyphen as an underscore, or not: to a service behind CGI or WSGI they
    are one name.
    """
    first, *others = name.split("-")
    return [
        first + "".join(map("".join, zip(marks, others, strict=True)))
        for marks in product("-_", repeat=len(others))
    ]


def test_what_a_client_says_is_removed_however_it_is_spelled(ringback: Ringback) -> None:
    """Even where nginx takes underscores for the sake of another service: those who speak for the
    gateway are its own.
    """
    token = ringback.token("crm", "conversations:read", channels=())
    said = "".join(
        f"{spelled}: spoofed\r\n" for name in (*ASKING, *TELLING) for spelled in _spellings(name)
    )
    with _platform(
        ringback, ("upstream ringback {", "underscores_in_headers on;\nupstream ringback {")
    ) as platform:
        with socket.create_connection(("127.0.0.1", platform.port), timeout=30) as connection:
            head = (
                "GET /conversations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
                f"{token['token']}\r\n{said}Connection: close\r\n\r\n"
            )
            connection.sendall(head.encode())
            assert connection.makefile("rb").readline().split()[1] == b"200"
        (asked,) = [one for one in platform.service.asked if one.path == "/conversations"]

    assert "spoofed" not in str(asked.headers)
    assert asked.headers["x-ringback-token-id"] == token["id"]
    assert not {name.lower() for name in ASKING} & set(asked.headers)


@pytest.mark.parametrize(
    ("method", "path", "needs"),
    [
        ("GET", "/conversations/7", "conversations:read"),
        ("PUT", "/conversations/7", "conversations:status"),
        ("GET", "/customers", "customers:read"),
        ("POST", "/customers", "customers:write"),
        ("GET", "/locations", "locations:read"),
        ("DELETE", "/locations/1", "locations:write"),
        ("GET", "/templates", "templates:read"),
        ("POST", "/templates/1", "templates:send"),
        ("POST", "/messages", "messages:send"),
        ("GET", "/exports/1", "data:export"),
        ("GET", "/stats", "stats:read"),
    ],
)
def test_each_place_asks_for_its_permission_and_for_no_other(
    platform: Platform, method: str, path: str, needs: str
) -> None:
    """The eleven, each by itself: with it, and with all but it."""
    with_it = platform.ringback.token("with", needs)["token"]
    permissions = {each for each in _permissions() if each != needs}
    without_it = platform.ringback.token("without", *permissions)["token"]

    refused, allowed = (platform.ask(token, method, path) for token in (without_it, with_it))

    assert (refused.status, refused.headers["content-type"]) == (403, "application/problem+json")
    assert refused.data["status"] == 403
    assert allowed.status == 200
    assert [asked.path for asked in platform.service.asked] == [path]


def _permissions() -> set[str]:
    return {
        "conversations:read", "conversations:status", "customers:read", "customers:write",
        "locations:read", "locations:write",
        "templates:read", "templates:send", "messages:send", "data:export", "stats:read",
    }  # fmt: skip


@pytest.mark.parametrize("token", [None, "rbk_nonsense"])
def test_a_bad_token_is_answered_401_with_the_challenge(
    platform: Platform, token: str | None
) -> None:
    """Ringback itself answers the same: clients look at `WWW-Authenticate`."""
    answer = platform.ask(token)

    assert (answer.status, answer.headers["content-type"]) == (401, "application/problem+json")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert platform.service.asked == []


def test_a_revoked_token_gets_through_for_a_second_at_most(platform: Platform) -> None:
    """Nothing on the way keeps an answer."""
    token = platform.ringback.token("crm", "conversations:read")
    assert platform.ask(token["token"]).status == 200

    platform.ringback.admin.send("DELETE", f"/v1/tokens/{token['id']}")

    revoked_s = time.monotonic()
    wait_for("401", lambda: platform.ask(token["token"]).status == 401, IN_FORCE_S)
    assert time.monotonic() - revoked_s < IN_FORCE_S + 0.5


def test_what_was_asked_is_in_the_tokens_log(platform: Platform) -> None:
    """As it was asked of the chat API, by whom nginx saw; what the client claims of it is not
    believed.
    """
    token = platform.ringback.token("crm", "stats:read")
    claimed = {
        "X_Original_URI": "/innocent",
        "X_Forwarded_Uri": "/innocent",
        "X_Forwarded_For": "203.0.113.9",
        "Forwarded": "for=203.0.113.9",
    }

    platform.ask(
        token["token"],
        "GET",
        "/stats?from=1",
        **claimed,
        X_Original_Method="HEAD",
        X_Forwarded_Method="HEAD",
    )

    rows = wait_for(
        "the row",
        lambda: [row for row in _log(platform.ringback, token["id"]) if row["permission"]],
    )
    (asked,) = platform.service.asked
    assert [row["id"] for row in rows] == [asked.headers["x-ringback-request-id"]]
    assert (rows[0]["method"], rows[0]["path"], rows[0]["address"]) == (
        "GET",
        "/stats",
        "127.0.0.1",
    )
    assert (rows[0]["permission"], rows[0]["allowed"], rows[0]["status"]) == (
        "stats:read",
        True,
        None,
    )


def _log(ringback: Ringback, token_id: str) -> list[dict[str, Any]]:
    database = Database(ringback.database_url)
    with database.read() as connection:
        rows = [
            row._asdict()
            for row in connection.execute(
                sa.select(requests).where(requests.c.token_id == token_id)
            )
        ]
    database.close()
    return rows


def test_a_token_beyond_its_limit_gets_429() -> None:
    """auth_request by itself would make an error 500 of it."""
    ringback = Ringback(RATE_LIMIT="0.1")
    with contextlib.closing(ringback), _platform(ringback) as platform:
        first, second = (
            platform.ask(ringback.admin.token) for _ in range(2)
        )  # one that was not used yet

    assert first.status == 403
    assert (second.status, second.headers["content-type"]) == (429, "application/problem+json")
    assert 1 <= int(second.headers["retry-after"]) <= 10
    assert second.headers["ratelimit"].startswith('"default";r=0')


def test_a_location_that_names_no_permission_lets_no_one_through(ringback: Ringback) -> None:
    """Forgotten in one place, any token would do there."""
    token = ringback.token("crm", *_permissions())["token"]
    with _platform(ringback, ("set $needs stats:read;", "")) as platform:
        answer = platform.ask(token, "GET", "/stats")

        assert (answer.status, platform.service.asked) == (500, [])
    assert "permission" in answer.data["title"]


@pytest.mark.parametrize("path", ["/", "/admin", "/_ringback", "/Conversations"])
def test_what_is_not_named_is_not_there(platform: Platform, path: str) -> None:
    """The check's own place least of all."""
    token = platform.ringback.token("crm", *_permissions())["token"]

    assert platform.ask(token, "GET", path).status == 404
    assert platform.service.asked == []


@pytest.mark.parametrize(
    "path",
    ["/stats/..;/customers", "/stats/../customers", "/stats/%2e%2e/customers",
     "/stats%2f..%2fcustomers", "//customers", "/stats/..%5ccustomers",
     "/stats/%252e%252e/customers", "/stats\\..\\customers"],
)  # fmt: skip
def test_a_path_that_two_servers_may_read_differently_is_refused(
    platform: Platform, path: str
) -> None:
    """The permission of one place would open another."""
    token = platform.ringback.token("crm", "stats:read")["token"]

    assert platform.ask(token, "GET", path).status == 400
    assert platform.service.asked == []


def test_nothing_gets_through_while_ringback_is_away(
    ringback: Ringback, platform: Platform
) -> None:
    """The client is asked to come again, rather than refused for a bad token."""
    token = ringback.token("crm", "conversations:read")["token"]
    ringback.stop("serve")

    answer = platform.ask(token)

    assert (answer.status, answer.data["status"]) == (503, 503)
    assert platform.service.asked == []
    ringback.start("serve")
    assert platform.ask(token).status == 200
