"""The health of callbacks, as it is stored: breakers that open and close, and disabling
(docs/invariants.md#decisions-are-stored).

A finding of an attempt is written in the transaction that settles the attempt, and only if the
callback is still as it was when the attempt started. Each change raises the directory's version, so
every dispatcher learns of it within a second. Called by settling.

Whether a callback failed for too long is judged here, by the store's clock and rows. A dispatcher
knows only of its own attempts, and only a person can undo a disabling.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from schemas.alerts import AlertKind
from schemas.deliveries.callback_health import (
    HealthFinding,
    HealthReport,
    plausible_pause_end,
    probe_delay_s,
)
from schemas.deliveries.deliveries import DeliveryState, Outcome
from schemas.events.types import EventType
from schemas.ids import CallbackId, TokenId
from schemas.times import UnixMs, to_rfc3339
from schemas.tokens.audit_log import RINGBACK, Action
from schemas.tokens.tokens import CallbackState
from store.engine import bulk
from store.engine.database import Connection
from store.tables import attempts, callbacks, deliveries, tokens
from store.tokens import alerts, audit_log, callback_throttling
from store.tokens.callback_throttling import CallbackRow
from store.tokens.rows import raise_version

_Columns = dict[str, Any]
_HEALTHY: _Columns = {
    "failing_since": None,
    "probe_at": None,
    "probes": 0,
    "disabled_at": None,
    "disabled_reason": None,
}

TRUSTED_MS = 60_000
"""How long without a success a dispatcher's report is trusted; beyond it the store is asked.
Longer: successes of other dispatchers are missed. Shorter: one more query for each of the many
breakers that an outage opens at the same time.
"""

SCAN_ROWS = 1000
"""Deliveries of a token that are scanned for a success, newest first. More: the settlement that
asks takes longer. Fewer: a quiet callback of a busy token counts as failing for less time than it
is.
"""


def record(connection: Connection, reports: Sequence[HealthReport], now: UnixMs) -> None:
    """Write the reports that change a callback; most repeat what is known.

    Call it before any delivery is written: a transaction that changes a callback locks the
    directory's version first, and deliveries last.
    """
    if any(
        _change(connection, _read(connection, report.callback_id), report, now)
        for report in reports
    ):
        version, changed = raise_version(connection), set[str]()
        for report in reports:  # read again under the lock: the first of several settles it
            row = _read(connection, report.callback_id)
            if row is not None and (change := _change(connection, row, report, now)):
                connection.execute(
                    sa.update(callbacks).where(callbacks.c.id == row.id).values(change)
                )
                changed.add(row.token_id)
                _report(connection, row, change, now)
        # sorted as in `store.directory.last_used`, which has not locked the version
        for token_id in sorted(changed):
            connection.execute(
                sa.update(tokens).where(tokens.c.id == token_id).values(version=version)
            )


def back_to_health(generation: int) -> dict[str, object]:
    """Return the columns of a callback that starts again.

    Findings of attempts of `generation` become void, and its backlog is released.
    """
    return {**_HEALTHY, "generation": generation + 1, "backlog_pending": True}


def _read(connection: Connection, callback_id: CallbackId) -> CallbackRow | None:
    return connection.execute(
        sa.select(callbacks).where(callbacks.c.id == callback_id)
    ).one_or_none()


def _change(
    connection: Connection, row: CallbackRow | None, report: HealthReport, now: UnixMs
) -> _Columns | None:
    """Return the columns that a report changes; None when it is void or known."""
    if (
        row is None
        or row.generation != report.generation
        or not row.enabled
        or row.disabled_at is not None
    ):
        return None
    return _CHANGES[report.finding](connection, row, report, now)


def _failing(
    connection: Connection, row: CallbackRow, report: HealthReport, now: UnixMs
) -> _Columns | None:
    if row.failing_since is not None:
        return None
    since = _since_reported(report, now)
    if now - since > TRUSTED_MS:
        since = max(since, _last_success(connection, row))
    return {"failing_since": since, "probe_at": _probe_at(row, 0, report, now), "probes": 0}


def _probe_failed(
    _connection: Connection, row: CallbackRow, report: HealthReport, now: UnixMs
) -> _Columns | None:
    if row.failing_since is None:
        return None
    if _is_too_long(row.failing_since, report, now):
        return _disabled(row, row.failing_since, report, now)
    return {"probe_at": _probe_at(row, row.probes + 1, report, now), "probes": row.probes + 1}


def _lasting(
    connection: Connection, row: CallbackRow, report: HealthReport, now: UnixMs
) -> _Columns | None:
    since = row.failing_since or max(_since_reported(report, now), _last_success(connection, row))
    return _disabled(row, since, report, now) if _is_too_long(since, report, now) else None


def _works(
    _connection: Connection, row: CallbackRow, _report: HealthReport, _now: UnixMs
) -> _Columns | None:
    return (
        None
        if row.failing_since is None
        else back_to_health(row.generation) | {"throttled_since": None}
    )


def _useless(
    _connection: Connection, row: CallbackRow, report: HealthReport, now: UnixMs
) -> _Columns:
    return _disabled(row, row.failing_since or _since_reported(report, now), report, now)


_CHANGES: Mapping[
    HealthFinding, Callable[[Connection, CallbackRow, HealthReport, UnixMs], _Columns | None]
] = {
    HealthFinding.FAILING: _failing,
    HealthFinding.PROBE_FAILED: _probe_failed,
    HealthFinding.LASTING: _lasting,
    HealthFinding.WORKS: _works,
    HealthFinding.USELESS: _useless,
    HealthFinding.THROTTLED: callback_throttling.throttled,
    HealthFinding.ACCEPTS: callback_throttling.accepts,
}


def _disabled(row: CallbackRow, since: UnixMs, report: HealthReport, now: UnixMs) -> _Columns:
    disabled = {"disabled_at": now, "disabled_reason": report.reason, "failing_since": since}
    return {**_HEALTHY, **disabled, "generation": row.generation + 1}


def _since_reported(report: HealthReport, now: UnixMs) -> UnixMs:
    """Return since when the callback fails, as far as the reporting dispatcher has seen."""
    return UnixMs(now - round(report.failing_for_s * 1000))


def _is_too_long(since: UnixMs, report: HealthReport, now: UnixMs) -> bool:
    return now - since >= report.disable_after_s * 1000


def _last_success(connection: Connection, row: CallbackRow) -> UnixMs:
    """Return when the last successful attempt at this callback ended, in any process.

    When its token has more deliveries than are scanned, return when the last scanned one was
    created, if that is later.
    """
    of_token = sa.select(
        deliveries.c.event_id, deliveries.c.callback_id, deliveries.c.state, deliveries.c.created_at
    )
    newest = of_token.where(deliveries.c.token_id == row.token_id).order_by(
        deliveries.c.created_at.desc(),
        deliveries.c.event_id.desc(),
        deliveries.c.callback_id.desc(),
    )
    seen = connection.execute(newest.limit(SCAN_ROWS)).all()
    delivered = [
        delivery.event_id
        for delivery in seen
        if delivery.callback_id == row.id and delivery.state == DeliveryState.DELIVERED.value
    ]
    made = sa.and_(attempts.c.callback_id == row.id, attempts.c.outcome == Outcome.DELIVERED.value)
    ended = sa.select(sa.func.max(attempts.c.started_at + attempts.c.duration_ms))
    last = (
        connection.scalar(ended.where(bulk.among(connection, attempts.c.event_id, delivered), made))
        if delivered
        else None
    )
    return UnixMs(max(last or 0, seen[-1].created_at if len(seen) == SCAN_ROWS else 0))


def _probe_at(row: CallbackRow, probes: int, report: HealthReport, now: UnixMs) -> UnixMs:
    return max(
        plausible_pause_end(row.throttled_until, now) or now,
        UnixMs(now + round(probe_delay_s(probes, report.jitter) * 1000)),
    )


def _report(connection: Connection, row: CallbackRow, change: _Columns, now: UnixMs) -> None:
    """Alert the operator of a breaker that opened or closed, and of a disabling.

    A disabling is in the operation log too, because a person has to undo it.
    """
    if change.get("disabled_at") is not None:
        before = CallbackState.HEALTHY if row.failing_since is None else CallbackState.FAILING
        details = {
            "state": (before, CallbackState.DISABLED),
            "disabled_reason": (None, change["disabled_reason"]),
        }
        audit_log.record(
            connection,
            TokenId(row.token_id),
            Action.CALLBACK_DISABLED,
            details,
            RINGBACK,
            now,
            EventType(row.type),
        )
        data = {
            "failing_since": to_rfc3339(change["failing_since"]),
            "reason": change["disabled_reason"],
        }
        alerts.add_for_callback(connection, AlertKind.CALLBACK_DISABLED, row.id, data, now)
    elif "failing_since" in change:
        kind = (
            AlertKind.CALLBACK_FAILING
            if row.failing_since is None
            else AlertKind.CALLBACK_RECOVERED
        )
        since = change["failing_since"] if row.failing_since is None else row.failing_since
        alerts.add_for_callback(connection, kind, row.id, {"failing_since": to_rfc3339(since)}, now)
