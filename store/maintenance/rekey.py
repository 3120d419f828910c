"""Everything encrypted, encrypted anew with the last of the secret keys, so that the older ones can
be dropped.

In slices, each a transaction of its own: it may be interrupted and begun again, run beside live
processes, and twice at once. What is encrypted means what it meant, so the directory's version
stays: nobody has to load anything. Called by the command line.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from schemas.errors import SecretUnreadable
from schemas.ids import TokenId
from store.engine.database import Connection, Database
from store.tables import callbacks, tokens
from store.tokens.rows import lock_directory
from store.tokens.vault import SecretLocation, Vault

SLICE = 100
"""Rows a transaction, while which no token is changed anywhere. More: those changes wait longer.
Fewer: more commits.
"""


@dataclass
class Tally:
    """What was found so far. `unreadable` are tokens with something that no key opens; those that
    were revoked need nothing any more.
    """

    re_encrypted: int = 0
    right_already: int = 0
    unreadable: set[TokenId] = field(default_factory=set)
    looked_at: int = 0


@dataclass(frozen=True)
class _Sealed:
    """A column that is encrypted, and a query that gives `id`, `token_id`, `revoked_at` and
    `sealed` of its rows.
    """

    column: sa.Column[bytes]
    rows: sa.Select[Any]


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
    """How much there is to look at."""
    with database.read() as connection:
        return sum(
            connection.scalar(sa.select(sa.func.count()).select_from(one.column.table)) or 0
            for one in _SEALED
        )


def rekey(database: Database, vault: Vault) -> Iterator[Tally]:
    """Goes on by a slice each time it is asked; the last tally is that of all."""
    tally = Tally()
    for sealed in _SEALED:
        done = ""
        while True:
            with database.write() as connection:
                rows = _slice(connection, sealed, done)
                _seal_anew(connection, vault, sealed.column, rows, tally)
            yield tally
            if len(rows) < SLICE:
                break
            done = rows[-1].id


def _slice(connection: Connection, sealed: _Sealed, done: str) -> list[sa.Row[Any]]:
    """The next rows by id. The lock comes first: whoever writes secrets takes it before, so none is
    written between reading one here and writing it back.
    """
    lock_directory(connection)
    row_id = sealed.column.table.c.id
    return list(connection.execute(sealed.rows.where(row_id > done).order_by(row_id).limit(SLICE)))


def _seal_anew(
    connection: Connection,
    vault: Vault,
    column: sa.Column[bytes],
    rows: list[sa.Row[Any]],
    tally: Tally,
) -> None:
    anew = []
    for row in rows:
        place, before = SecretLocation(column.table.name, column.name, row.id), bytes(row.sealed)
        tally.looked_at += 1
        try:
            content = vault.open(before, place)
        except SecretUnreadable:
            if row.revoked_at is None:
                tally.unreadable.add(row.token_id)
            continue
        if vault.is_current(before):
            tally.right_already += 1
        else:
            anew.append({"row_id": row.id, "sealed": vault.seal(content, place)})
            tally.re_encrypted += 1
    if anew:
        this = column.table.c.id == sa.bindparam("row_id")
        connection.execute(
            sa.update(column.table).where(this).values({column: sa.bindparam("sealed")}), anew
        )
