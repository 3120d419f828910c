"""Which history of the database this is, and how far it has come: so that who remembers tokens
notices that what it remembers is not so.

A restore, or a fail-over that lost the last transactions, takes the directory's version back; a while later it is higher again. So each
change leaves a mark of chance at its version. What we knew goes on only where its mark stands at its version. Called by the directory;
`store.tokens.rows` leaves the marks.
"""

from typing import Any, NamedTuple

import sqlalchemy as sa

from schemas.errors import StoreUnavailable
from store.engine.database import Connection
from store.engine.prepared import Prepared
from store.tables import directory_marks, directory_version, tokens

MARKS_KEPT = 10_000
"""Changes that a process may have missed and still go on from where it was. More: a larger table.
Fewer: whoever was cut off for a while loads every token again.
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
_read_only: dict[str, sa.ColumnElement[Any]] = {
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
    """How far a history has come. `mark`: None where a process of an older release made the last
    change. `newest`: the highest version of a token; when it alone moves, tokens were written by
    somebody else, such as a restore that fills table after table.
    """

    version: int
    mark: str | None
    newest: int | None


class Reading(NamedTuple):
    """`continues`: what is known at the position that was asked about is still so, but for what
    changed since.
    """

    position: DirectoryPosition
    continues: bool
    writable: bool


def read(connection: Connection, known: DirectoryPosition | None) -> Reading:
    """Where the database is, and whether it came there from `known`. Raises StoreUnavailable while
    it is not whole.
    """
    rows = (
        _READ[connection.dialect.name]
        .run(connection, {"known_version": known.version if known else -1})
        .all()
    )
    if not rows:
        raise StoreUnavailable(
            "the database has no directory_version: it is being restored, or was only restored in part"
        )
    row: Any = rows[0]  # a Prepared's rows have no types
    version, mark, newest, mark_at_known, read_only = row
    position = DirectoryPosition(version, mark, newest)
    return Reading(
        position, known is not None and _continues(known, position, mark_at_known), not read_only
    )


def require_whole(connection: Connection) -> None:
    """Keys come last in a restore: without them tokens or their callbacks may still be missing.
    Raises StoreUnavailable.
    """
    if connection.dialect.name == "postgresql" and not connection.scalar(_KEYS):
        raise StoreUnavailable("the database is being restored: its tables have no keys yet")


def _continues(
    known: DirectoryPosition, found: DirectoryPosition, mark_at_known: str | None
) -> bool:
    if mark_at_known != known.mark:
        return False
    return found.version > known.version or found == known
