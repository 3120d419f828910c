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
    """Return what a delivery waits for. Three queries."""
    row = connection.execute(
        sa.select(deliveries).where(_is_of(deliveries, event_id, callback_id))
    ).one_or_none()
    requested = connection.scalars(
        sa.select(requested_attempts.c.trigger).where(
            _is_of(requested_attempts, event_id, callback_id)
        )
    )
    waiting = Waiting(
        requested=tuple(Trigger(trigger) for trigger in requested),
        callback=_callback(connection, callback_id, now),
    )
    if row is None:
        return msgspec.structs.replace(waiting, is_recorded=False)
    return msgspec.structs.replace(
        waiting,
        due_at=row.due_at,
        is_leased=row.leased,
        awaits_status=row.awaits_status,
        is_recovery=row.is_recovery,
    )


def _is_of(table: sa.Table, event_id: EventId, callback_id: CallbackId) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.event_id == event_id, table.c.callback_id == callback_id)


def _callback(
    connection: Connection, callback_id: CallbackId, now: UnixMs
) -> CallbackFacts | None:
    joined = callbacks.join(tokens, tokens.c.id == callbacks.c.token_id)
    row: Row | None = connection.execute(
        sa.select(callbacks, tokens.c.enabled.label("token_enabled"))
        .select_from(joined)
        .where(callbacks.c.id == callback_id)
    ).one_or_none()
    if row is None:
        return None
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
