"""Admitting: of deliveries that are about to be sent, those whose turn it is
(docs/invariants.md#statuses-never-go-backwards). Events of other types cost nothing here.

Called in the transaction that claims or takes them, whatever for: first attempts, due rows, probes,
attempts that were asked for.
"""

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from schemas.deliveries.deliveries import Delivery, DeliveryState, Move, Settlement, next_state
from schemas.events.status_order import OVERTAKEN
from schemas.times import UnixMs
from store.deliveries import settlement, status_locks
from store.engine.database import Connection
from store.tables import requested_attempts

ASK_AGAIN_MS = 1000
"""When an attempt that was asked for tries again to get a place that is taken. Shorter: more takes
in vain. Longer: it is late.
"""


class Admitted(msgspec.Struct, frozen=True):
    """Those that go, in the order given, and how many have to wait or were overtaken: of these the
    store has taken care.
    """

    go: list[Delivery]
    waiting: int = 0
    overtaken: int = 0


def admit(
    connection: Connection, wanted: Sequence[Delivery], now: UnixMs, lease_ms: int
) -> Admitted:
    """`wanted` are the caller's until `now + lease_ms`: claimed in this transaction, or taken with
    that lease.
    """
    if all(one.status is None for one in wanted):
        return Admitted(list(wanted))
    standing = status_locks.acquire(connection, wanted, now, lease_ms)
    waiting = [(one, wait_ms) for one, wait_ms in standing.wait if not one.asked_for]
    overtaken = [one for one in standing.overtaken if not one.asked_for]
    settlement.settle(
        connection, [*(_waiting(*one) for one in waiting), *map(_overtaken, overtaken)], now
    )
    _put_off(connection, [one for one, _ in standing.wait if one.asked_for], now)
    _drop(connection, [one for one in standing.overtaken if one.asked_for])
    left = {*standing.overtaken, *(one for one, _ in standing.wait)}
    return Admitted([one for one in wanted if one not in left], len(waiting), len(overtaken))


def _waiting(delivery: Delivery, wait_ms: int) -> Settlement:
    return Settlement(
        delivery,
        DeliveryState.PENDING,
        due_in_s=wait_ms / 1000,
        failures=delivery.failures,
        awaits_status=True,
    )


def _overtaken(delivery: Delivery) -> Settlement:
    return Settlement(
        delivery,
        next_state(DeliveryState.PENDING, Move.OVERTAKEN),
        reason=OVERTAKEN,
        failures=delivery.failures,
    )


def _put_off(connection: Connection, asked: Sequence[Delivery], now: UnixMs) -> None:
    if asked:
        these = requested_attempts.c.id.in_([one.attempt_id for one in asked])
        connection.execute(
            sa.update(requested_attempts).where(these).values(due_at=now + ASK_AGAIN_MS)
        )


def _drop(connection: Connection, asked: Sequence[Delivery]) -> None:
    """Who asked was told that it could be: meanwhile something newer was sent."""
    if asked:
        connection.execute(
            sa.delete(requested_attempts).where(
                requested_attempts.c.id.in_([one.attempt_id for one in asked])
            )
        )
