"""What a delivery waits for, as its row, its callback and its token say at this moment. Reads only;
called by the pages, which put it into words.
"""

import msgspec
import sqlalchemy as sa

from schemas.deliveries.callback_health import plausible_pause_end
from schemas.deliveries.deliveries import Trigger
from schemas.ids import CallbackId, EventId
from schemas.times import UnixMs
from schemas.tokens.tokens import CallbackState, OnResume
from store.engine.database import Connection
from store.engine.paging import Row
from store.engine.sql_types import SqlSelect
from store.tables import callbacks, deliveries, requested_attempts, tokens


class CallbackFacts(msgspec.Struct, frozen=True):
    """What a callback does to its deliveries."""

    state: CallbackState
    """Whether it is called."""

    token_enabled: bool
    """False: its token is suspended."""

    on_resume: OnResume
    """What happens to held deliveries when it is called again."""

    failing_since: UnixMs | None = None
    """Since when no attempt succeeds; None: it is healthy."""

    probe_at: UnixMs | None = None
    """When the next trial may be made; None: none is needed."""

    disabled_at: UnixMs | None = None
    """When Ringback disabled it; None: it did not."""

    disabled_reason: str | None = None
    """Why Ringback disabled it."""

    paused_until: UnixMs | None = None
    """The end of the pause that its receiver asked for; None: there is none now."""


class Waiting(msgspec.Struct, frozen=True):
    """What a delivery waits for."""

    is_recorded: bool = True
    """False: its first attempt is under way, or waits in a dispatcher."""

    due_at: UnixMs | None = None
    """When its next attempt is due, or its lease ends; None: it has ended."""

    is_leased: bool = False
    """Whether a dispatcher has it, until `due_at`."""

    awaits_status: bool = False
    """Whether it waits for another status of its message."""

    is_recovery: bool = False
    """Whether its next attempt belongs to a recovery."""

    requested: tuple[Trigger, ...] = ()
    """The causes of requested attempts that have not ended."""

    callback: CallbackFacts | None = None
    """Its callback; None: that was deleted."""


def read_waiting(
    connection: Connection, event_id: EventId, callback_id: CallbackId, now: UnixMs
) -> Waiting:
    """Return what a delivery waits for. Two queries."""
    c = requested_attempts.c
    this = sa.and_(c.event_id == event_id, c.callback_id == callback_id)
    requested = tuple(map(Trigger, connection.scalars(sa.select(c.trigger).where(this))))
    row = connection.execute(_facts(event_id, callback_id)).one()
    return Waiting(
        is_recorded=row.lease is not None,
        due_at=row.due_at,
        is_leased=bool(row.leased),
        awaits_status=bool(row.awaits_status),
        is_recovery=bool(row.is_recovery),
        requested=requested,
        callback=None if row.url is None else _callback(row, now),
    )


def _facts(event_id: EventId, callback_id: CallbackId) -> SqlSelect:
    """Return the query of one row, whose columns are null where there is no such row."""
    asked = sa.select(
        sa.literal(event_id, sa.Text).label("event_id"),
        sa.literal(callback_id, sa.Text).label("callback_id"),
    ).subquery()
    d, c, t = deliveries.c, callbacks.c, tokens.c
    joined = (
        asked.outerjoin(
            deliveries,
            sa.and_(d.event_id == asked.c.event_id, d.callback_id == asked.c.callback_id),
        )
        .outerjoin(callbacks, c.id == asked.c.callback_id)
        .outerjoin(tokens, t.id == c.token_id)
    )
    of_delivery = (d.lease, d.due_at, d.leased, d.awaits_status, d.is_recovery)
    of_callback = (c.url, c.enabled, c.failing_since, c.probe_at, c.disabled_at, c.disabled_reason)
    more = (c.on_resume, c.throttled_until, t.enabled.label("token_enabled"))
    return sa.select(*of_delivery, *of_callback, *more).select_from(joined)


def _callback(row: Row, now: UnixMs) -> CallbackFacts:
    paused_until = plausible_pause_end(row.throttled_until, now)
    return CallbackFacts(
        state=_state(row),
        token_enabled=row.token_enabled,
        on_resume=OnResume(row.on_resume),
        failing_since=row.failing_since,
        probe_at=row.probe_at,
        disabled_at=row.disabled_at,
        disabled_reason=row.disabled_reason,
        paused_until=paused_until if paused_until and paused_until > now else None,
    )


def _state(row: Row) -> CallbackState:
    if not row.enabled:
        return CallbackState.OFF
    if row.disabled_at is not None:
        return CallbackState.DISABLED
    return CallbackState.HEALTHY if row.failing_since is None else CallbackState.FAILING
