"""Re-encryption of everything encrypted with the last of the secret keys, so that the older keys
can be dropped.

It works in slices, each a transaction of its own. So it may be interrupted and begun again, run
next to live processes, and twice at once. The contents do not change, so the directory's version
stays: no process has to load anything. Called by the command line.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import sqlalchemy as sa

from schemas.errors import SecretUnreadable
from schemas.ids import TokenId
from store.engine.database import Connection, Database
from store.engine.paging import Row
from store.tables import callbacks, tokens
from store.tokens.rows import lock_directory
from store.tokens.vault import SecretLocation, Vault

SLICE = 100
"""Rows of a transaction, during which no token is changed anywhere. More: those changes wait
longer. Fewer: more commits.
"""


@dataclass
class Tally:
    """What was done so far."""

    re_encrypted: int = 0
    """Secrets that are encrypted with the last key now, and were not before."""
    right_already: int = 0
    """Secrets that were encrypted with the last key before."""
    unreadable: set[TokenId] = field(default_factory=set)
    """Tokens with a secret that no key opens, without those that were revoked."""
    checked: int = 0
    """All secrets read so far."""


@dataclass(frozen=True)
class _Sealed:
    """A column that is encrypted."""

    column: sa.Column[bytes]
    rows: sa.Select[str, str, int | None, bytes]
    """The query of `id`, `token_id`, `revoked_at` and `sealed` of its rows."""


_SEALED = (
    _Sealed(
        tokens.c.signing_secrets,
        sa.select(
            tokens.c.id,
            tokens.c.id.label("token_id"),
            tokens.c.revoked_at,
            tokens.c.signing_secrets.label("sealed"),
        ),
    ),
    _Sealed(
        callbacks.c.headers,
        sa.select(
            callbacks.c.id,
            callbacks.c.token_id,
            tokens.c.revoked_at,
            callbacks.c.headers.label("sealed"),
        ).join_from(callbacks, tokens, tokens.c.id == callbacks.c.token_id),
    ),
)


def count(database: Database) -> int:
    """Return how many secrets there are."""
    with database.read() as connection:
        return sum(
            connection.scalar(sa.select(sa.func.count()).select_from(sealed.column.table)) or 0
            for sealed in _SEALED
        )


def rekey(database: Database, vault: Vault) -> Iterator[Tally]:
    """Re-encrypt everything, a slice at each step. The last tally is that of all slices."""
    tally = Tally()
    for sealed in _SEALED:
        done = ""
        while True:
            with database.write() as connection:
                rows = _slice(connection, sealed, done)
                _reseal(connection, vault, sealed.column, rows, tally)
            yield tally
            if len(rows) < SLICE:
                break
            done = rows[-1].id


def _slice(connection: Connection, sealed: _Sealed, done: str) -> list[Row]:
    """Return the next rows by id.

    The lock comes first. Everything that writes secrets takes it before, so none is written between
    reading one here and writing it back.
    """
    lock_directory(connection)
    row_id = sealed.column.table.c.id
    return list(connection.execute(sealed.rows.where(row_id > done).order_by(row_id).limit(SLICE)))


def _reseal(
    connection: Connection,
    vault: Vault,
    column: sa.Column[bytes],
    rows: list[Row],
    tally: Tally,
) -> None:
    resealed = []
    for row in rows:
        location, before = SecretLocation(column.table.name, column.name, row.id), bytes(row.sealed)
        tally.checked += 1
        try:
            content = vault.open(before, location)
        except SecretUnreadable:
            if row.revoked_at is None:
                tally.unreadable.add(row.token_id)
            continue
        if vault.is_current(before):
            tally.right_already += 1
        else:
            resealed.append({"row_id": row.id, "sealed": vault.seal(content, location)})
            tally.re_encrypted += 1
    if resealed:
        this = column.table.c.id == sa.bindparam("row_id")
        connection.execute(
            sa.update(column.table).where(this).values({column: sa.bindparam("sealed")}), resealed
        )
