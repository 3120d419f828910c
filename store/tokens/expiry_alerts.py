"""Alerts to the operator before a token expires: some days before, once at each of these moments.

The last alerted moment is changed by compare-and-set, so that one of several dispatchers alerts.
Called by `consumers.maintenance.alert_relay`.
"""

import sqlalchemy as sa

from schemas.alerts import AlertKind
from schemas.times import UnixMs, to_rfc3339
from store.engine.database import Connection
from store.engine.paging import Row
from store.tables import tokens
from store.tokens import alerts

ALERT_DAYS_BEFORE = (1, 7, 14)
"""Days before the end at which an alert is sent. More: more to read. Fewer: after one that is
overlooked no other follows.
"""

_DAY_MS = 86_400_000


def alert_expiring(connection: Connection, now: UnixMs) -> int:
    """Add a `token.expiring` alert for each token that passed another of the moments.

    Return how many.
    """
    _forget_past_alerts(connection, now)
    soon = sa.and_(
        tokens.c.revoked_at.is_(None),
        tokens.c.expires_at > now,
        tokens.c.expires_at <= now + _horizon_ms(),
    )
    rows = connection.execute(sa.select(tokens).where(soon).order_by(tokens.c.id)).all()
    return sum(
        _alert(connection, row, days, now)
        for row in rows
        if (days := _days_to_alert(row, now)) not in (None, row.expiry_alerted_days)
    )


def _days_to_alert(row: Row, now: UnixMs) -> int | None:
    """Return the last of the moments that has come, in days; None before the first.

    Moments before the token was created do not count.
    """
    moments = {days: row.expires_at - days * _DAY_MS for days in ALERT_DAYS_BEFORE}
    return min((days for days, at in moments.items() if row.created_at <= at <= now), default=None)


def _alert(connection: Connection, row: Row, days: int | None, now: UnixMs) -> bool:
    """Add the alert, unless another dispatcher just did, or the end was moved meanwhile."""
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


def _forget_past_alerts(connection: Connection, now: UnixMs) -> None:
    """Reset the alerts of tokens whose end was moved beyond all of the moments."""
    moved = sa.or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > now + _horizon_ms())
    connection.execute(
        sa.update(tokens)
        .where(tokens.c.expiry_alerted_days.is_not(None), moved)
        .values(expiry_alerted_days=None)
    )


def _horizon_ms() -> int:
    return max(ALERT_DAYS_BEFORE) * _DAY_MS
