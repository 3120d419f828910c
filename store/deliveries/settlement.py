"""Settling: what was found out about deliveries is written in bulk (rules 3, 6 and 7 of the
architecture).

An outcome applies only under the lease it was made with; an answer (`delivered`) always counts.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from schemas.deliveries.deliveries import DeliveryState, Settlement, Trigger
from schemas.times import UnixMs
from store.deliveries import status_locks
from store.engine import bulk
from store.engine.database import Connection
from store.tables import attempts, deliveries, requested_attempts
from store.tokens import alerts

_FOR_WHO_TAKES_IT = ("is_retry", "is_recovery", "awaits_status")
_excluded = sa.table(
    "excluded", *(sa.column(name) for name in ("state", "lease", "due_at", *_FOR_WHO_TAKES_IT))
)
_OUTCOME = ("state", "reason", "due_at", "leased", "failures", "status_code", "outcome")
_IF_OURS = sa.or_(
    _excluded.c.state == DeliveryState.DELIVERED.value,
    sa.and_(
        deliveries.c.state == DeliveryState.PENDING.value, deliveries.c.lease == _excluded.c.lease
    ),
)
_LAST_SEEN = ("status_code", "outcome")
_SETTLED = bulk.Upsert(_OUTCOME, _IF_OURS, _LAST_SEEN)
_if_open = {
    "lease_count": sa.literal_column("0"),
    **{name: _excluded.c[name] for name in _FOR_WHO_TAKES_IT},
}
_IF_OPEN = {
    name: sa.case((_excluded.c.due_at.is_(None), deliveries.c[name]), else_=value)
    for name, value in _if_open.items()
}
_SOME_OPEN = bulk.Upsert(_OUTCOME, _IF_OURS, _LAST_SEEN, _IF_OPEN)


def settle(
    connection: Connection, settlements: Sequence[Settlement], now: UnixMs
) -> status_locks.Freed:
    """Write deliveries and attempts, forget the requests that were carried out, and let statuses
    that waited follow.
    """
    final: dict[tuple[str, str], Settlement] = {}
    for one in settlements:
        if one.state is not None and _outweighs(one, final.get(one.delivery.key)):
            final[one.delivery.key] = one
    ordered = [final[key] for key in sorted(final)]
    exhausted = [_exhausted(one) for one in ordered if _was_given_up(one)]
    unalerted = alerts.lock_unalerted(connection, {one.callback_id for one in exhausted}, now)
    _write(connection, ordered, now)
    made = sorted(
        (s for s in settlements if s.attempt),
        key=lambda s: (s.delivery.key, s.attempt.id if s.attempt else ""),
    )
    bulk.insert(connection, attempts, [_attempt_row(s) for s in made])
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
    return status_locks.release(connection, settlements, now)


def _write(connection: Connection, ordered: Sequence[Settlement], now: UnixMs) -> None:
    """All in one statement: with one for each kind, rows would be locked out of the order of keys
    (`store.engine.bulk`). Mostly none stays open, and then fewer columns are written.
    """
    if all(one.due_in_s is None for one in ordered):
        bulk.insert(connection, deliveries, [_delivery_row(one, now) for one in ordered], _SETTLED)
    else:
        rows = [
            _delivery_row(one, now)
            | (_NEVER_TAKEN if one.due_in_s is None else _when_open(one, now))
            for one in ordered
        ]
        bulk.insert(connection, deliveries, rows, _SOME_OPEN)


def _was_given_up(settlement: Settlement) -> bool:
    """Whoever tests a callback sees by the answer that it failed."""
    return (
        settlement.state is DeliveryState.EXHAUSTED
        and settlement.delivery.trigger is not Trigger.TEST
    )


def _exhausted(settlement: Settlement) -> alerts.Exhausted:
    return alerts.Exhausted(*settlement.delivery.key, settlement.reason)


def _outweighs(one: Settlement, other: Settlement | None) -> bool:
    """Of two settlements of one delivery in a batch, an answer wins, else the higher lease, else
    the later.
    """
    if other is None or one.state is DeliveryState.DELIVERED:
        return True
    return other.state is not DeliveryState.DELIVERED and one.delivery.lease >= other.delivery.lease


def _delivery_row(settlement: Settlement, now: UnixMs) -> dict[str, Any]:
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


_NEVER_TAKEN: dict[str, Any] = {
    "is_retry": False,
    "is_recovery": False,
    "awaits_status": False,
    "sequence": 0,
    "queued_at": None,
    "conversation_id": None,
    "message_id": None,
    "status": None,
}
"""What a row that is settled when it is first written has in the columns of open ones. One that was
there keeps its own.
"""


def _when_open(settlement: Settlement, now: UnixMs) -> dict[str, Any]:
    """What whoever takes it next goes by. What is due at once is due since its age counts: it keeps
    its place.
    """
    delivery = settlement.delivery
    due_at = {} if settlement.due_in_s else {"due_at": min(now, delivery.queued_at)}
    return {
        "is_retry": delivery.trigger is not Trigger.FIRST or settlement.failures > 0,
        "is_recovery": delivery.trigger is Trigger.RECOVER and settlement.attempt is None,
        "awaits_status": settlement.awaits_status,
        "sequence": delivery.sequence,
        "queued_at": delivery.queued_at,
        "conversation_id": delivery.conversation_id,
        "message_id": delivery.message_id,
        "status": delivery.status,
        **due_at,
    }


def _attempt_row(settlement: Settlement) -> bulk.Row:
    delivery, attempt = settlement.delivery, settlement.attempt
    assert attempt is not None
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
        "error": attempt.told,
        "request_headers": msgspec.json.encode(attempt.request_headers),
        "response_body": attempt.response_body,
    }
