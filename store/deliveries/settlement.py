"""Settling: writes outcomes of deliveries in bulk.

An outcome applies only under the lease it was made with (docs/invariants.md#leases-carry-a-number);
an answer (`delivered`) always counts. A row that is not there yet is inserted as it ends.
"""

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from schemas.deliveries.deliveries import DeliveryState, Move, Trigger, target_state
from schemas.deliveries.settlement import Settlement
from schemas.times import UnixMs
from store.deliveries import status_release
from store.deliveries.rows import NOT_QUEUED, NewRow, queue_columns
from store.engine import bulk
from store.engine.database import Connection
from store.tables import attempts, deliveries, delivery_moves, requested_attempts
from store.tokens import alerts

_BY_LEASE = (Move.FAILED, Move.GAVE_UP, Move.OVERTAKEN, Move.WITHDRAWN)
"""The moves that only the holder of the lease may make."""

_FOR_THE_NEXT = ("is_retry", "is_recovery", "awaits_status")
"""The columns that the next holder of a lease needs."""

_excluded = sa.table(
    "excluded", *(sa.column(name) for name in ("state", "lease", "due_at", *_FOR_THE_NEXT))
)
_OUTCOME = ("state", "reason", "due_at", "leased", "failures", "status_code", "outcome")
_IF_OURS = sa.or_(
    sa.and_(
        _excluded.c.state == target_state(Move.ANSWERED).value,
        delivery_moves.permitted(Move.ANSWERED),
    ),
    sa.and_(delivery_moves.permitted(*_BY_LEASE), deliveries.c.lease == _excluded.c.lease),
)
_LAST_KNOWN = ("status_code", "outcome")
_SETTLED = bulk.Upsert(_OUTCOME, where=_IF_OURS, keep_if_null=_LAST_KNOWN)
_if_open = {
    "lease_count": sa.literal_column("0"),
    **{name: _excluded.c[name] for name in _FOR_THE_NEXT},
}
_IF_OPEN = {
    name: sa.case((_excluded.c.due_at.is_(None), deliveries.c[name]), else_=value)
    for name, value in _if_open.items()
}
_SOME_OPEN = bulk.Upsert(_OUTCOME, where=_IF_OURS, keep_if_null=_LAST_KNOWN, computed=_IF_OPEN)


def settle(
    connection: Connection, settlements: Sequence[Settlement], now: UnixMs
) -> status_release.Freed:
    """Write deliveries and attempts, delete the requests that were carried out, and let statuses
    that waited follow.
    """
    final: dict[tuple[str, str], Settlement] = {}
    for settlement in settlements:
        key = settlement.delivery.key
        if settlement.state is not None and _outweighs(settlement, final.get(key)):
            final[key] = settlement
    ordered = [final[key] for key in sorted(final)]
    exhausted = [_exhausted(settlement) for settlement in ordered if _was_given_up(settlement)]
    unalerted = alerts.lock_unalerted(connection, {one.callback_id for one in exhausted}, now)
    _write(connection, ordered, now)
    attempted = sorted(
        (s for s in settlements if s.attempt),
        key=lambda s: (s.delivery.key, s.attempt.id if s.attempt else ""),
    )
    bulk.insert(connection, attempts, [_attempt_row(s) for s in attempted])
    requested = [
        s.delivery.attempt_id
        for s in settlements
        if s.delivery.attempt_id and (s.attempt or s.state is not None)
    ]
    if requested:
        connection.execute(
            sa.delete(requested_attempts).where(requested_attempts.c.id.in_(requested))
        )
    alerts.alert_exhausted(connection, exhausted, unalerted, now)
    return status_release.release(connection, settlements, now)


def _write(connection: Connection, ordered: Sequence[Settlement], now: UnixMs) -> None:
    """Write all deliveries in one statement.

    With a statement for each kind of settlement, rows would be locked out of the order of keys
    (`store.engine.bulk`). Mostly no delivery stays open, and then fewer columns are written.
    """
    if all(settlement.due_in_s is None for settlement in ordered):
        settled = [_delivery_row(settlement, now) for settlement in ordered]
        bulk.insert(connection, deliveries, settled, _SETTLED)
    else:
        rows = [
            _delivery_row(settlement, now)
            | (_NEVER_OPEN if settlement.due_in_s is None else _when_open(settlement, now))
            for settlement in ordered
        ]
        bulk.insert(connection, deliveries, rows, _SOME_OPEN)


def _was_given_up(settlement: Settlement) -> bool:
    """Whether the operator may be alerted. A test of a callback shows its failure to the person who
    made it.
    """
    return (
        settlement.state is DeliveryState.EXHAUSTED
        and settlement.delivery.trigger is not Trigger.TEST
    )


def _exhausted(settlement: Settlement) -> alerts.Exhausted:
    return alerts.Exhausted(*settlement.delivery.key, settlement.reason)


def _outweighs(settlement: Settlement, other: Settlement | None) -> bool:
    """Whether `settlement` is written, of two of one delivery in a batch: an answer wins, else the
    higher lease, else the later.
    """
    if other is None or settlement.state is DeliveryState.DELIVERED:
        return True
    return (
        other.state is not DeliveryState.DELIVERED
        and settlement.delivery.lease >= other.delivery.lease
    )


def _delivery_row(settlement: Settlement, now: UnixMs) -> NewRow:
    delivery, attempt = settlement.delivery, settlement.attempt
    assert settlement.state is not None
    return {
        "event_id": delivery.event_id,
        "callback_id": delivery.callback_id,
        "token_id": delivery.token_id,
        "type": delivery.type.value,
        "state": settlement.state.value,
        "reason": settlement.reason,
        "created_at": delivery.created_at,
        "due_at": None if settlement.due_in_s is None else now + int(settlement.due_in_s * 1000),
        "leased": settlement.leased,
        "lease": delivery.lease,
        "failures": settlement.failures,
        "status_code": attempt.status_code if attempt else None,
        "outcome": attempt.outcome.value if attempt else None,
    }


_NEVER_OPEN: NewRow = {
    "is_retry": False,
    "is_recovery": False,
    "awaits_status": False,
    **NOT_QUEUED,
}
"""What a row that is settled when it is first written has in the columns of open ones. A row that
was there before keeps its own.
"""


def _when_open(settlement: Settlement, now: UnixMs) -> NewRow:
    """Return the columns that the next lease holder needs.

    A delivery that is due immediately keeps its original due time, and so its position.
    """
    delivery = settlement.delivery
    due_at = {} if settlement.due_in_s else {"due_at": min(now, delivery.queued_at)}
    return {
        "is_retry": delivery.trigger is not Trigger.FIRST or settlement.failures > 0,
        "is_recovery": delivery.trigger is Trigger.RECOVER and settlement.attempt is None,
        "awaits_status": settlement.awaits_status,
        **queue_columns(delivery),
        **due_at,
    }


def _attempt_row(settlement: Settlement) -> NewRow:
    delivery, attempt = settlement.delivery, settlement.attempt
    assert attempt is not None
    headers, phases = attempt.response_headers, attempt.phases
    return {
        "event_id": delivery.event_id,
        "callback_id": delivery.callback_id,
        "id": attempt.id,
        "number": attempt.number,
        "trigger": attempt.trigger.value,
        "started_at": attempt.started_at,
        "duration_ms": attempt.duration_ms,
        "outcome": attempt.outcome.value,
        "status_code": attempt.status_code,
        "error": attempt.full_error,
        "request_headers": msgspec.json.encode(attempt.request_headers),
        "response_body": attempt.response_body,
        "response_headers": None if headers is None else msgspec.json.encode(headers),
        "address": attempt.address,
        "dns_ms": phases.dns_ms,
        "connect_ms": phases.connect_ms,
        "tls_ms": phases.tls_ms,
        "wait_ms": phases.wait_ms,
    }
