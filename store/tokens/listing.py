"""Lists of tokens: searched, sorted, by state. Called by the API and the command line."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

import sqlalchemy as sa

from schemas.folding import folded
from schemas.ids import TokenId
from schemas.listings import Page
from schemas.times import EARLIEST, LATEST, UnixMs
from schemas.tokens.tokens import CallbackState, Token, TokenState
from store.engine.database import Connection
from store.engine.paging import Key, Row, after, cursor_of, page
from store.engine.sql_types import SqlExpression, SqlSelect
from store.tables import callbacks, tokens
from store.tokens.rows import read_tokens
from store.tokens.states import callback_state, state_is
from store.tokens.vault import Vault


class TokenSort(StrEnum):
    """The order of a list. A minus sign: the greatest first."""

    NAME = "name"
    NAME_DESCENDING = "-name"
    CREATED = "created_at"
    CREATED_DESCENDING = "-created_at"
    EXPIRES = "expires_at"
    EXPIRES_DESCENDING = "-expires_at"
    USED = "last_used_at"
    USED_DESCENDING = "-last_used_at"

    @property
    def is_descending(self) -> bool:
        """Whether the greatest comes first."""
        return self.startswith("-")

    @property
    def reversed(self) -> "TokenSort":
        """The opposite order."""
        return TokenSort(self.removeprefix("-") if self.is_descending else f"-{self}")


class TokenSelection(StrEnum):
    """Tokens that may need attention."""

    EXPIRING = "expiring"
    NEVER_EXPIRES = "never_expires"
    UNUSED = "unused"
    WITHOUT_CALLBACKS = "without_callbacks"
    FAILING = "failing"


EXPIRING_MS = 30 * 86_400_000
"""Milliseconds within which a token expires that the list of expiring ones shows. More: a longer
list. Fewer: less time to see to it.
"""

UNUSED_MS = 90 * 86_400_000
"""Milliseconds without a request after which a token counts as unused. More: forgotten ones are
found later. Fewer: what is used each quarter looks forgotten.
"""


_SORTED_BY = "sorted_by"


@dataclass(frozen=True, slots=True)
class TokenFilter:
    """Which tokens a list shows, and in which order."""

    search: str | None = None
    """Part of a name, ignoring case, or a whole id; None: any token."""
    state: TokenState | None = None
    """Tokens in this state; None: all but the revoked ones."""
    sort: TokenSort = TokenSort.NAME
    selection: TokenSelection | None = None
    """Only these; None: any."""


class TokenPage(NamedTuple):
    """A page with its neighbours."""

    rows: list[Token]
    previous_cursor: str | None
    """`before` of the page before; None: this is the first one."""
    next_cursor: str | None
    """`cursor` of the page after; None: this is the last one."""


def list_tokens(
    connection: Connection,
    vault: Vault,
    wanted: TokenFilter,
    now: UnixMs,
    limit: int,
    cursor: str | None = None,
) -> Page[Token]:
    """Return a page of tokens with their callbacks. Raises Invalid for a malformed cursor."""
    rows = connection.execute(_page_query(wanted, now, limit, cursor)).all()
    return page(rows, limit, _key_of, lambda shown: read_tokens(connection, vault, shown))


def page_of_tokens(
    connection: Connection,
    vault: Vault,
    wanted: TokenFilter,
    now: UnixMs,
    limit: int,
    cursor: str | None = None,
    *,
    before: str | None = None,
) -> TokenPage:
    """Return a page as `list_tokens` does, or with `before` the page that ends at that cursor, and
    the cursors of both neighbours.
    """
    backwards = before is not None
    asked = replace(wanted, sort=wanted.sort.reversed) if backwards else wanted
    query = _page_query(asked, now, limit, before if backwards else cursor)
    found = connection.execute(query).all()
    rows = found[:limit][::-1] if backwards else found[:limit]
    has_more = len(found) > limit
    first, last = (cursor_of(_key_of(row)) for row in (rows[0], rows[-1])) if rows else (None, None)
    return TokenPage(
        read_tokens(connection, vault, rows),
        first if (has_more if backwards else cursor is not None) else None,
        last if backwards or has_more else None,
    )


def known_tokens(connection: Connection, token_ids: Iterable[TokenId]) -> set[TokenId]:
    """Return those of the given ids that exist, in any state."""
    return set(
        connection.execute(
            sa.select(tokens.c.id).where(tokens.c.id.in_(sorted(token_ids)))
        ).scalars()
    )


def _page_query(wanted: TokenFilter, now: UnixMs, limit: int, cursor: str | None) -> SqlSelect:
    """Return the query. It sorts its result: tokens are some thousands, and seldom listed."""
    descending = wanted.sort.is_descending
    key = (_sorted_by(wanted.sort), tokens.c.id)
    in_state = (
        tokens.c.revoked_at.is_(None) if wanted.state is None else state_is(wanted.state, now)
    )
    conditions = [in_state, *after(key, cursor, descending=descending)]
    if wanted.search is not None:
        in_name = tokens.c.folded.contains(folded(wanted.search), autoescape=True)
        conditions.append(sa.or_(in_name, tokens.c.id == wanted.search))
    if wanted.selection is not None:
        conditions.append(_is_selected(wanted.selection, now))
    order = (column.desc() if descending else column.asc() for column in key)
    columns = (tokens, key[0].label(_SORTED_BY))
    return sa.select(*columns).where(*conditions).order_by(*order).limit(limit + 1)


def _is_selected(selection: TokenSelection, now: UnixMs) -> sa.ColumnElement[bool]:
    c = tokens.c
    match selection:
        case TokenSelection.EXPIRING:
            return sa.and_(c.expires_at > now, c.expires_at <= now + EXPIRING_MS)
        case TokenSelection.NEVER_EXPIRES:
            return c.expires_at.is_(None)
        case TokenSelection.UNUSED:
            long_ago = now - UNUSED_MS
            could_be_used = sa.and_(c.created_at <= long_ago, c.activates_at <= long_ago)
            return sa.or_(
                c.last_used_at <= long_ago, sa.and_(c.last_used_at.is_(None), could_be_used)
            )
        case TokenSelection.WITHOUT_CALLBACKS:
            return sa.not_(sa.exists().where(callbacks.c.token_id == c.id))
        case TokenSelection.FAILING:
            state = callback_state().in_(
                [CallbackState.FAILING.value, CallbackState.DISABLED.value]
            )
            return sa.exists().where(callbacks.c.token_id == c.id, state)


def _sorted_by(sort: TokenSort) -> SqlExpression:
    """Return what to sort by.

    Names are sorted as they are searched: without case, and alike on every database. A token that
    never expires does so last; one that was never used was used before all others.
    """
    c = tokens.c
    match sort.removeprefix("-"):
        case TokenSort.CREATED:
            return c.created_at
        case TokenSort.EXPIRES:
            return sa.func.coalesce(c.expires_at, LATEST)
        case TokenSort.USED:
            return sa.func.coalesce(c.last_used_at, EARLIEST)
        case _:
            return c.folded


def _key_of(row: Row) -> Key:
    return getattr(row, _SORTED_BY), row.id
