"""Every token and every callback for the export, those of revoked tokens too, in the order in which
the tokens were created.

They are read in pages, each in a transaction of its own, so that no export holds a connection or
keeps the database from tidying up. Signing secrets stay sealed, and values of headers are not
returned. Called by the export.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from schemas.errors import SecretUnreadable
from schemas.ids import TokenId
from schemas.times import UnixMs
from schemas.tokens.tokens import Callback, Token
from store.engine.database import Database
from store.engine.paging import Row
from store.engine.sql_types import SqlSelect
from store.tables import callbacks, tokens
from store.tokens.rows import read_callback, read_token_alone
from store.tokens.vault import Vault

_PAGE = 1_000
"""Rows of a transaction. More: longer transactions. Fewer: more of them."""


class OwnedCallback(NamedTuple):
    """A callback with what the export shows of its token."""

    token_id: TokenId
    token_name: str
    token_revoked_at: UnixMs | None
    callback: Callback
    header_names: Sequence[str] | None
    """Sorted; None: they cannot be read, because the key is missing."""


class Everything:
    """All tokens that exist when this object is created. Later ones are in none of its lists.

    tokens_total, callbacks_total: how many there are at that moment.
    """

    def __init__(self, database: Database, vault: Vault):
        self._database, self._vault = database, vault
        with database.read() as connection:
            self._last_id: str = connection.scalar(sa.select(sa.func.max(tokens.c.id))) or ""
            self.tokens_total = (
                connection.scalar(sa.select(sa.func.count()).select_from(tokens)) or 0
            )
            self.callbacks_total = (
                connection.scalar(sa.select(sa.func.count()).select_from(callbacks)) or 0
            )

    def tokens(self) -> Iterator[Token]:
        """Yield the tokens, without their callbacks and secrets."""
        query = sa.select(tokens).where(tokens.c.id <= self._last_id)
        return map(read_token_alone, self._rows(query, (tokens.c.id,)))

    def callbacks(self) -> Iterator[OwnedCallback]:
        """Yield the callbacks of all tokens, without values of headers."""
        query = sa.select(callbacks, tokens.c.name, tokens.c.revoked_at).join_from(
            callbacks, tokens, tokens.c.id == callbacks.c.token_id
        )
        query = query.where(callbacks.c.token_id <= self._last_id)
        return map(self._owned, self._rows(query, (callbacks.c.token_id, callbacks.c.type)))

    def _owned(self, row: Row) -> OwnedCallback:
        try:
            callback = read_callback(row, self._vault)
            names = sorted(callback.headers)
        except SecretUnreadable:
            callback, names = read_callback(row, None), None
        return OwnedCallback(callback.token_id, row.name, row.revoked_at, callback, names)

    def _rows(self, query: SqlSelect, key: Sequence[sa.Column[str]]) -> Iterator[Row]:
        query = query.order_by(*key).limit(_PAGE)
        following = query
        while True:
            with self._database.read() as connection:
                rows = connection.execute(following).all()
            yield from rows
            if len(rows) < _PAGE:
                return
            last = sa.tuple_(*(getattr(rows[-1], column.name) for column in key))
            following = query.where(sa.tuple_(*key) > last)
