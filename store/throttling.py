"""Callbacks whose receivers ask to be left alone, as it is stored: until when, and what of it is given up in the end.

The columns are written with the attempt that was told so, by `store.health`; a time that hardly moves is not written again. Called by that, by
`store.callbacks` and by `consumers.reviving`.
"""

from typing import Any

import sqlalchemy as sa

from schemas.health import HealthReport, probe_delay_s
from schemas.ids import CallbackId
from schemas.times import UnixMs
from store.database import Connection
from store.holding import is_not_kept
from store.prepared import Prepared
from store.tables import callbacks, deliveries

SAME_MS = 250
"""A pause that ends later by less than this is the same. More: it is kept less exactly. Less: more writes, each of which all processes read, when
many attempts in flight are refused at once."""

GOES_ON_MS = 600_000
"""A refusal so soon after the end of the last pause goes on with it: nothing was taken between. More: a quiet callback that refuses now and then
seems to have refused all the time. Less than the longest pause that a dispatcher makes by itself: what refuses for days is never given up."""

NOT_THROTTLED: dict[str, Any] = {"throttled_until": None, "throttled_since": None}
"""The columns of a callback that somebody changed: whatever its receiver asked for, it may be another one."""

_owner, _row = callbacks.c, deliveries.c


def throttled(row: Any, report: HealthReport, now: UnixMs) -> dict[str, Any] | None:
    """The columns of a callback that is to be left alone; None when that is known. A failing one is not probed before, nor sooner than it was."""
    until = UnixMs(now + round(report.pause_s * 1000))
    if row.throttled_until is not None and until <= row.throttled_until + SAME_MS:
        return None
    goes_on = row.throttled_since is not None and now <= row.throttled_until + GOES_ON_MS
    columns = {"throttled_until": until, "throttled_since": row.throttled_since if goes_on else now}
    if row.failing_since is None:
        return columns
    return {**columns, "probe_at": max(until, now + round(probe_delay_s(row.probes, report.jitter) * 1000))}


def takes(row: Any, _report: HealthReport, _now: UnixMs) -> dict[str, Any] | None:
    return None if row.throttled_since is None else {"throttled_since": None}


_any = Prepared(
    sa.select(sa.exists().where(_owner.throttled_since <= sa.bindparam("before"), _owner.throttled_until > sa.bindparam("recently")))
)


def any_aged(connection: Connection, patience_ms: int, now: UnixMs) -> bool:
    """Whether there is a callback that has taken nothing for so long: in quiet times there is none."""
    return bool(_any.run(connection, {"before": now - patience_ms, "recently": now - GOES_ON_MS}).scalar())


def with_aged(connection: Connection, patience_ms: int, now: UnixMs) -> list[CallbackId]:
    """Callbacks that have taken nothing for so long, and for which something has waited as long."""
    refuses = sa.and_(_owner.throttled_since <= now - patience_ms, _owner.throttled_until > now - GOES_ON_MS)
    is_called = sa.and_(_owner.enabled, _owner.disabled_at.is_(None), _owner.failing_since.is_(None))
    waits = sa.and_(
        _row.callback_id == _owner.id, _row.due_at.is_not(None), _row.since_at <= now - patience_ms, is_not_kept(_row, _owner.held_before)
    )
    return [CallbackId(found) for found in connection.scalars(sa.select(_owner.id).where(refuses, is_called, sa.exists().where(waits)))]
