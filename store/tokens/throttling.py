"""Callbacks whose receivers ask to be left alone, as it is stored: until when, and what of it is
given up in the end.

The columns are written with the attempt that was told so, by `store.tokens.callback_health`; a time that hardly moves is not written again. Called by that, by
`store.tokens.callbacks`, by `store.deliveries.probes`, by `consumers.pipeline.due_poller` and by `consumers.maintenance.callback_monitor`.
"""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from schemas.deliveries.callback_health import BELIEVED_MS, HealthReport, believed, probe_delay_s
from schemas.ids import CallbackId
from schemas.times import UnixMs
from store.engine.database import Connection
from store.tables import callbacks, deliveries

SAME_MS = 250
"""A pause that ends later by less than this is the same. More: it is kept less exactly. Less: more
writes, each of which all processes read, when many attempts in flight are refused at once.
"""

GOES_ON_MS = 600_000
"""A refusal so soon after the end of the last pause goes on with it: nothing was taken between.
More: a quiet callback that refuses now and then seems to have refused all the time. Less than the
longest pause that a dispatcher makes by itself: what refuses for days is never given up.
"""

NOT_THROTTLED: dict[str, Any] = {"throttled_until": None, "throttled_since": None}
"""The columns of a callback that somebody changed: whatever its receiver asked for, it may be
another one.
"""

_owner, _row = callbacks.c, deliveries.c


def throttled(
    _connection: Connection, row: Any, report: HealthReport, now: UnixMs
) -> dict[str, Any] | None:
    """The columns of a callback that is to be left alone; None when that is known. A failing one is
    not probed before, nor sooner than it was.
    """
    until = UnixMs(now + round(report.pause_s * 1000))
    known = believed(row.throttled_until, now)
    if known is not None and until <= known + SAME_MS:
        return None
    goes_on = known is not None and row.throttled_since is not None and now <= known + GOES_ON_MS
    columns = {"throttled_until": until, "throttled_since": row.throttled_since if goes_on else now}
    if row.failing_since is None:
        return columns
    return {
        **columns,
        "probe_at": max(until, now + round(probe_delay_s(row.probes, report.jitter) * 1000)),
    }


def takes(
    _connection: Connection, row: Any, _report: HealthReport, _now: UnixMs
) -> dict[str, Any] | None:
    return None if row.throttled_since is None else {"throttled_since": None}


def throttled_until_by_callback(
    connection: Connection, callback_ids: Collection[CallbackId], now: UnixMs
) -> dict[CallbackId, UnixMs]:
    """Until when, of those that are left alone now."""
    chosen = sa.select(_owner.id, _owner.throttled_until).where(
        _owner.id.in_(callback_ids), _ends_after(now, now)
    )
    return {CallbackId(row.id): UnixMs(row.throttled_until) for row in connection.execute(chosen)}


def is_obeyed(now: UnixMs) -> sa.ColumnElement[bool]:
    """Whether a callback is left alone, or was until a moment ago. NULL where it never was: not to
    be negated.
    """
    return _ends_after(now - GOES_ON_MS, now)


def _ends_after(moment: int, now: UnixMs) -> sa.ColumnElement[bool]:
    """That its pause does, if it can be believed."""
    return sa.and_(_owner.throttled_until > moment, _owner.throttled_until <= now + BELIEVED_MS)
