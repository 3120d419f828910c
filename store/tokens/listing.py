"""Lists of tokens: searched, sorted, by state. Reads only; called by the API and the command line.

A token's state follows from its columns and the time; here that is said once more, in SQL, for
choosing by it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from schemas.folding import folded
from schemas.ids import TokenId
from schemas.listings import Page
from schemas.times import UnixMs
from schemas.tokens.tokens import Token, TokenState
from store.engine.database import Connection
from store.engine.paging import after, page
from store.tables import tokens
from store.tokens.rows import read_tokens
from store.tokens.vault import Vault


class TokenSort(StrEnum):
    """A minus sign: the greatest first."""

    NAME = "name"
    NAME_DESCENDING = "-name"
    CREATED = "created_at"
    CREATED_DESCENDING = "-created_at"


@dataclass(frozen=True, slots=True)
class TokenFilter:
    """`search` finds part of a name, whatever its case, or a whole id. Without a state, revoked
    tokens are left out.
    """

    search: str | None = None
    state: TokenState | None = None
    sort: TokenSort = TokenSort.NAME


def list_tokens(
    connection: Connection,
    vault: Vault,
    chosen: TokenFilter,
    now: UnixMs,
    limit: int,
    cursor: str | None = None,
) -> Page[Token]:
    """Raises Invalid for a cursor that is none."""
    rows = connection.execute(_page_query(chosen, now, limit, cursor)).all()
    column = _column(chosen.sort).name
    return page(
        rows,
        limit,
        lambda row: (getattr(row, column), row.id),
        lambda shown: read_tokens(connection, vault, shown),
    )


def _page_query(chosen: TokenFilter, now: UnixMs, limit: int, cursor: str | None) -> sa.Select[Any]:
    """Sorts what it finds: tokens are some thousands, and their list is no hot path."""
    descending = chosen.sort.startswith("-")
    key = (_column(chosen.sort), tokens.c.id)
    conditions = [_in_state(chosen.state, now), *after(key, cursor, descending=descending)]
    if chosen.search is not None:
        found = tokens.c.folded.contains(folded(chosen.search), autoescape=True)
        conditions.append(sa.or_(found, tokens.c.id == chosen.search))
    order = (column.desc() if descending else column.asc() for column in key)
    return sa.select(tokens).where(*conditions).order_by(*order).limit(limit + 1)


def _column(sort: TokenSort) -> sa.Column[Any]:
    """Names are sorted as they are searched: by letters without case, and alike on every database.
    """
    return (
        tokens.c.folded
        if sort in {TokenSort.NAME, TokenSort.NAME_DESCENDING}
        else tokens.c.created_at
    )


def _in_state(state: TokenState | None, now: UnixMs) -> sa.ColumnElement[bool]:
    """`Token.state` as a condition."""
    c = tokens.c
    kept = c.revoked_at.is_(None)
    alive = sa.and_(kept, sa.or_(c.expires_at.is_(None), c.expires_at > now))
    conditions = {
        None: kept,
        TokenState.REVOKED: c.revoked_at.is_not(None),
        TokenState.EXPIRED: sa.and_(kept, c.expires_at <= now),
        TokenState.SUSPENDED: sa.and_(alive, c.enabled.is_(False)),
        TokenState.SCHEDULED: sa.and_(alive, c.enabled, c.activates_at > now),
        TokenState.ACTIVE: sa.and_(alive, c.enabled, c.activates_at <= now),
    }
    return conditions[state]


def known_tokens(connection: Connection, token_ids: Iterable[TokenId]) -> set[TokenId]:
    """Those that there are, in whatever state."""
    return set(
        connection.execute(
            sa.select(tokens.c.id).where(tokens.c.id.in_(sorted(token_ids)))
        ).scalars()
    )
