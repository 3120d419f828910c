"""Dead letters: messages that are no events, wherever they lie. What the command line knows of
them.

Two adapters: the broker's queue (`rabbit_dead`) and the rows of the outbox (`outbox_dead`).
"""

from collections.abc import Callable, Collection
from typing import Protocol

import msgspec

from schemas.times import UnixMs


class DeadLetter(msgspec.Struct, frozen=True):
    """A message as it came, and why it was no event. `accepted_at` is None for one that a backend
    published by AMQP itself.

    `mark` is 64 hexadecimal digits that say which letter it is, wherever it stands among the others. Letters with one mark are alike.
    """

    body: bytes
    reason: str
    message_id: str | None
    accepted_at: UnixMs | None
    mark: str


class DeadLetters(Protocol):
    """Letters are in the order in which they died, so that one more comes last. All raise
    ExchangeUnavailable or StoreUnavailable, and what was done until then is done: `told` is called
    after each.

    `marks` names letters, a mark of several as often as is wanted; None: all that are there now.
    """

    def count(self) -> int: ...
    def look(self, most: int) -> list[DeadLetter]:
        """The first. They stay where they are."""

    def replay(self, marks: Collection[str] | None, told: Callable[[], None]) -> None:
        """Put these back to where events come from, durably, and only then away from here; twice
        rather than not at all.
        """

    def drop(self, marks: Collection[str] | None, told: Callable[[], None]) -> None:
        """Throw these away."""
