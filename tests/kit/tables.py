"""The tables of a database, without its migrations."""

import sqlalchemy as sa

from store import tables
from store.engine.database import Database


def lay_tables(database: Database) -> None:
    """Today's schema in one go, unless it is there; the migrations have tests of their own."""
    tables.metadata.create_all(database.engine)
    with database.write() as connection:
        if not connection.scalar(sa.select(sa.func.count()).select_from(tables.directory_version)):
            connection.execute(sa.insert(tables.directory_version).values(one=1, version=0))
