"""Dead letters: messages that are not events, as the command line knows them.

Two adapters: the broker's queue (`exchange.rabbit.dead_letters`) and the rows of the outbox
(`exchange.outbox.dead_letters`).
"""

from collections.abc import Callable, Collection
from typing import Protocol

import msgspec

from schemas.times import UnixMs


class DeadLetter(msgspec.Struct, frozen=True):
    """A message as it came, and why it is not an event."""

    body: bytes
    """The body, unchanged."""
    reason: str
    """Why it is not an event, in words."""
    message_id: str | None
    """The id that its publisher gave it next to the body."""
    accepted_at: UnixMs | None
    """When the API accepted it; None when a backend published it over AMQP."""
    mark: str
    """64 hexadecimal digits that identify the letter, at any position. Identical letters have one
    mark.
    """


class DeadLetters(Protocol):
    """Letters in the order in which they were dead-lettered, so that a new one comes last.

    All methods raise ExchangeUnavailable or StoreUnavailable. What was done until then is done:
    `on_progress` is called after each letter. `marks` selects letters, a mark of several as often
    as it is repeated; None selects all that are there now.
    """

    def count(self) -> int:
        """Return how many letters there are."""

    def peek(self, most: int) -> list[DeadLetter]:
        """Return the first letters, which stay where they are."""

    def replay(self, marks: Collection[str] | None, on_progress: Callable[[], None]) -> None:
        """Move letters back to where events come from. Each is stored there before it is deleted
        here: twice rather than not at all.
        """

    def drop(self, marks: Collection[str] | None, on_progress: Callable[[], None]) -> None:
        """Delete letters."""
