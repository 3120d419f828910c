"""Views that people saved: each sees, replaces and deletes only their own. Called by the pages."""

import sqlalchemy as sa

from schemas.errors import Conflict
from schemas.saved_views import MOST_VIEWS, SavedView
from store.engine import bulk
from store.engine.database import Connection, Database
from store.people.rows import lock_person
from store.tables import saved_views

_c = saved_views.c
_REPLACE = bulk.Upsert(["address"])


class SavedViews:
    """The saved views of one database. Every method raises StoreUnavailable."""

    def __init__(self, database: Database):
        self._database = database

    def save(self, email: str, view: SavedView) -> None:
        """Save a view, in place of the person's earlier one of this name. Raises NotFound for an
        unknown person, and Conflict when the person has too many.
        """
        with self._database.write() as connection:
            lock_person(connection, email)
            names = {one.name for one in views_of(connection, email)}
            if view.name not in names and len(names) >= MOST_VIEWS:
                raise Conflict(f"you have {MOST_VIEWS} saved views: forget one first")
            row = {"email": email, "name": view.name, "address": view.address}
            bulk.insert(connection, saved_views, [row], _REPLACE)

    def forget(self, email: str, name: str) -> None:
        """Delete a view, if there is one of this name."""
        with self._database.write() as connection:
            connection.execute(sa.delete(saved_views).where(_c.email == email, _c.name == name))


def views_of(connection: Connection, email: str) -> list[SavedView]:
    """Return a person's views, by name."""
    rows = connection.execute(
        sa.select(_c.name, _c.address).where(_c.email == email).order_by(_c.name)
    )
    return [SavedView(row.name, row.address) for row in rows]
