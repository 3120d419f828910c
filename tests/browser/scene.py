"""A Ringback with a bit of everything in it, and the addresses at which every page can be seen."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from playwright.sync_api import Browser, StorageState

from schemas.events.types import EventType
from schemas.passwords import password_hash
from schemas.people import Role
from schemas.saved_views import SavedView
from store.engine.database import Database
from store.people.people import People
from store.people.saved_views import SavedViews
from tests.kit.browser import Window, window
from tests.kit.platform import MESSAGE, deliveries_of, message
from tests.kit.receiver import Receiver
from tests.kit.ringback import Ringback
from tests.kit.tokens import TESTER
from tests.kit.waiting import wait_for

PASSWORD = "correct horse battery"
_HASH = password_hash(PASSWORD)


def add_people(ringback: Ringback) -> None:
    """One person of each role, such as admin@example.com."""
    database = Database(ringback.database_url)
    people = People(database)
    for role in Role:
        people.add(f"{role}@example.com", role, TESTER)
        people.set_password_hash(f"{role}@example.com", _HASH, TESTER)
    saved = SavedView("Given up", "/deliveries?state=exhausted")
    SavedViews(database).save("admin@example.com", saved)
    database.close()


@dataclass
class Scene:
    """The Ringback, and what is in it."""

    ringback: Ringback
    receiver: Receiver
    ids: Mapping[str, str]
    """Values for the variable parts of addresses: `token_id`, `delivery_id`, `event_id`, …"""
    _cookies: dict[Role, StorageState] = field(default_factory=dict)
    """Cookies of those who signed in, so that each does so once."""
    _links: dict[str, str] = field(default_factory=dict)
    """Links to suppliers' pages, by the token's id."""

    @classmethod
    @contextmanager
    def made(cls) -> Iterator["Scene"]:
        """One token whose callback works, one whose fails, one without any, and some traffic."""
        with Receiver() as receiver:
            ringback = Ringback(RETRY_SCHEDULE="100ms,1h")
            try:
                add_people(ringback)
                yield cls(ringback, receiver, _fill(ringback, receiver))
            finally:
                ringback.close()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.ringback.port}"

    @contextmanager
    def window(self, browser: Browser, role: Role | None = None) -> Iterator[Window]:
        """A window in which a person of this role is signed in."""
        known = self._cookies.get(role) if role else None
        opened = window(browser, self.base, known)
        if role and known is None:
            opened.sign_in(f"{role}@example.com", PASSWORD)
            self._cookies[role] = opened.page.context.storage_state()
        yield opened
        opened.page.context.close()

    def open_as_supplier(self, browser: Browser, window: Window, token_id: str) -> None:
        """Open a link to a token's page, which an administrator makes."""
        if token_id not in self._links:
            with self.window(browser, Role.ADMIN) as admin:
                admin.open(f"/tokens/{token_id}/supplier")
                admin.page.get_by_role("button", name="Make a link").click()
                self._links[token_id] = admin.page.get_by_label("The link").input_value()
        window.page.goto(self._links[token_id])

    def filled(self, address: str) -> str:
        """Return an address with its variable parts filled in."""
        return filled(address, self.ids)


def filled(address: str, ids: Mapping[str, str]) -> str:
    """Return an address with its variable parts filled in."""
    return re.sub("<([a-z_]+)>", lambda found: ids[found[1]], address)


def _fill(ringback: Ringback, receiver: Receiver) -> dict[str, str]:
    receiver.switch("broken", 500)
    urls = {kind.value: receiver.url("/ok/x?key=s3cret") for kind in EventType}
    working = ringback.token("ACME CRM", "conversations:read", callbacks=urls)
    broken = ringback.token("Broken Ltd", callbacks={MESSAGE: receiver.url("/switch/broken/x")})
    empty = ringback.token("No callbacks yet", channels=("chn_1",))
    ids = [ringback.publisher.publish(message(number)) for number in range(12)]
    recovery = ringback.admin.send(
        "POST", "/v1/recoveries", {"since": "2020-01-01T00:00:00Z", "states": ["exhausted"]}
    )
    return {
        "token_id": working["id"],
        "broken_id": broken["id"],
        "empty_id": empty["id"],
        "event_id": ids[0],
        "delivery_id": _of(ringback, ids[0], working["id"], "delivered"),
        "failed_id": _of(ringback, ids[0], broken["id"], "pending"),
        "recovery_id": recovery["id"],
    }


def _of(ringback: Ringback, event_id: str, token_id: str, state: str) -> str:
    """The delivery of an event to a token, once it has this state."""

    def found() -> str | None:
        there = [
            one["id"]
            for one in deliveries_of(ringback.admin, event_id)
            if (one["token_id"], one["state"]) == (token_id, state)
        ]
        return there[0] if there else None

    return wait_for(f"its delivery to be {state}", found) or ""
