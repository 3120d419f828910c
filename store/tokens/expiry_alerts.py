"""Whoever runs Ringback is told before a token ends: some days before, once for each of these
moments (`consumers.maintenance.alert_relay` asks).

By compare-and-set on what was last told, so that of several dispatchers one tells it.
"""

from typing import Any

import sqlalchemy as sa

from schemas.alerts import AlertKind
from schemas.times import UnixMs, to_rfc3339
from store.engine.database import Connection
from store.tables import tokens
from store.tokens import alerts

TELL_DAYS_BEFORE = (1, 7, 14)
"""When. More of them: more to read; fewer: one that is overlooked is the supplier's last."""

_DAY_MS = 86_400_000


def alert_expiring(connection: Connection, now: UnixMs) -> int:
    """Add `token.expiring` for each token that has come closer to its end than was last told.
    Returns how many.
    """
    _forget_what_was_told(connection, now)
    soon = sa.and_(
        tokens.c.revoked_at.is_(None),
        tokens.c.expires_at > now,
        tokens.c.expires_at <= now + _horizon_ms(),
    )
    rows = connection.execute(sa.select(tokens).where(soon).order_by(tokens.c.id)).all()
    return sum(
        _tell(connection, row, days, now)
        for row in rows
        if (days := _days_to_tell(row, now)) not in (None, row.expiry_alerted_days)
    )


def _days_to_tell(row: sa.Row[Any], now: UnixMs) -> int | None:
    """The last of these moments that has come, None before the first; one before the token was made
    is none.
    """
    moments = {days: row.expires_at - days * _DAY_MS for days in TELL_DAYS_BEFORE}
    return min((days for days, at in moments.items() if row.created_at <= at <= now), default=None)


def _tell(connection: Connection, row: sa.Row[Any], days: int | None, now: UnixMs) -> bool:
    """Unless another dispatcher just did, or the end was moved meanwhile."""
    same = sa.and_(tokens.c.id == row.id, tokens.c.expires_at == row.expires_at)
    unchanged = tokens.c.expiry_alerted_days.is_not_distinct_from(row.expiry_alerted_days)
    claimed = (
        sa.update(tokens)
        .where(same, unchanged)
        .values(expiry_alerted_days=days)
        .returning(tokens.c.id)
    )
    if not connection.execute(claimed).all():
        return False
    data = {
        "token": {"id": row.id, "name": row.name},
        "expires_at": to_rfc3339(row.expires_at),
        "days": days,
    }
    alerts.add(connection, AlertKind.TOKEN_EXPIRING, data, now)
    return True


def _forget_what_was_told(connection: Connection, now: UnixMs) -> None:
    """Of a token whose end was moved beyond all of these moments: they come anew."""
    moved = sa.or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > now + _horizon_ms())
    connection.execute(
        sa.update(tokens)
        .where(tokens.c.expiry_alerted_days.is_not(None), moved)
        .values(expiry_alerted_days=None)
    )


def _horizon_ms() -> int:
    return max(TELL_DAYS_BEFORE) * _DAY_MS
