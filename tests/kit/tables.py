"""The tables of a database, without its migrations."""

import functools

import sqlalchemy as sa

from store import tables
from store.engine.database import Database


def lay_tables(database: Database) -> None:
    """Today's schema in one go, unless it is there; the migrations have tests of their own."""
    with database.engine.connect() as connection:
        if sa.inspect(connection).has_table(tables.directory_version.name):
            return
    script = _script(database.dialect) + (
        f";\nINSERT INTO {tables.directory_version.name} (one, version) VALUES (1, 0)"
    )
    raw = database.engine.raw_connection()
    try:
        if database.dialect == "sqlite":
            raw.driver_connection.executescript(f"BEGIN;\n{script};\nCOMMIT")
        else:
            raw.driver_connection.execute(script)
            raw.commit()
    finally:
        raw.close()


@functools.cache
def _script(dialect: str) -> str:
    """All statements that create the tables. They are sent at once: one by one they would take a
    third of a second, and most tests begin with them.
    """
    statements: list[str] = []
    engine = sa.create_mock_engine(
        f"{dialect}://",
        lambda made, *_: statements.append(str(made.compile(dialect=engine.dialect))),
    )
    tables.metadata.create_all(engine, checkfirst=False)
    return ";\n".join(statements)
