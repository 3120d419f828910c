"""Statuses for tests: deliveries of `message.status` events as a claim returns them, and their
way through the store.
"""

import json
from typing import Any

import msgspec
import sqlalchemy as sa

from schemas.deliveries.deliveries import Delivery, DeliveryState, Outcome
from schemas.deliveries.settlement import Settlement
from schemas.events.events import parse_event
from schemas.events.types import EventType
from schemas.ids import CallbackId, EventId
from schemas.times import UnixMs
from store.deliveries import probes, status_release
from store.deliveries.settlement import settle
from store.deliveries.status_gate import Admitted, admit
from store.engine.database import Database
from store.events import claims
from store.events.claims import Claim
from store.tables import callbacks, deliveries, tokens
from tests.kit.delivery_rows import callback_row
from tests.kit.making import CALLBACK, TOKEN, an_attempt

LEASE_MS = 25_000
START = 100_000
ORDER = ("queued", "sent", "failed", "delivered", "read")


def status_body(event_id: str, status: str, message_id: str = "msg_1") -> bytes:
    """A `message.status` event as a backend posts it."""
    data = {
        "message": {"id": message_id, "conversation_id": "cnv_1"},
        "status": status,
        "channel": {"id": "chn_1", "kind": "whatsapp"},
    }
    return json.dumps({"id": event_id, "type": "message.status", "data": data}).encode()


def a_status_claim(
    event_id: str,
    status: str,
    message_id: str = "msg_1",
    callback_id: str = CALLBACK,
    at: int = 1_000,
) -> Claim:
    event = parse_event(status_body(event_id, status, message_id))
    return Claim(
        event, UnixMs(at), False, (CallbackId(callback_id),), event.webhook_body(UnixMs(at))
    )


def a_status(
    event_id: str,
    status: str,
    message_id: str = "msg_1",
    callback_id: str = CALLBACK,
    at: int = 1_000,
) -> Delivery:
    """Its first attempt, not yet made."""
    claim = a_status_claim(event_id, status, message_id, callback_id, at)
    return Delivery(
        event_id=EventId(event_id),
        callback_id=CallbackId(callback_id),
        token_id=TOKEN,
        type=EventType.MESSAGE_STATUS,
        conversation_id="cnv_1",
        channel_id="chn_1",
        body=claim.body,
        accepted_at=UnixMs(at),
        created_at=UnixMs(at),
        queued_at=UnixMs(at),
        message_id=message_id,
        status=status,
    )


class Line:
    """One dispatcher's way through the store, at a time that the test sets."""

    def __init__(self, database: Database) -> None:
        self.database, self.now_ms = database, START

    @property
    def now(self) -> UnixMs:
        return UnixMs(self.now_ms)

    def claim(self, *wanted: Delivery) -> Admitted:
        """First attempts, whose events are claimed in the same transaction."""
        with self.database.write() as connection:
            batch = [
                a_status_claim(d.event_id, d.status, d.message_id or "", d.callback_id)
                for d in wanted
                if d.status
            ]
            claims.claim(connection, batch, self.now)
            return admit(connection, wanted, self.now, LEASE_MS)

    def take(self, *wanted: Delivery) -> Admitted:
        """Rows that are there: each is leased, as a take would have done it, and asks."""
        with self.database.write() as connection:
            taken = [self._leased(connection, one) for one in wanted]
            return admit(connection, taken, self.now, LEASE_MS)

    def admit(self, *wanted: Delivery) -> Admitted:
        """Rows that are leased already."""
        with self.database.write() as connection:
            return admit(connection, wanted, self.now, LEASE_MS)

    def settle(self, *settlements: Settlement) -> status_release.Freed:
        with self.database.write() as connection:
            return settle(connection, settlements, self.now)

    def fail(self) -> None:
        """Its callback fails from now on, and may be probed."""
        owner = callback_row(CALLBACK, TOKEN, EventType.MESSAGE_STATUS)
        holder = {
            "id": TOKEN,
            "version": 1,
            "name": "",
            "folded": "",
            "hint": "",
            "secret_hash": b"1",
            "signing_secrets": b"",
        }
        active = {"permissions": "[]", "enabled": True, "created_at": 0, "activates_at": 0}
        with self.database.write() as connection:
            connection.execute(sa.insert(tokens).values(holder | active))
            connection.execute(
                sa.insert(callbacks).values(owner | {"failing_since": 1, "probe_at": 1})
            )

    def probe(self) -> Admitted:
        with self.database.write() as connection:
            return probes.lease_probe(connection, CALLBACK, self.now, LEASE_MS)

    def row(self, event_id: str) -> Any:
        with self.database.read() as connection:
            return connection.execute(
                sa.select(deliveries).where(deliveries.c.event_id == event_id)
            ).one()

    def due(self, event_id: str) -> bool:
        return bool(self.row(event_id).due_at <= self.now_ms)

    def _leased(self, connection: Any, delivery: Delivery) -> Delivery:
        this = sa.and_(
            deliveries.c.event_id == delivery.event_id,
            deliveries.c.callback_id == delivery.callback_id,
        )
        values = {"lease": deliveries.c.lease + 1, "leased": True, "due_at": self.now_ms + LEASE_MS}
        row = connection.execute(
            sa.update(deliveries).where(this).values(values).returning(deliveries)
        ).one()
        return msgspec.structs.replace(
            delivery, lease=row.lease, failures=row.failures, number=1 + row.failures
        )


def delivered(delivery: Delivery) -> Settlement:
    return Settlement(delivery, DeliveryState.DELIVERED, attempt=an_attempt())


def failed(delivery: Delivery, due_in_s: float = 5.0) -> Settlement:
    attempt = an_attempt(Outcome.HTTP_5XX, 500, delivery.number)
    return Settlement(
        delivery,
        DeliveryState.PENDING,
        due_in_s=due_in_s,
        failures=delivery.failures + 1,
        attempt=attempt,
    )


def exhausted(delivery: Delivery) -> Settlement:
    attempt = an_attempt(Outcome.HTTP_5XX, 500, delivery.number)
    return Settlement(
        delivery,
        DeliveryState.EXHAUSTED,
        reason="1 attempts failed",
        failures=delivery.failures + 1,
        attempt=attempt,
    )


def events(admitted: Admitted) -> list[str]:
    return [one.event_id for one in admitted.go]
