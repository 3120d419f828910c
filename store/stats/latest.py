"""What is the latest of its kind: a delivery that succeeded, a sample of a dispatcher, any event at
all. One short query. Called by the pages.
"""

import msgspec
import sqlalchemy as sa

from schemas.times import UnixMs
from store.engine.database import Connection
from store.tables import events, figure_gauges, figure_hours, figure_minutes


class Latest(msgspec.Struct, frozen=True):
    """The beginnings of minutes; None: there was none, or it is no longer known."""

    delivered_at: UnixMs | None
    """When an attempt last delivered; of one that is days ago, the beginning of its hour."""

    sampled_at: UnixMs | None
    """When a dispatcher last sampled what waits, as one does each minute."""

    has_events: bool
    """Whether an event is stored."""


def latest(connection: Connection) -> Latest:
    """Return what is the latest."""
    minute, hour, sample = (
        sa.select(at).where(condition).order_by(at.desc()).limit(1).scalar_subquery()
        for at, condition in (
            (figure_minutes.c.minute_at, figure_minutes.c.delivered > 0),
            (figure_hours.c.hour_at, figure_hours.c.delivered > 0),
            (figure_gauges.c.minute_at, sa.true()),
        )
    )
    some = sa.exists(sa.select(events.c.id))
    row = connection.execute(
        sa.select(
            sa.func.coalesce(minute, hour).label("delivered_at"),
            sample.label("sampled_at"),
            some.label("some"),
        )
    ).one()
    return Latest(row.delivered_at, row.sampled_at, bool(row.some))
