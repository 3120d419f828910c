"""Settlements: what the dispatcher and the store decide about a delivery, as values. Pure.

`consumers.pipeline.settler` collects settlements, `store.deliveries.settlement` writes them.
"""

import msgspec

from schemas.deliveries.callback_health import HealthReport
from schemas.deliveries.deliveries import Attempt, Delivery, DeliveryState


class Settlement(msgspec.Struct, frozen=True):
    """What the store must write about a delivery: an outcome, a lease, or a return to the queue."""

    delivery: Delivery
    """The delivery as the process held it."""

    state: DeliveryState | None
    """The new state; None leaves the row unchanged (a requested attempt that failed)."""

    reason: str | None = None
    """Why the delivery ended without success, as it is shown."""

    due_in_s: float | None = None
    """Seconds until the delivery is due, from the writing, by the store's clock; None when it has
    ended.
    """

    leased: bool = False
    """Whether the process keeps the delivery: `due_in_s` is then the end of its lease."""

    failures: int = 0
    """Automatic attempts that have failed so far."""

    attempt: Attempt | None = None
    """The attempt that was made; None: none was made."""

    awaits_status: bool = False
    """Whether the delivery waits for another status of its message."""

    health: HealthReport | None = None
    """What the attempt says about the callback; None: nothing new."""

    throttled: bool = False
    """Whether the callback is paused, so that later deliveries of it wait too."""


def given_back(delivery: Delivery, due_in_s: float = 0.0) -> Settlement:
    """Return the settlement of a delivery that this process did not send: any process may lease it
    again after `due_in_s`. Use a delay when the callback is the reason, as another process could
    not send the delivery either.
    """
    # the row of the request becomes due again by itself; the delivery's row must not move
    if delivery.is_requested:
        return Settlement(delivery, None)
    return Settlement(
        delivery, DeliveryState.PENDING, due_in_s=due_in_s, failures=delivery.failures
    )


def leased(delivery: Delivery, lease_s: float) -> Settlement:
    """Return the settlement that keeps a delivery for this process until its lease ends."""
    return Settlement(
        delivery, DeliveryState.PENDING, due_in_s=lease_s, leased=True, failures=delivery.failures
    )
