"""The dispatcher as the consumers know it. `dispatcher.dispatcher` is the real one; the composition
root introduces the two.
"""

from collections.abc import Collection
from typing import Protocol

from schemas.deliveries.deliveries import Delivery
from schemas.ids import CallbackId


class DispatcherPort(Protocol):
    """Lanes of deliveries, and the attempts in flight. Belongs to the event loop's thread."""

    @property
    def in_flight(self) -> int:
        """How many attempts have started and not ended."""

    def submit(self, delivery: Delivery) -> None:
        """Start the delivery's attempt as soon as its lane has a free slot. What becomes of it is
        reported as a settlement.
        """

    def withdraw(self, delivery: Delivery) -> bool:
        """Remove a delivery that has not started. Return False when it has."""

    def withdraw_firsts(self, callback_id: CallbackId) -> list[Delivery]:
        """Remove and return all first attempts of a callback that have not started."""

    def is_overfull(self, callback_id: CallbackId) -> bool:
        """Return whether a new first attempt would wait too long for its start."""

    def is_throttled(self, callback_id: CallbackId) -> bool:
        """Return whether starts at this callback are limited to the rate that it accepts."""

    def has_started(self, delivery: Delivery) -> bool:
        """Return whether the delivery's attempt is in flight."""

    def is_stuck(self, delivery: Delivery) -> bool:
        """Return whether the delivery's callback keeps it from starting. A busy process does not
        count.
        """

    def free_slots(self, callback_id: CallbackId, is_retry: bool) -> int:
        """Return how many due rows of one share of a callback are worth leasing now."""

    def conversations(self, callback_id: CallbackId) -> Collection[str]:
        """Return the conversations with a delivery to this callback in flight or waiting."""

    def resume(self) -> None:
        """Start what can start now. Called every `TICK_S`."""

    def stop_starting(self) -> None:
        """Begin a drain: attempts in flight end, and no new one starts."""
