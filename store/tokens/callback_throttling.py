"""Callbacks whose receivers ask for a pause: until when it lasts, and since when they take nothing.

The columns are written with the attempt that got this answer, by `store.tokens.callback_health`. A
time that hardly moves is not written again. Called by that module, `store.tokens.callbacks`,
`store.deliveries` and the consumers.
"""

from collections.abc import Collection

import sqlalchemy as sa

from schemas.deliveries.callback_health import (
    PLAUSIBLE_PAUSE_MS,
    HealthReport,
    plausible_pause_end,
    probe_delay_s,
)
from schemas.ids import CallbackId
from schemas.times import UnixMs
from store.engine.database import Connection
from store.engine.sql_types import SqlRow
from store.tables import callbacks

SAME_MS = 250
"""Milliseconds by which a pause may end later and still count as the same. More: pauses are kept
less exactly. Fewer: more writes, each of which all processes read, when many attempts in flight are
refused at the same time.
"""

GOES_ON_MS = 600_000
"""Milliseconds after the end of a pause for which another refusal continues it: the receiver took
nothing in between. More: a quiet callback that refuses now and then seems to have refused all the
time. Fewer than the longest pause that a dispatcher makes by itself: a receiver that refuses for
days is never given up.
"""

NOT_THROTTLED: dict[str, object] = {"throttled_until": None, "throttled_since": None}
"""The columns of a callback that an administrator changed: it may have another receiver now."""

CallbackRow = SqlRow
"""A row of `callbacks`."""

_owner = callbacks.c


def throttled(
    _connection: Connection, row: CallbackRow, report: HealthReport, now: UnixMs
) -> dict[str, object] | None:
    """Return the columns of a callback whose receiver asks for a pause; None when that is known.

    A failing one is not probed during the pause, nor sooner than planned.
    """
    until = UnixMs(now + round(report.pause_s * 1000))
    known = plausible_pause_end(row.throttled_until, now)
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


def accepts(
    _connection: Connection, row: CallbackRow, _report: HealthReport, _now: UnixMs
) -> dict[str, object] | None:
    """Return the columns of a callback that takes something again; None when that is known."""
    return None if row.throttled_since is None else {"throttled_since": None}


def throttled_until_by_callback(
    connection: Connection, callback_ids: Collection[CallbackId], now: UnixMs
) -> dict[CallbackId, UnixMs]:
    """Return the end of the pause of each of these callbacks that has one now."""
    query = sa.select(_owner.id, _owner.throttled_until).where(
        _owner.id.in_(callback_ids), _ends_after(now, now)
    )
    return {CallbackId(row.id): UnixMs(row.throttled_until) for row in connection.execute(query)}


def is_obeyed(now: UnixMs) -> sa.ColumnElement[bool]:
    """Return the condition that a callback has a pause, or had one until a moment ago.

    NULL where it never had one: do not negate it.
    """
    return _ends_after(now - GOES_ON_MS, now)


def _ends_after(moment: int, now: UnixMs) -> sa.ColumnElement[bool]:
    """Return the condition that the pause ends after a moment, and is not implausibly long."""
    return sa.and_(
        _owner.throttled_until > moment, _owner.throttled_until <= now + PLAUSIBLE_PAUSE_MS
    )
