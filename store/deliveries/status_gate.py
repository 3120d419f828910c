"""The status gate: admits, of deliveries that are about to be sent, those whose turn it is
(docs/invariants.md#statuses-never-go-backwards). Events of other types cost nothing here.

Called in the transaction that claims or leases the deliveries: first attempts, due rows, probes and
requested attempts.
"""

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from schemas.deliveries.deliveries import Delivery, Move, target_state
from schemas.deliveries.settlement import Settlement, given_back
from schemas.events.status_order import OVERTAKEN
from schemas.times import UnixMs
from store.deliveries import settlement, status_locks
from store.engine.database import Connection
from store.figures.counting import Ended, count_ended
from store.tables import requested_attempts

ASK_AGAIN_MS = 1000
"""When a requested attempt tries again to get a status lock that is held. Shorter: more leases
without effect. Longer: it is late.
"""


class Admitted(msgspec.Struct, frozen=True):
    """Which deliveries may be sent now. What becomes of the others is written already."""

    go: list[Delivery]
    """The deliveries that may be sent, in the order given."""
    waiting: int = 0
    """How many have to wait for another status."""
    overtaken: int = 0
    """How many were superseded by a newer status."""


def admit(
    connection: Connection, wanted: Sequence[Delivery], now: UnixMs, lease_ms: int
) -> Admitted:
    """Acquire the status locks of `wanted` and return the deliveries that may be sent.

    They must be the caller's until `now + lease_ms`: claimed in this transaction, or leased with
    that lease.
    """
    if all(delivery.status is None for delivery in wanted):
        return Admitted(list(wanted))
    result = status_locks.acquire(connection, wanted, now, lease_ms)
    waiting = [
        (delivery, wait_ms) for delivery, wait_ms in result.wait if not delivery.is_requested
    ]
    overtaken = [delivery for delivery in result.overtaken if not delivery.is_requested]
    settlement.settle(
        connection,
        [*(_waiting(*one) for one in waiting), *map(_overtaken, overtaken)],
        now,
    )
    ended = [Ended(one.event_id, one.callback_id, one.type) for one in overtaken]
    count_ended(connection, target_state(Move.OVERTAKEN), ended, now)
    _postpone(connection, [delivery for delivery, _ in result.wait if delivery.is_requested], now)
    _drop(connection, [delivery for delivery in result.overtaken if delivery.is_requested])
    left = {*result.overtaken, *(delivery for delivery, _ in result.wait)}
    go = [delivery for delivery in wanted if delivery not in left]
    return Admitted(go, len(waiting), len(overtaken))


def _waiting(delivery: Delivery, wait_ms: int) -> Settlement:
    return msgspec.structs.replace(given_back(delivery, wait_ms / 1000), awaits_status=True)


def _overtaken(delivery: Delivery) -> Settlement:
    return Settlement(
        delivery,
        target_state(Move.OVERTAKEN),
        reason=OVERTAKEN,
        failures=delivery.failures,
    )


def _postpone(connection: Connection, requested: Sequence[Delivery], now: UnixMs) -> None:
    if requested:
        these = requested_attempts.c.id.in_([delivery.attempt_id for delivery in requested])
        connection.execute(
            sa.update(requested_attempts).where(these).values(due_at=now + ASK_AGAIN_MS)
        )


def _drop(connection: Connection, requested: Sequence[Delivery]) -> None:
    """Delete requested attempts that were accepted before something newer was sent."""
    if requested:
        these = requested_attempts.c.id.in_([delivery.attempt_id for delivery in requested])
        connection.execute(sa.delete(requested_attempts).where(these))
