"""How callbacks fare, as it is stored: breakers that open and close, and disabling
(docs/invariants.md#held-is-derived).

What an attempt found out is written in the transaction that settles it, and only of the callback as
it was when the attempt started. Each change raises the directory's version, so every dispatcher
knows within a second. Called by settling.

Whether a callback failed for too long is judged here, by the store's clock and by what is stored: a
dispatcher knows only of its own attempts, and disabling is for a person to undo.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from schemas.alerts import AlertKind
from schemas.deliveries.callback_health import HealthFinding, HealthReport, believed, probe_delay_s
from schemas.deliveries.deliveries import DeliveryState, Outcome
from schemas.events.types import EventType
from schemas.ids import CallbackId, TokenId
from schemas.times import UnixMs, to_rfc3339
from schemas.tokens.audit_log import RINGBACK, Action
from schemas.tokens.tokens import CallbackState
from store.engine import bulk
from store.engine.database import Connection
from store.tables import attempts, callbacks, deliveries, tokens
from store.tokens import alerts, audit_log, throttling
from store.tokens.rows import raise_version

_Columns = dict[str, Any]
_HEALTHY: _Columns = {
    "failing_since": None,
    "probe_at": None,
    "probes": 0,
    "disabled_at": None,
    "disabled_reason": None,
}


AT_ITS_WORD_MS = 60_000
"""So far back a dispatcher is believed that nothing succeeded; beyond it the store is asked.
Longer: others' successes are passed over. Shorter: a query more for each of the many that an outage
opens at once.
"""

LOOK = 1000
"""Deliveries of a token looked at for a success, newest first. More: the settlement that asks takes
longer. Fewer: of a callback with little to do, whose token has much for others, it is known for a
shorter time that it fails.
"""


def record(connection: Connection, reports: Sequence[HealthReport], now: UnixMs) -> None:
    """Write what changes a callback; most reports say what is known. Call it before any delivery is
    written: whoever changes a callback locks the directory's version first, and deliveries last.
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
                _tell(connection, row, change, now)
        for token_id in sorted(
            changed
        ):  # as `store.directory.last_used` does, which has not locked the version
            connection.execute(
                sa.update(tokens).where(tokens.c.id == token_id).values(version=version)
            )


def back_to_health(generation: int) -> dict[str, Any]:
    """The columns of a callback that starts afresh: what attempts of `generation` find out is void,
    and what waited is seen to.
    """
    return {**_HEALTHY, "generation": generation + 1, "backlog_pending": True}


def _read(connection: Connection, callback_id: CallbackId) -> Any:
    return connection.execute(
        sa.select(callbacks).where(callbacks.c.id == callback_id)
    ).one_or_none()


def _change(connection: Connection, row: Any, report: HealthReport, now: UnixMs) -> _Columns | None:
    """What it changes; None when it is void or known."""
    if (
        row is None
        or row.generation != report.generation
        or not row.enabled
        or row.disabled_at is not None
    ):
        return None
    return _CHANGES[report.finding](connection, row, report, now)


def _failing(
    connection: Connection, row: Any, report: HealthReport, now: UnixMs
) -> _Columns | None:
    if row.failing_since is not None:
        return None
    since = _said_since(report, now)
    if now - since > AT_ITS_WORD_MS:
        since = max(since, _last_success(connection, row))
    return {"failing_since": since, "probe_at": _probe_at(row, 0, report, now), "probes": 0}


def _probe_failed(
    _connection: Connection, row: Any, report: HealthReport, now: UnixMs
) -> _Columns | None:
    if row.failing_since is None:
        return None
    if _is_too_long(row.failing_since, report, now):
        return _disabled(row, row.failing_since, report, now)
    return {"probe_at": _probe_at(row, row.probes + 1, report, now), "probes": row.probes + 1}


def _lasting(
    connection: Connection, row: Any, report: HealthReport, now: UnixMs
) -> _Columns | None:
    since = row.failing_since or max(_said_since(report, now), _last_success(connection, row))
    return _disabled(row, since, report, now) if _is_too_long(since, report, now) else None


def _works(
    _connection: Connection, row: Any, _report: HealthReport, _now: UnixMs
) -> _Columns | None:
    return (
        None
        if row.failing_since is None
        else back_to_health(row.generation) | {"throttled_since": None}
    )


def _useless(_connection: Connection, row: Any, report: HealthReport, now: UnixMs) -> _Columns:
    return _disabled(row, row.failing_since or _said_since(report, now), report, now)


_CHANGES: Mapping[
    HealthFinding, Callable[[Connection, Any, HealthReport, UnixMs], _Columns | None]
] = {
    HealthFinding.FAILING: _failing,
    HealthFinding.PROBE_FAILED: _probe_failed,
    HealthFinding.LASTING: _lasting,
    HealthFinding.WORKS: _works,
    HealthFinding.USELESS: _useless,
    HealthFinding.THROTTLED: throttling.throttled,
    HealthFinding.TAKES: throttling.takes,
}


def _disabled(row: Any, since: UnixMs, report: HealthReport, now: UnixMs) -> _Columns:
    disabled = {"disabled_at": now, "disabled_reason": report.reason, "failing_since": since}
    return {**_HEALTHY, **disabled, "generation": row.generation + 1}


def _said_since(report: HealthReport, now: UnixMs) -> UnixMs:
    """Since when it fails, for all that the dispatcher that says so has seen."""
    return UnixMs(now - round(report.failing_for_s * 1000))


def _is_too_long(since: UnixMs, report: HealthReport, now: UnixMs) -> bool:
    return now - since >= report.disable_after_s * 1000


def _last_success(connection: Connection, row: Any) -> UnixMs:
    """When the last attempt at this callback that succeeded ended, whoever made it; where more has
    come for its token than is looked at, how far back that was.
    """
    of_token = sa.select(
        deliveries.c.event_id, deliveries.c.callback_id, deliveries.c.state, deliveries.c.created_at
    )
    newest = of_token.where(deliveries.c.token_id == row.token_id).order_by(
        deliveries.c.created_at.desc(),
        deliveries.c.event_id.desc(),
        deliveries.c.callback_id.desc(),
    )
    seen = connection.execute(newest.limit(LOOK)).all()
    delivered = [
        one.event_id
        for one in seen
        if one.callback_id == row.id and one.state == DeliveryState.DELIVERED.value
    ]
    made = sa.and_(attempts.c.callback_id == row.id, attempts.c.outcome == Outcome.DELIVERED.value)
    ended = sa.select(sa.func.max(attempts.c.started_at + attempts.c.duration_ms))
    last = (
        connection.scalar(ended.where(bulk.among(connection, attempts.c.event_id, delivered), made))
        if delivered
        else None
    )
    return UnixMs(max(last or 0, seen[-1].created_at if len(seen) == LOOK else 0))


def _probe_at(row: Any, probes: int, report: HealthReport, now: UnixMs) -> UnixMs:
    return max(
        believed(row.throttled_until, now) or now,
        UnixMs(now + round(probe_delay_s(probes, report.jitter) * 1000)),
    )


def _tell(connection: Connection, row: Any, change: _Columns, now: UnixMs) -> None:
    """The operator, of an opening, a closing, a disabling; of probes nothing. A disabling stands in
    the operation log too: it is for a person to undo.
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
        alerts.add_of_callback(connection, AlertKind.CALLBACK_DISABLED, row.id, data, now)
    elif "failing_since" in change:
        kind = (
            AlertKind.CALLBACK_FAILING
            if row.failing_since is None
            else AlertKind.CALLBACK_RECOVERED
        )
        since = change["failing_since"] if row.failing_since is None else row.failing_since
        alerts.add_of_callback(connection, kind, row.id, {"failing_since": to_rfc3339(since)}, now)
