"""How callbacks fare, as it is stored: breakers that open and close, and disabling (rule 11 of the architecture).

What an attempt found out is written in the transaction that settles it, and only of the callback as it was when the attempt
started. Each change raises the directory's version, so every dispatcher knows within a second. Called by settling.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from schemas.alerts import AlertKind
from schemas.changes import RINGBACK, Action
from schemas.event_types import EventType
from schemas.health import Finding, HealthReport, probe_delay_s
from schemas.ids import CallbackId, TokenId
from schemas.times import UnixMs, to_rfc3339
from schemas.tokens import CallbackState
from store import alerts, changes, throttling
from store.database import Connection
from store.tables import callbacks, tokens
from store.token_rows import raise_version

_Columns = dict[str, Any]
_HEALTHY: _Columns = {"failing_since": None, "probe_at": None, "probes": 0, "disabled_at": None, "disabled_reason": None}


def record(connection: Connection, reports: Sequence[HealthReport], now: UnixMs) -> None:
    """Write what changes a callback; most reports say what is known. Call it before any delivery is written: whoever changes
    a callback locks the directory's version first, and deliveries last."""
    if any(_change(_read(connection, report.callback_id), report, now) for report in reports):
        version = raise_version(connection)
        for report in reports:  # read again under the lock: the first of several settles it
            row = _read(connection, report.callback_id)
            if row is not None and (change := _change(row, report, now)):
                _write(connection, row, change, version)
                _tell(connection, row, change, now)


def back_to_health(generation: int) -> dict[str, Any]:
    """The columns of a callback that starts afresh: what attempts of `generation` find out is void, and what waited is seen to."""
    return {**_HEALTHY, "generation": generation + 1, "reviving": True}


def _read(connection: Connection, callback_id: CallbackId) -> Any:
    return connection.execute(sa.select(callbacks).where(callbacks.c.id == callback_id)).one_or_none()


def _change(row: Any, report: HealthReport, now: UnixMs) -> _Columns | None:
    """What it changes; None when it is void or known."""
    if row is None or row.generation != report.generation or not row.enabled or row.disabled_at is not None:
        return None
    return _CHANGES[report.finding](row, report, now)


def _failing(row: Any, report: HealthReport, now: UnixMs) -> _Columns | None:
    if row.failing_since is not None:
        return None
    return {"failing_since": _since(row, report, now), "probe_at": _probe_at(row, 0, report, now), "probes": 0}


def _probe_failed(row: Any, report: HealthReport, now: UnixMs) -> _Columns | None:
    if row.failing_since is None:
        return None
    return {"probe_at": _probe_at(row, row.probes + 1, report, now), "probes": row.probes + 1}


def _works(row: Any, _report: HealthReport, _now: UnixMs) -> _Columns | None:
    return None if row.failing_since is None else back_to_health(row.generation) | {"throttled_since": None}


def _useless(row: Any, report: HealthReport, now: UnixMs) -> _Columns:
    disabled = {"disabled_at": now, "disabled_reason": report.reason, "failing_since": _since(row, report, now)}
    return {**_HEALTHY, **disabled, "generation": row.generation + 1}


_CHANGES: Mapping[Finding, Callable[[Any, HealthReport, UnixMs], _Columns | None]] = {
    Finding.FAILING: _failing,
    Finding.PROBE_FAILED: _probe_failed,
    Finding.WORKS: _works,
    Finding.USELESS: _useless,
    Finding.THROTTLED: throttling.throttled,
    Finding.TAKES: throttling.takes,
}


def _since(row: Any, report: HealthReport, now: UnixMs) -> UnixMs:
    return row.failing_since or UnixMs(now - round(report.failing_for_s * 1000))


def _probe_at(row: Any, probes: int, report: HealthReport, now: UnixMs) -> UnixMs:
    return max(row.throttled_until or now, UnixMs(now + round(probe_delay_s(probes, report.jitter) * 1000)))


def _write(connection: Connection, row: Any, change: _Columns, version: int) -> None:
    connection.execute(sa.update(callbacks).where(callbacks.c.id == row.id).values(change))
    connection.execute(sa.update(tokens).where(tokens.c.id == row.token_id).values(version=version))


def _tell(connection: Connection, row: Any, change: _Columns, now: UnixMs) -> None:
    """The operator, of an opening, a closing, a disabling; of probes nothing. A disabling stands in the operation log too: it is for
    a person to undo."""
    if change.get("disabled_at") is not None:
        before = CallbackState.HEALTHY if row.failing_since is None else CallbackState.FAILING
        details = {"state": (before, CallbackState.DISABLED), "disabled_reason": (None, change["disabled_reason"])}
        changes.record(connection, TokenId(row.token_id), Action.CALLBACK_DISABLED, details, RINGBACK, now, EventType(row.type))
        data = {"failing_since": to_rfc3339(change["failing_since"]), "reason": change["disabled_reason"]}
        alerts.add_of_callback(connection, AlertKind.CALLBACK_DISABLED, row.id, data, now)
    elif "failing_since" in change:
        kind = AlertKind.CALLBACK_FAILING if row.failing_since is None else AlertKind.CALLBACK_RECOVERED
        since = change["failing_since"] if row.failing_since is None else row.failing_since
        alerts.add_of_callback(connection, kind, row.id, {"failing_since": to_rfc3339(since)}, now)
