"""Bringing a database up to date: Alembic's migrations, run by program.

Called by `ringback migrate`, `serve` and the tests.
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_random

from schemas.errors import StatementTimedOut
from store.engine.database import Connection, Database
from store.engine.suitability import Unsuitable, require_migratable

LOCK_WITHIN_S = 2
"""How long a migration waits for a table that another one uses. Longer: running processes wait with
it. Shorter: on a busy table it begins again more often.
"""

TRIED_FOR_S = 600
"""How long it is tried. Longer: its caller learns later that a reader holds a table."""

_SCRIPTS = Path(__file__).parents[1] / "migrations"
_LOCK = 0x52_49_4E_47  # "RING": any number, as long as it stays the same


def upgrade(database: Database) -> None:
    """Run the missing migrations, all or none.

    Two processes may do so at once: the second waits, then finds nothing to do. Raises Unsuitable
    when the database has to be set up otherwise first.
    """
    version = current(database)
    if version is not None and version not in _known():
        raise Unsuitable(
            f"the database is at version {version}, which this program does not know: it was made by "
            "a newer program, or by a development version before 0.1.0. Use the program that made it, "
            "or a new, empty database"
        )
    if version != head():
        require_migratable(database)
    _again_while_locked(_run)(database)


def _run(database: Database) -> None:
    with database.write() as connection:
        if database.dialect == "postgresql":
            # A migration may take longer than any request may, and so may waiting for another one.
            connection.execute(sa.text("SET LOCAL lock_timeout = 0"))
            connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            # Not so for a table that someone reads for long, such as pg_dump: every statement of
            # the running processes would wait behind this one.
            connection.execute(sa.text(f"SET LOCAL lock_timeout = '{LOCK_WITHIN_S}s'"))
        command.upgrade(_config(connection), "head")


_again_while_locked = retry(
    retry=retry_if_exception_type(StatementTimedOut),
    wait=wait_random(1, 3),
    stop=stop_after_delay(TRIED_FOR_S),
    reraise=True,
)


def current(database: Database) -> str | None:
    """Return the revision of the database; None when it has no tables of Ringback."""
    with database.read() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head() -> str | None:
    """Return the revision that this program needs."""
    return ScriptDirectory(str(_SCRIPTS)).get_current_head()


def _known() -> set[str]:
    return {script.revision for script in ScriptDirectory(str(_SCRIPTS)).walk_revisions()}


def _config(connection: Connection) -> Config:
    config = Config()
    scripts = str(_SCRIPTS).replace("%", "%%")  # configparser's escape
    config.set_main_option("script_location", scripts)
    config.attributes["connection"] = connection
    return config
