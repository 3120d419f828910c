"""Migrations: from nothing to exactly the tables of today, however many run them at once."""

import threading
import time

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from store.engine import migrate
from store.engine.database import Database
from store.engine.suitability import Unsuitable
from store.tables import directory_version, metadata
from tests.kit.locks import has_waiting_locks
from tests.kit.postgres import Postgres
from tests.kit.waiting import wait_for


@pytest.fixture
def empty(database_url: str) -> Database:
    return Database(database_url)


def test_migrating_from_nothing_gives_todays_tables(empty: Database) -> None:
    """A column added to the tables and forgotten in a migration fails here, and not at a user's
    upgrade.
    """
    assert migrate.current(empty) is None

    migrate.upgrade(empty)

    with empty.read() as connection:
        # Alembic takes SQLite's counting of rows for a missing default of the key.
        options = {"compare_type": True, "compare_server_default": empty.dialect == "postgresql"}
        assert (
            compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
        )
        indexes = {
            index["name"]
            for table in metadata.tables
            for index in sa.inspect(connection).get_indexes(table)
        }
        assert indexes >= {
            index.name for table in metadata.tables.values() for index in table.indexes
        }
        assert connection.execute(sa.select(directory_version)).all() == [(1, 0)]
    assert migrate.current(empty) == migrate.head()
    empty.close()


def test_migrating_again_changes_nothing(empty: Database) -> None:
    """`serve` does it at each start."""
    migrate.upgrade(empty)
    migrate.upgrade(empty)

    assert migrate.current(empty) == migrate.head()
    empty.close()


def test_processes_that_migrate_at_once_wait_for_each_other(postgres: Postgres) -> None:
    """Ten pods start together: one migrates, the others find it done."""
    url = postgres.fresh_database()
    databases = [Database(url, pool_size=1) for _ in range(4)]
    failures: list[Exception] = []

    def run(database: Database) -> None:
        try:
            migrate.upgrade(database)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test tells it
            failures.append(error)

    threads = [threading.Thread(target=run, args=(database,)) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert migrate.current(databases[0]) == migrate.head()
    for database in databases:
        database.close()


def test_a_migration_that_waits_for_a_reader_keeps_no_process_waiting(postgres: Postgres) -> None:
    """A backup reads every table for an hour. What runs goes on meanwhile, and the migration ends
    when it can.
    """
    url = postgres.fresh_database()
    database, other = Database(url), Database(url)
    with database.write() as connection:
        command.upgrade(migrate._config(connection), "initial")
    migrating = threading.Thread(target=migrate.upgrade, args=(database,))

    with other.read() as backup:
        backup.execute(sa.text("SELECT id FROM tokens")).all()
        migrating.start()
        wait_for("it waits for the table", lambda: has_waiting_locks(other))
        with other.write() as connection:  # queues behind the migration, which gives way
            began = time.monotonic()
            connection.execute(sa.text("SET LOCAL lock_timeout = '10s'"))
            connection.execute(sa.text("SELECT count(*) FROM tokens"))
        waited_s = time.monotonic() - began
        assert migrating.is_alive()
    migrating.join(30)

    assert waited_s < 2 * migrate.LOCK_WITHIN_S + 1
    assert migrate.current(database) == migrate.head()
    database.close()
    other.close()


def test_a_database_of_an_unknown_version_is_refused_in_a_line(empty: Database) -> None:
    """It was made by a newer program, or before the first release: nothing in it is touched."""
    migrate.upgrade(empty)
    version = sa.table("alembic_version", sa.column("version_num"))
    with empty.write() as connection:
        connection.execute(sa.update(version).values(version_num="0008"))

    with pytest.raises(Unsuitable, match="at version 0008, which this program does not know"):
        migrate.upgrade(empty)

    assert migrate.current(empty) == "0008"
    empty.close()
