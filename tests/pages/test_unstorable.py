"""Texts that PostgreSQL cannot hold, in every part of a request: refused, and no internal error."""

from collections.abc import Iterator

import pytest

from dashboard.site_map import PAGES
from schemas.log_events import LogEvent
from schemas.people import Role
from store.engine.database import Database
from tests.kit.pages import Browser, Site
from tests.kit.postgres import Postgres
from tests.kit.tables import lay_tables
from tests.kit.tokens import TESTER

ODD = "a\0b"
PARAMETERS, FIELDS = ("email", "token"), ("email", "session", "callback_id")
"""Those that are looked for in the database as they come. All others are read by models."""


@pytest.fixture
def admin(site: Site, postgres: Postgres) -> Iterator[Browser]:
    """An administrator of pages on PostgreSQL: SQLite takes such texts."""
    before = site.parts.people.get("admin@example.com")
    database = Database(postgres.fresh_database())
    lay_tables(database)
    site.use(database=database)
    site.parts.people.add(before.email, Role.ADMIN, TESTER)
    assert before.password_hash
    site.parts.people.set_password_hash(before.email, before.password_hash, TESTER)
    yield site.browser(Role.ADMIN)
    database.close()


def test_no_page_fails_because_of_one(site: Site, admin: Browser) -> None:
    """In addresses and their parameters, and in the fields of forms."""
    for page in PAGES:
        path = page.rule.replace("<", "").replace(">", "%00")
        if page.changes:
            for name in FIELDS:
                admin.send(path, **{"role": "viewer", name: ODD}).close()
        else:
            for name in PARAMETERS:
                admin.open(path, query_string={name: ODD}).close()

    failed = [fields for event, fields in site.observer.notes if event is LogEvent.REQUEST_FAILED]
    assert failed == []


def test_it_is_said_to_be_the_request_s_fault(admin: Browser) -> None:
    """The person can do something about it; an operator cannot."""
    answer = admin.open("/people/person", query_string={"email": ODD})

    assert answer.status_code == 400
    assert "cannot be stored" in answer.text
