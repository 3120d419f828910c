"""Saved views, on SQLite and on PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from schemas.errors import Conflict, NotFound
from schemas.saved_views import MOST_VIEWS, SavedView
from store.engine.database import Database
from store.people.people import People
from store.people.saved_views import SavedViews, views_of
from tests.kit.people import ANN, BOB, add_people
from tests.kit.tokens import TESTER

VIEW = SavedView("Given up", "/deliveries?state=exhausted")


def of(database: Database, email: str) -> list[SavedView]:
    with database.read() as connection:
        return views_of(connection, email)


def test_views_are_kept_by_person_and_name(database: Database) -> None:
    """In the order of their names."""
    add_people(database)
    views, other = SavedViews(database), SavedView("A", "/events?type=message.status")
    for email, view in ((BOB, VIEW), (BOB, other), (ANN, VIEW)):
        views.save(email, view)
    views.save(BOB, SavedView("A", "/events"))

    assert of(database, BOB) == [SavedView("A", "/events"), VIEW]
    views.forget(BOB, VIEW.name)
    assert of(database, BOB) == [SavedView("A", "/events")]
    assert of(database, ANN) == [VIEW]


def test_only_people_have_views(database: Database) -> None:
    """Those of a person who is removed go, too."""
    add_people(database)
    views = SavedViews(database)
    views.save(BOB, VIEW)

    People(database).remove(BOB, TESTER)

    assert of(database, BOB) == []
    with pytest.raises(NotFound):
        views.save(BOB, VIEW)


def test_there_are_never_too_many(database: Database) -> None:
    """However many are saved at the same time."""
    add_people(database)
    views = SavedViews(database)

    def save(number: int) -> bool:
        try:
            views.save(BOB, SavedView(f"View {number}", "/events"))
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        saved = sum(pool.map(save, range(MOST_VIEWS + 6)))

    assert saved == len(of(database, BOB)) == MOST_VIEWS
