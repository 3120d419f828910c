"""Dead letters: messages that are no events, wherever they lie. What the command line knows of them.

Two adapters: the broker's queue (`rabbit_dead`) and the rows of the outbox (`outbox_dead`).
"""

from collections.abc import Callable, Collection
from typing import Protocol

import msgspec

from schemas.times import UnixMs


class DeadLetter(msgspec.Struct, frozen=True):
    """A message as it came, and why it was no event. `accepted_at` is None for one that a backend published by AMQP itself."""

    body: bytes
    reason: str
    message_id: str | None
    accepted_at: UnixMs | None


class DeadLetters(Protocol):
    """Letters are numbered from 1, the oldest by acceptance; those without are the last. All raise ExchangeUnavailable or
    StoreUnavailable, and what was done until then is done: `told` is called after each.
    """

    def count(self) -> int: ...
    def look(self, most: int) -> list[DeadLetter]:
        """The oldest. They stay where they are."""

    def replay(self, numbers: Collection[int], told: Callable[[], None]) -> None:
        """Put these back to where events come from, durably, and only then away from here; twice rather than not at all."""

    def drop(self, numbers: Collection[int], told: Callable[[], None]) -> None:
        """Throw these away."""
