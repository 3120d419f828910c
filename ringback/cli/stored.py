"""The database as subcommands open it: there, and up to date, or one line that says what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

from ringback.secret_key import secret_keys
from ringback.settings import Settings
from schemas.errors import RingbackError
from store import migrate
from store.database import Database
from store.vault import Vault


class NotMigrated(RingbackError):
    """There is no database yet, or it is older than this program."""


@contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    """Raises NotMigrated, StoreUnavailable."""
    if settings.sqlite_path is not None and not settings.sqlite_path.exists():  # opening it would make an empty one
        raise NotMigrated(f"there is no database at {settings.sqlite_path}: start `ringback serve` there once, or run `ringback migrate`")
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
        raise NotMigrated(f"the database is at version {found or 'none'} and this program needs {needed}: run `ringback migrate`")


def vault(settings: Settings) -> Vault:
    return Vault(secret_keys(settings))
