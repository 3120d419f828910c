"""How the callbacks of one token did lately: for the page of its supplier. Reads only; two short
queries, whatever the number of deliveries.
"""

from collections.abc import Collection

import msgspec
import sqlalchemy as sa

from schemas.deliveries.deliveries import DeliveryState, Outcome
from schemas.figures import HOUR_MS
from schemas.ids import CallbackId, TokenId
from schemas.times import UnixMs
from store.deliveries.rows import DELIVERY_KEY
from store.engine import bulk
from store.engine.database import Connection
from store.tables import deliveries, figure_callback_hours

HOURS = 24
"""Hours that are counted, the current one included."""

MOST_LOOKED = 2_000
"""Deliveries among which the latest success is looked for, newest first. More: the page takes longer.
Fewer: a callback that failed for long has no success to show.
"""


_DELIVERED = Outcome.DELIVERED.value


class Lately(msgspec.Struct, frozen=True):
    """How one callback did."""

    delivered: int = 0
    """Attempts that delivered, in the last HOURS."""
    failed: int = 0
    """Attempts that did not."""
    succeeded_at: UnixMs | None = None
    """When the newest delivery that succeeded was created; None: none of the newest did."""
    failed_at: UnixMs | None = None
    """The same of one whose last attempt failed."""


def lately(
    connection: Connection, token_id: TokenId, callback_ids: Collection[CallbackId], now: UnixMs
) -> dict[CallbackId, Lately]:
    """Return how these callbacks of a token did."""
    counts, latest = _counts(connection, callback_ids, now), _latest(connection, token_id)
    return {
        one: Lately(*counts.get(one, (0, 0)), *latest.get(one, (None, None)))
        for one in callback_ids
    }


def _counts(
    connection: Connection, callback_ids: Collection[CallbackId], now: UnixMs
) -> dict[str, tuple[int, int]]:
    c = figure_callback_hours.c
    rows = connection.execute(
        sa.select(c.callback_id, sa.func.sum(c.delivered), sa.func.sum(c.failed))
        .where(
            bulk.among(connection, c.callback_id, sorted(callback_ids)),
            c.hour_at > now - HOURS * HOUR_MS,
        )
        .group_by(c.callback_id)
    )
    return {name: (int(delivered), int(failed)) for name, delivered, failed in rows}


def _latest(
    connection: Connection, token_id: TokenId
) -> dict[str, tuple[UnixMs | None, UnixMs | None]]:
    """Return when the newest that succeeded, and the newest that failed, were created."""
    d = deliveries.c
    newest = (
        sa.select(d.callback_id, d.created_at, d.state, d.outcome)
        .where(d.token_id == token_id)
        .order_by(*(column.desc() for column in DELIVERY_KEY))
        .limit(MOST_LOOKED)
        .subquery()
    )
    n, delivered = newest.c, DeliveryState.DELIVERED.value
    succeeded = sa.case((n.state == delivered, n.created_at))
    # neither succeeded nor without an attempt, whose outcome is null
    failed = sa.case((sa.and_(n.state != delivered, n.outcome != _DELIVERED), n.created_at))
    rows = connection.execute(
        sa.select(n.callback_id, sa.func.max(succeeded), sa.func.max(failed)).group_by(
            n.callback_id
        )
    )
    return {name: (succeeded_at, failed_at) for name, succeeded_at, failed_at in rows}
