"""Operational events on their way to `ALERT_URL`. Written in the transaction of what they tell of,
so that neither is without the other; taken under a lease by whichever dispatcher sends them
(`consumers.maintenance.alert_relay`).

A row lives until its alert is delivered or given up. Whether anybody is to be told at all is the
sender's business.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

import sqlalchemy as sa

from schemas.alerts import Alert, AlertKind, alert_body
from schemas.deliveries.deliveries import DeliveryState
from schemas.ids import AlertId, CallbackId, EventId, delivery_id, new_alert_id
from schemas.times import UnixMs
from store.engine.database import Connection
from store.tables import alerts, callbacks, deliveries, tokens
from store.tokens.rows import lock_directory

EXHAUSTED_EVERY_MS = 3_600_000
"""Of `delivery.exhausted`, per callback. Shorter: a receiver that is gone fills the operator's
inbox, one delivery at a time.
"""


class Exhausted(NamedTuple):
    """A delivery that was given up in this transaction."""

    event_id: EventId
    callback_id: CallbackId
    reason: str | None


def add(connection: Connection, kind: AlertKind, data: Mapping[str, object], now: UnixMs) -> None:
    """Have this told. Times in `data` are RFC 3339 texts."""
    alert_id = new_alert_id()
    row = {
        "id": alert_id,
        "body": alert_body(alert_id, kind, data, now),
        "failures": 0,
        "due_at": now,
    }
    connection.execute(sa.insert(alerts).values(row))


def add_of_callback(
    connection: Connection,
    kind: AlertKind,
    callback_id: CallbackId,
    data: Mapping[str, object],
    now: UnixMs,
) -> None:
    """The same, of a callback: which one, and of which token, stands before `data`. Of one that was
    deleted nothing is told.
    """
    owner = sa.select(tokens.c.id, tokens.c.name, callbacks.c.type, callbacks.c.url).where(
        tokens.c.id == callbacks.c.token_id
    )
    found = connection.execute(owner.where(callbacks.c.id == callback_id)).one_or_none()
    if found is not None:
        whose = {
            "token": {"id": found.id, "name": found.name},
            "callback": {"type": found.type, "url": found.url},
        }
        add(connection, kind, whose | dict(data), now)


def lock_unalerted(
    connection: Connection, callback_ids: Collection[CallbackId], now: UnixMs
) -> set[CallbackId]:
    """Those of which nobody was told lately that a delivery was exhausted: hardly ever any, so that
    exhausting many costs one query.

    Call it before any delivery is written or locked: callbacks are locked before deliveries
    everywhere (`store.engine.bulk`).
    """
    if not callback_ids:
        return set()
    unalerted = sa.select(callbacks.c.id).where(
        callbacks.c.id.in_(callback_ids), _not_told_since(now - EXHAUSTED_EVERY_MS)
    )
    if not connection.scalar(unalerted.limit(1)):
        return set()
    lock_directory(connection)  # as does whoever else locks several callbacks
    return set(map(CallbackId, connection.scalars(unalerted.with_for_update(key_share=True))))


def alert_exhausted(
    connection: Connection, exhausted: Iterable[Exhausted], unalerted: set[CallbackId], now: UnixMs
) -> None:
    """One `delivery.exhausted` for each of those that `lock_unalerted` gave. Call it after the rows
    were written: a delivery whose row did not become `exhausted`, as somebody else had it by then,
    is not told of.
    """
    unalerted = set(unalerted)
    for one in exhausted:
        if one.callback_id in unalerted and _claim_hour(connection, one, now):
            unalerted.discard(one.callback_id)
            data = {
                "delivery_id": delivery_id(one.event_id, one.callback_id),
                "event_id": one.event_id,
                "reason": one.reason,
            }
            add_of_callback(connection, AlertKind.DELIVERY_EXHAUSTED, one.callback_id, data, now)


def take(connection: Connection, limit: int, now: UnixMs, lease_ms: int) -> list[Alert]:
    """The oldest that are due, for whoever sends them within the lease."""
    leased_until = UnixMs(now + lease_ms)
    due = (
        sa.select(alerts)
        .where(alerts.c.due_at <= now)
        .order_by(alerts.c.due_at, alerts.c.id)
        .limit(limit)
    )
    rows = connection.execute(due.with_for_update(skip_locked=True)).all()
    taken = [Alert(AlertId(row.id), bytes(row.body), row.failures, leased_until) for row in rows]
    if taken:
        ours = alerts.c.id.in_([alert.id for alert in taken])
        connection.execute(sa.update(alerts).where(ours).values(due_at=leased_until))
    return taken


def forget(connection: Connection, alert_id: AlertId) -> None:
    """It was delivered, or given up."""
    connection.execute(sa.delete(alerts).where(alerts.c.id == alert_id))


def put_off(connection: Connection, alert: Alert, due_at: UnixMs) -> None:
    """An attempt failed; the next one is due then. Nothing happens when the lease has passed to
    somebody else.
    """
    ours = sa.and_(alerts.c.id == alert.id, alerts.c.due_at == alert.leased_until)
    connection.execute(
        sa.update(alerts).where(ours).values(failures=alert.failures + 1, due_at=due_at)
    )


def _claim_hour(connection: Connection, one: Exhausted, now: UnixMs) -> bool:
    """Whether it is on us to tell: another dispatcher may have done so in between."""
    this = sa.and_(
        deliveries.c.event_id == one.event_id, deliveries.c.callback_id == one.callback_id
    )
    given_up = sa.exists().where(this, deliveries.c.state == DeliveryState.EXHAUSTED.value)
    ours = sa.and_(
        callbacks.c.id == one.callback_id, _not_told_since(now - EXHAUSTED_EVERY_MS), given_up
    )
    told = (
        sa.update(callbacks).where(ours).values(exhausted_alerted_at=now).returning(callbacks.c.id)
    )
    return bool(connection.execute(told).all())


def _not_told_since(then: int) -> sa.ColumnElement[bool]:
    return sa.or_(
        callbacks.c.exhausted_alerted_at.is_(None), callbacks.c.exhausted_alerted_at <= then
    )
