"""Reading the tokens that changed since a version, for the directory. In pages, so that the first
load of very many tokens stays below the statement timeout.
"""

import operator
from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from schemas.errors import SecretUnreadable
from schemas.tokens.tokens import Token
from store import history
from store.engine.database import Connection
from store.engine.paging import bounded
from store.history import DirectoryPosition
from store.tables import tokens
from store.tokens.rows import TokenRow, read_tokens_or_reasons
from store.tokens.vault import Vault

_PAGE = 1_000
"""Tokens of a query. More: each takes longer. Fewer: more round trips for the first load."""

_ORDER = (tokens.c.version, tokens.c.id)


def changed_tokens(
    connection: Connection, vault: Vault, since: DirectoryPosition | None
) -> Iterator[tuple[Token, SecretUnreadable | None]]:
    """Yield each token that changed since a position, and why its secrets cannot be read, if so.

    Without a position, yield all tokens but the revoked ones: those can do nothing any more.
    Raises StoreUnavailable while the database is not whole.
    """
    if since is None:
        history.require_whole(connection)
    read_to = (since.version if since else -1, "")
    while rows := _page(connection, read_to, everything=since is None):
        yield from read_tokens_or_reasons(connection, vault, rows)
        read_to = (rows[-1].version, rows[-1].id)


def revoked_token(connection: Connection, vault: Vault, digest: bytes) -> Token | None:
    """Return the revoked token whose secret has this SHA-256; None: there is none."""
    query = sa.select(tokens).where(
        tokens.c.secret_hash == digest, tokens.c.revoked_at.is_not(None)
    )
    rows = connection.execute(query).all()
    return next((token for token, _ in read_tokens_or_reasons(connection, vault, rows)), None)


def _page(
    connection: Connection, after: tuple[int, str], *, everything: bool
) -> Sequence[TokenRow]:
    """Return the next tokens by version, and by id within a version.

    A settlement gives hundreds of tokens the same version, and a page may end among them.
    """
    query = (
        sa.select(tokens).where(*bounded(_ORDER, after, operator.gt)).order_by(*_ORDER).limit(_PAGE)
    )
    if everything:
        query = query.where(tokens.c.revoked_at.is_(None))
    return connection.execute(query).all()
