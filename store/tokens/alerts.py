"""Operational events on their way to `ALERT_URL`.

An alert is written in the transaction that caused it, so that neither exists without the other. One
dispatcher at a time leases and sends it (`consumers.maintenance.alert_relay`). A row lives until
its alert is delivered or given up. Whether alerts are sent at all is the sender's business.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

import sqlalchemy as sa

from schemas.alerts import Alert, AlertKind, alert_body
from schemas.deliveries.deliveries import DeliveryState
from schemas.ids import AlertId, CallbackId, EventId, delivery_id, new_alert_id
from schemas.times import UnixMs
from schemas.tokens.masking import masked_url
from store.engine.database import Connection
from store.tables import alerts, callbacks, deliveries, tokens
from store.tokens.rows import lock_directory

EXHAUSTED_EVERY_MS = 3_600_000
"""Milliseconds between two `delivery.exhausted` alerts of a callback. Longer: a second failure is
reported later. Shorter: a receiver that is gone fills the operator's inbox, one delivery at a time.
"""


class Exhausted(NamedTuple):
    """A delivery that was given up in this transaction."""

    event_id: EventId
    callback_id: CallbackId
    reason: str | None


def add(connection: Connection, kind: AlertKind, data: Mapping[str, object], now: UnixMs) -> None:
    """Add an alert, due now. Times in `data` are RFC 3339 texts."""
    alert_id = new_alert_id()
    row = {
        "id": alert_id,
        "body": alert_body(alert_id, kind, data, now),
        "failures": 0,
        "due_at": now,
    }
    connection.execute(sa.insert(alerts).values(row))


def add_for_callback(
    connection: Connection,
    kind: AlertKind,
    callback_id: CallbackId,
    data: Mapping[str, object],
    now: UnixMs,
) -> None:
    """Add an alert about a callback. Its `data` begins with the token and the callback.

    Do nothing when the callback was deleted.
    """
    owner = sa.select(tokens.c.id, tokens.c.name, callbacks.c.type, callbacks.c.url).where(
        tokens.c.id == callbacks.c.token_id
    )
    row = connection.execute(owner.where(callbacks.c.id == callback_id)).one_or_none()
    if row is not None:
        subject = {
            "token": {"id": row.id, "name": row.name},
            "callback": {"type": row.type, "url": masked_url(row.url)},
        }
        add(connection, kind, subject | dict(data), now)


def lock_unalerted(
    connection: Connection, callback_ids: Collection[CallbackId], now: UnixMs
) -> set[CallbackId]:
    """Lock and return the callbacks without a recent alert about an exhausted delivery.

    There is hardly ever one, so that exhausting many deliveries costs one query. Call it before any
    delivery is written or locked: callbacks are locked before deliveries everywhere
    (`store.engine.bulk`).
    """
    if not callback_ids:
        return set()
    unalerted = sa.select(callbacks.c.id).where(
        callbacks.c.id.in_(callback_ids), _not_alerted_since(now - EXHAUSTED_EVERY_MS)
    )
    if not connection.scalar(unalerted.limit(1)):
        return set()
    lock_directory(connection)  # as every transaction does that locks several callbacks
    return set(map(CallbackId, connection.scalars(unalerted.with_for_update(key_share=True))))


def alert_exhausted(
    connection: Connection, exhausted: Iterable[Exhausted], unalerted: set[CallbackId], now: UnixMs
) -> None:
    """Add one `delivery.exhausted` alert for each callback that `lock_unalerted` returned.

    Call it after the rows were written: a delivery whose row did not become `exhausted`, because
    another process had it by then, causes no alert.
    """
    unalerted = set(unalerted)
    for delivery in exhausted:
        if delivery.callback_id in unalerted and _claim_hour(connection, delivery, now):
            unalerted.discard(delivery.callback_id)
            data = {
                "delivery_id": delivery_id(delivery.event_id, delivery.callback_id),
                "event_id": delivery.event_id,
                "reason": delivery.reason,
            }
            add_for_callback(
                connection, AlertKind.DELIVERY_EXHAUSTED, delivery.callback_id, data, now
            )


def lease(connection: Connection, limit: int, now: UnixMs, lease_ms: int) -> list[Alert]:
    """Lease the oldest alerts that are due, to send them before the lease ends."""
    leased_until = UnixMs(now + lease_ms)
    due = (
        sa.select(alerts)
        .where(alerts.c.due_at <= now)
        .order_by(alerts.c.due_at, alerts.c.id)
        .limit(limit)
    )
    rows = connection.execute(due.with_for_update(skip_locked=True)).all()
    leased = [Alert(AlertId(row.id), bytes(row.body), row.failures, leased_until) for row in rows]
    if leased:
        ours = alerts.c.id.in_([alert.id for alert in leased])
        connection.execute(sa.update(alerts).where(ours).values(due_at=leased_until))
    return leased


def forget(connection: Connection, alert_id: AlertId) -> None:
    """Delete an alert that was delivered or given up."""
    connection.execute(sa.delete(alerts).where(alerts.c.id == alert_id))


def put_off(connection: Connection, alert: Alert, due_at: UnixMs) -> None:
    """Count a failed attempt, and make the next one due at `due_at`.

    Do nothing when another dispatcher has leased the alert since.
    """
    ours = sa.and_(alerts.c.id == alert.id, alerts.c.due_at == alert.leased_until)
    connection.execute(
        sa.update(alerts).where(ours).values(failures=alert.failures + 1, due_at=due_at)
    )


def _claim_hour(connection: Connection, delivery: Exhausted, now: UnixMs) -> bool:
    """Return whether this process is to alert: another one may have done so in between."""
    this = sa.and_(
        deliveries.c.event_id == delivery.event_id, deliveries.c.callback_id == delivery.callback_id
    )
    given_up = sa.exists().where(this, deliveries.c.state == DeliveryState.EXHAUSTED.value)
    ours = sa.and_(
        callbacks.c.id == delivery.callback_id,
        _not_alerted_since(now - EXHAUSTED_EVERY_MS),
        given_up,
    )
    claimed = (
        sa.update(callbacks).where(ours).values(exhausted_alerted_at=now).returning(callbacks.c.id)
    )
    return bool(connection.execute(claimed).all())


def _not_alerted_since(then: int) -> sa.ColumnElement[bool]:
    return sa.or_(
        callbacks.c.exhausted_alerted_at.is_(None), callbacks.c.exhausted_alerted_at <= then
    )
