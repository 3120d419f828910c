"""Which history of the database this is, and how far it has come. A process that holds tokens in
memory notices by it that what it holds is not so any more.

A restore, or a fail-over that lost the last transactions, takes the directory's version back; a
while later it is higher again. So each change leaves a random mark at its version. What a process
knows stays valid only where its mark is still stored at its version. Called by the directory;
`store.tokens.rows` writes the marks.
"""

from typing import Any, NamedTuple

import sqlalchemy as sa

from schemas.errors import StoreUnavailable
from store.engine.database import Connection
from store.engine.prepared import Prepared
from store.tables import directory_marks, directory_version, tokens

MARKS_KEPT = 10_000
"""Changes that a process may have missed and still continue from where it was. More: a larger
table. Fewer: a process that was cut off for a while loads every token again.
"""

_now, _known = directory_marks.alias("now"), directory_marks.alias("known")
_mark_now = (
    sa.select(_now.c.mark).where(_now.c.version == directory_version.c.version).scalar_subquery()
)
_mark_known = (
    sa.select(_known.c.mark)
    .where(_known.c.version == sa.bindparam("known_version"))
    .scalar_subquery()
)
_newest = sa.select(sa.func.max(tokens.c.version)).scalar_subquery()
_read_only: dict[str, sa.ColumnElement[bool]] = {
    "postgresql": sa.literal_column("current_setting('transaction_read_only') = 'on'"),
    "sqlite": sa.literal_column("0"),
}
_READ = {
    dialect: Prepared(
        sa.select(directory_version.c.version, _mark_now, _newest, _mark_known, read_only)
    )
    for dialect, read_only in _read_only.items()
}

_KEYS = sa.text(
    "SELECT to_regclass('pk_tokens') IS NOT NULL AND to_regclass('pk_callbacks') IS NOT NULL"
)


class DirectoryPosition(NamedTuple):
    """How far a history has come."""

    version: int
    """The version of the latest change to a token or a callback."""
    mark: str | None
    """The random mark of that change; None where a process of an older release made it."""
    newest: int | None
    """The highest version of a token; None: there are no tokens. When it alone moves, another
    program wrote tokens, such as a restore that fills table after table.
    """


class Reading(NamedTuple):
    """What the database says of itself at one moment."""

    position: DirectoryPosition
    """Where the database is."""
    continues: bool
    """Whether what was known at the position that was asked about is still so, except for what
    changed since.
    """
    writable: bool
    """Whether this server takes writes."""


def read(connection: Connection, known: DirectoryPosition | None) -> Reading:
    """Return where the database is, and whether it came there from `known`.

    Raises StoreUnavailable while the database is not whole.
    """
    rows = (
        _READ[connection.dialect.name]
        .run(connection, {"known_version": known.version if known else -1})
        .all()
    )
    if not rows:
        raise StoreUnavailable(
            "the database has no directory_version: it is being restored, or was only restored in"
            " part"
        )
    row: Any = rows[0]  # a Prepared's rows have no types
    version, mark, newest, mark_at_known, read_only = row
    position = DirectoryPosition(version, mark, newest)
    return Reading(
        position, known is not None and _continues(known, position, mark_at_known), not read_only
    )


def require_whole(connection: Connection) -> None:
    """Check that a restore is complete. Raises StoreUnavailable.

    Keys come last in a restore: without them tokens or their callbacks may still be missing.
    """
    if connection.dialect.name == "postgresql" and not connection.scalar(_KEYS):
        raise StoreUnavailable("the database is being restored: its tables have no keys yet")


def _continues(
    known: DirectoryPosition, position: DirectoryPosition, mark_at_known: str | None
) -> bool:
    if mark_at_known != known.mark:
        return False
    return position.version > known.version or position == known
