"""The database as subcommands open it: present and up to date, or one line that says what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from ringback.secret_key import secret_keys
from ringback.settings import Settings
from schemas.errors import RingbackError, StoreUnavailable, UsageError
from schemas.times import UnixMs
from store.engine import migrate
from store.engine.database import Database
from store.engine.suitability import require_usable
from store.tokens.tokens import Tokens
from store.tokens.vault import Vault


class NotMigrated(RingbackError):
    """There is no database yet, or it is older than this program."""


@contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    """Open the database for a block. Raises NotMigrated, StoreUnavailable."""
    path = settings.sqlite_path
    if path is not None and not path.exists():  # opening it would create an empty one
        raise NotMigrated(
            f"there is no database at {path}: start `ringback serve` there once, or run "
            "`ringback migrate`"
        )
    database = Database(settings.database_url)
    try:
        require_migrated(database)
        yield database
    finally:
        database.close()


@contextmanager
def opened_tokens(settings: Settings) -> Iterator[tuple[Tokens, UnixMs]]:
    """Open the tokens for a block, with the time of the store's clock, by which states are judged.

    Raises NotMigrated, StoreUnavailable.
    """
    with opened(settings) as database:
        yield Tokens(database, vault(settings), settings.token_max_life), database.time()


def require_migrated(database: Database) -> None:
    """Raise NotMigrated unless the database has the version that this program needs."""
    version, needed = migrate.current(database), migrate.head()
    if version != needed:
        raise NotMigrated(
            f"the database is at version {version or 'none'} and this program needs {needed}: run "
            "`ringback migrate`"
        )


def require_services(settings: Settings) -> None:
    """Check the database of a process that may run many times. An unavailable database is no reason
    not to start, as everything waits for it.

    Raises UsageError, NotMigrated, and Unsuitable for rights that are missing.
    """
    if settings.sqlite_path is not None:
        raise UsageError(
            "RINGBACK_DATABASE_URL: SQLite serves one process: use `ringback serve`, or "
            "postgresql+psycopg://…"
        )
    database = Database(settings.database_url)
    try:
        require_migrated(database)
        require_usable(database)
    except StoreUnavailable as error:
        click.echo(f"ringback: starting without the database: {error}", err=True)
    finally:
        database.close()


def vault(settings: Settings) -> Vault:
    """Return what encrypts and decrypts secrets."""
    return Vault(secret_keys(settings))
