"""The database as subcommands open it: there, and up to date, or one line that says what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from ringback.secret_key import secret_keys
from ringback.settings import Settings
from schemas.errors import RingbackError, StoreUnavailable, UsageError
from store.engine import migrate
from store.engine.database import Database
from store.tokens.vault import Vault


class NotMigrated(RingbackError):
    """There is no database yet, or it is older than this program."""


@contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    """Raises NotMigrated, StoreUnavailable."""
    if (
        settings.sqlite_path is not None and not settings.sqlite_path.exists()
    ):  # opening it would make an empty one
        raise NotMigrated(
            f"there is no database at {settings.sqlite_path}: start `ringback serve` there once, or run `ringback migrate`"
        )
    database = Database(settings.database_url)
    try:
        require_migrated(database)
        yield database
    finally:
        database.close()


def require_migrated(database: Database) -> None:
    """Raises NotMigrated."""
    found, needed = migrate.current(database), migrate.head()
    if found != needed:
        raise NotMigrated(
            f"the database is at version {found or 'none'} and this program needs {needed}: run `ringback migrate`"
        )


def require_services(settings: Settings) -> None:
    """For processes of which there are several. A database that is away is no reason not to start:
    everything waits for it.

    Raises UsageError, NotMigrated.
    """
    if settings.sqlite_path is not None:
        raise UsageError(
            "RINGBACK_DATABASE_URL: SQLite is for one process: use `ringback serve`, or postgresql+psycopg://…"
        )
    database = Database(settings.database_url)
    try:
        require_migrated(database)
    except StoreUnavailable as error:
        click.echo(f"ringback: starting all the same: {error}", err=True)
    finally:
        database.close()


def vault(settings: Settings) -> Vault:
    return Vault(secret_keys(settings))
