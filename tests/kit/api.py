"""The API on a SQLite store of the test's own, with a publisher that keeps what it is given, in
this process.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from werkzeug.test import TestResponse

from api.application import Application, create_app
from api.front import ApiFront
from api.parts import ApiParts, CallTerms
from exchange.port import Outgoing
from schemas.deliveries.deliveries import DeliveryState
from schemas.errors import ExchangeUnavailable
from schemas.events.types import EventType
from schemas.ids import CallbackId, TokenId
from schemas.log_events import LogEvent
from schemas.observer import NullObserver
from schemas.readiness import Readiness
from schemas.times import UnixMs
from schemas.tokens.permissions import Permission
from schemas.tokens.target_policy import TargetPolicy
from store.directory.directory import Directory
from store.engine.database import Database
from store.events import claims
from store.request_log.writer import RequestLog
from store.tables import deliveries
from store.tokens.vault import Vault
from tests.kit.front_client import FrontClient
from tests.kit.loop_thread import LoopThread
from tests.kit.making import a_claim
from tests.kit.tables import lay_tables
from tests.kit.tokens import TESTER, token_fields
from web.server.threads import RequestThreads

RECEIVED = EventType.MESSAGE_RECEIVED
URL = "https://x.example/hook"
CALL_TERMS = CallTerms(
    timeout=timedelta(seconds=15),
    connect_timeout=timedelta(seconds=5),
    retry_delays=[timedelta(seconds=7), timedelta(hours=3)],
    concurrency=16,
    disable_after=timedelta(days=5),
    retention=timedelta(days=30),
)

BOTH_DOORS = pytest.mark.parametrize("door", ["front", "wsgi"])
"""For tests of views that run on the event loop: they are asked there, and as WSGI servers ask."""


@dataclass
class KeepingPublisher:
    """Durable in a list. `is_away` makes it refuse."""

    published: list[Outgoing] = field(default_factory=list)
    is_away: bool = False

    async def publish(self, outgoing: Sequence[Outgoing]) -> None:
        if self.is_away:
            raise ExchangeUnavailable("nothing takes it")
        self.published += outgoing

    def connected(self) -> bool:
        return not self.is_away

    async def close(self) -> None:
        """Holds nothing."""


class Listening(NullObserver):
    """Keeps what is reported to it."""

    def __init__(self) -> None:
        self.accepted: list[EventType] = []
        self.rejected: list[str] = []
        self.refused: list[str] = []
        self.requests: list[tuple[str, str, int]] = []
        self.cancelled: list[tuple[EventType, int]] = []
        self.notes: list[tuple[str, dict[str, object]]] = []

    def event_accepted(self, kind: EventType, count: int = 1) -> None:
        self.accepted += [kind] * count

    def event_rejected(self, slug: str) -> None:
        self.rejected.append(slug)

    def auth_failed(self, reason: str) -> None:
        self.refused.append(reason)

    def http_request(self, route: str, method: str, status: int, duration_s: float) -> None:
        assert 0 <= duration_s < 60
        self.requests.append((route, method, status))

    def settled(self, kind: EventType, state: DeliveryState, count: int = 1) -> None:
        assert state is DeliveryState.CANCELLED
        self.cancelled.append((kind, count))

    def log(self, event: LogEvent, **fields: object) -> None:
        self.notes.append((event, fields))


class House:
    """One API. Its directory polls only when a request makes it, unless `directory.start()` is
    called; nor is its request log written but by `flush`. It is asked behind the HTTP server's
    parser, or as any WSGI server would.
    """

    def __init__(self, folder: Path, *, by_wsgi: bool = False):
        self.by_wsgi = by_wsgi
        self.loop, self.threads = LoopThread(), RequestThreads(4)
        self.database = Database(f"sqlite:///{folder}/ringback.db")
        lay_tables(self.database)
        self.vault, self.publisher, self.observer = (
            Vault(["a-key-for-tests-" * 2]),
            KeepingPublisher(),
            Listening(),
        )
        self.directory = Directory(self.database, self.vault, self.observer)
        self.ready, self.missing = True, dict[str, str]()
        self.unlogged: list[int] = []
        self.request_log = RequestLog(self.database, self.unlogged.append, self.observer)
        self.metrics = b"ringback_build_info 1\n"
        self.parts = ApiParts(
            database=self.database,
            vault=self.vault,
            directory=self.directory,
            publisher=self.publisher,
            loop=self.loop.loop,
            threads=self.threads,
            observer=self.observer,
            policy=TargetPolicy(),
            public_url="https://ringback.example",
            # with the two seconds of grace: a test of a callback waits a tenth of a second
            timeout_s=-1.9,
            call_terms=CALL_TERMS,
            request_log=self.request_log,
            trusted_proxies=(),
            rate_limit=None,
            platform_docs_url=None,
            token_max_life=None,
            metrics=self._metrics,
            readiness=lambda: Readiness(self.ready, self.missing),
            version="9.9.9",
        )
        self.app: Application = create_app(self.parts)

    def use(self, **changed: Any) -> None:
        """Another API on the same store, some of its parts changed."""
        self.parts = replace(self.parts, **changed)
        self.app = create_app(self.parts)

    def open(self, path: str, **request: Any) -> TestResponse:
        """Ask it; `request` is for werkzeug's `EnvironBuilder`."""
        if self.by_wsgi:
            return self.app.test_client().open(path, **request)
        return FrontClient(ApiFront(self.app, self.parts), self.loop).open(path, **request)

    def secret(self, *permissions: Permission) -> str:
        """The secret of a new token."""
        return self.parts.tokens.create(
            token_fields("caller", *permissions), {}, UnixMs(1), TESTER
        ).secret

    def caller(self, *permissions: Permission) -> "Caller":
        return Caller(self, self.secret(*permissions))

    def _metrics(self) -> tuple[bytes, str]:
        return self.metrics, "text/plain; version=0.0.4"

    def close(self) -> None:
        self.threads.close()
        self.loop.close()
        self.directory.close()
        self.database.close()


@dataclass
class Caller:
    """Speaks to a house with one token, or with None."""

    house: House
    secret: str | None

    def call(self, method: str, path: str, json: object = None, **more: Any) -> TestResponse:
        """`more` goes to werkzeug's client: `data`, `content_type`, `headers`, …"""
        headers = {"Authorization": f"Bearer {self.secret}"} if self.secret else {}
        sent = {"headers": headers | more.pop("headers", {})} | more
        if json is not None:
            sent["json"] = json
        return self.house.open(path, method=method, **sent)


def callback_path(token: dict[str, Any], kind: str = "message.received") -> str:
    return f"/v1/tokens/{token['id']}/callbacks/{kind}"


def callback_id(house: House, token: dict[str, Any]) -> CallbackId:
    return house.parts.tokens.get(TokenId(token["id"])).callbacks[RECEIVED].id


def deliver(house: House, token: dict[str, Any], event_id: str = "evt_1", **columns: object) -> str:
    """A claimed event with one delivery of this token; its id."""
    to = callback_id(house, token)
    row = {
        "event_id": event_id,
        "callback_id": to,
        "token_id": token["id"],
        "type": "message.received",
        "state": "pending",
        "created_at": 7,
    }
    with house.database.write() as connection:
        claims.claim(connection, [a_claim(event_id, to)], UnixMs(1))
        connection.execute(
            sa.insert(deliveries).values(
                row | {"leased": False, "lease": 0, "failures": 0, "due_at": 9} | columns
            )
        )
    return f"dlv_{to}_{event_id}"
