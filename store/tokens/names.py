"""Names of tokens, for lists that show the token of a row, and for finding a token by its name.
Reads only; called by the pages.
"""

from collections.abc import Iterable

import sqlalchemy as sa

from schemas.folding import folded
from schemas.ids import TokenId
from store.engine.database import Connection
from store.tables import tokens


def names_of(connection: Connection, token_ids: Iterable[TokenId]) -> dict[TokenId, str]:
    """Return the names of these tokens, whatever their state."""
    wanted = sorted(set(token_ids))
    if not wanted:
        return {}
    rows = connection.execute(sa.select(tokens.c.id, tokens.c.name).where(tokens.c.id.in_(wanted)))
    return {TokenId(row.id): row.name for row in rows}


def named(connection: Connection, text: str, limit: int) -> list[tuple[TokenId, str]]:
    """Return at most `limit` tokens with this id, or with this text in their name, case ignored: by
    name, those with exactly this name first, revoked ones last.
    """
    c = tokens.c
    wanted = folded(text)
    found = (
        sa.select(c.id, c.name)
        .where(sa.or_(c.id == text, c.folded.contains(wanted, autoescape=True)))
        .order_by(
            sa.case((c.id == text, 0), (c.folded == wanted, 1), else_=2),
            c.revoked_at.is_not(None),
            c.folded,
            c.id,
        )
        .limit(limit)
    )
    return [(TokenId(row.id), row.name) for row in connection.execute(found)]


def some_names(connection: Connection, limit: int) -> list[str]:
    """Return the names of at most `limit` tokens that are not revoked, to choose from."""
    c = tokens.c
    rows = sa.select(c.name).where(c.revoked_at.is_(None)).order_by(c.folded, c.id).limit(limit)
    return list(connection.scalars(rows))
