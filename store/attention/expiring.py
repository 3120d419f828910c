"""Tokens that expire soon. Reads only; called by the pages."""

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from schemas.ids import TokenId
from schemas.times import UnixMs
from store.engine.database import Connection
from store.tables import tokens

SOON_MS = 30 * 24 * 60 * 60 * 1000
"""Milliseconds before its end from which a token is listed. Longer: the list has what no one needs
to think about yet. Shorter: a supplier may need longer to take a new token.
"""

SHOWN = 10
"""Tokens that are listed."""


class ExpiringToken(msgspec.Struct, frozen=True):
    """A token that expires soon."""

    id: TokenId
    """The token."""

    name: str
    """Its name."""

    expires_at: UnixMs
    """When it expires."""


def expiring_tokens(connection: Connection, now: UnixMs) -> Sequence[ExpiringToken]:
    """Return the active tokens that expire soon, the first ones first, at most SHOWN."""
    c = tokens.c
    rows = connection.execute(
        sa.select(c.id, c.name, c.expires_at)
        .where(c.enabled, c.revoked_at.is_(None), c.expires_at > now, c.expires_at <= now + SOON_MS)
        .order_by(c.expires_at, c.id)
        .limit(SHOWN)
    )
    return [ExpiringToken(TokenId(row.id), row.name, UnixMs(row.expires_at)) for row in rows]
