"""The pages on a SQLite store of the test's own, in this process: what a browser would be sent."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from werkzeug.test import Client, TestResponse

from dashboard.application import PagesApplication, create_pages
from dashboard.parts import PageParts
from schemas.passwords import password_hash
from schemas.people import Role
from schemas.readiness import Readiness
from schemas.tokens.target_policy import TargetPolicy
from store.directory.directory import Directory
from store.engine.database import Database
from store.tokens.vault import Vault
from tests.kit.api import Listening
from tests.kit.people import sign_in
from tests.kit.tables import lay_tables
from tests.kit.tokens import TESTER
from web.callback_tests import CallbackTests
from web.server.threads import RequestThreads

ORIGIN = "http://localhost"
PASSWORD = "correct horse battery"
_HASH = password_hash(PASSWORD)


class Site:
    """The pages, with one administrator and one viewer. `database` has our tables; without it they
    are laid in the folder.
    """

    def __init__(self, folder: Path, database: Database | None = None):
        self.threads = RequestThreads(4)
        self.database = database or _laid(folder)
        self.vault, self.observer = Vault(["a-key-for-tests-" * 2]), Listening()
        self.directory = Directory(self.database, self.vault, self.observer)
        self.parts = PageParts(
            database=self.database,
            vault=self.vault,
            directory=self.directory,
            threads=self.threads,
            observer=self.observer,
            policy=TargetPolicy(),
            public_url=ORIGIN,
            cookie_keys=(b"a key for cookies",),
            trusted_proxies=(),
            timeout_s=-1.9,
            max_life=None,
            platform_docs_url=None,
            readiness=lambda: Readiness(True, {}),
            gauges=dict,
            first_steps=tuple,
            version="9.9.9",
            callback_tests=CallbackTests(self.database, self.threads, time.monotonic_ns),
        )
        self.app: PagesApplication = create_pages(self.parts)
        for role in Role:
            self.parts.people.add(f"{role}@example.com", role, TESTER)
            self.parts.people.set_password_hash(f"{role}@example.com", _HASH, TESTER)

    def use(self, **changed: Any) -> None:
        """Other pages on the same store, some of their parts changed."""
        self.parts = replace(self.parts, **changed)
        self.app = create_pages(self.parts)

    def browser(self, role: Role | None = None) -> "Browser":
        """A browser, in which a person of this role is signed in: by the store, as checking a
        password takes a fifth of a second.
        """
        browser = Browser(self)
        if role:
            store = self.parts.database
            made = sign_in(store, f"{role}@example.com", store.time())
            browser.client.set_cookie("ringback", made.secret)
        return browser

    def close(self) -> None:
        self.threads.close()
        self.directory.close()
        self.database.close()


def _laid(folder: Path) -> Database:
    database = Database(f"sqlite:///{folder}/ringback.db")
    lay_tables(database)
    return database


class Browser:
    """Keeps cookies, and says with every form where it comes from."""

    def __init__(self, site: Site):
        self.client = Client(site.app)

    def open(self, path: str, **request: Any) -> TestResponse:
        """Look at a page."""
        return self.client.get(path, **request)

    def send(self, path: str, **fields: Any) -> TestResponse:
        """Send a form."""
        return self.client.post(path, data=fields, headers={"Origin": ORIGIN})
