"""What the rest of Ringback knows of the pipe. Two adapters stand behind it: RabbitMQ and the
outbox table.

The API holds a `Publisher`. A dispatcher holds one `Source` per adapter; what it takes there it
settles, and only then gives up: inside the settling transaction (outbox rows) or after its commit
(broker acknowledgements).
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from schemas.events.events import Event
from schemas.times import UnixMs
from store.engine.database import Connection


class Outgoing(msgspec.Struct, frozen=True):
    """An accepted event on its way in."""

    event: Event
    accepted_at: UnixMs


class Message(msgspec.Struct, frozen=True):
    """What came off the pipe: not yet known to be an event.

    `accepted_at` is None for a message that a backend published by AMQP itself. `deliveries` counts earlier deliveries of
    this very message (0 at first). `receipt` is the source's own.
    """

    body: bytes
    accepted_at: UnixMs | None
    message_id: str | None
    deliveries: int
    receipt: object


class Publisher(Protocol):
    """Thread-safe; request threads call it and wait."""

    def start(self) -> None:
        """Begin. Returns at once, whatever answers; `publish` works from then on."""

    def publish(self, outgoing: Sequence[Outgoing]) -> None:
        """Returns when all are durable. Raises ExchangeUnavailable when not all could be stored
        (some may be).
        """

    def connected(self) -> bool:
        """Whether the first choice of this publisher takes messages now: for readiness and
        `broker_connected`.
        """

    def trouble(self) -> str | None:
        """Why events go another way than by the first choice, in words; None: they do not."""

    def close(self) -> None:
        """Finish what was handed in, then let go of every connection."""


class Claimer(Protocol):
    """An intake in the same process, which can claim in the very transaction that makes a message
    durable. Thread-safe.
    """

    def is_open(self) -> bool:
        """Whether it would: it has room, and nothing older waits in the outbox."""

    def fell_behind(self) -> None:
        """A message was added to the outbox, or may have been: not open before a take that begins
        after this call leaves nothing.
        """

    def claim(self, connection: Connection, messages: Sequence[Message]) -> Callable[[], None]:
        """Claim them in the caller's transaction. The answer is to be called once that has
        committed.
        """


class Source(Protocol):
    """Where a dispatcher takes messages from. Its loop methods belong to the event loop's thread.
    """

    def start(self) -> None:
        """Begin, on the running event loop. Returns at once, whatever answers."""

    async def wait(self) -> None:
        """Until `take` may find something."""

    def take(self, connection: Connection, limit: int) -> list[Message]:
        """At most `limit` messages, oldest first; theirs until given up or the process dies. Runs
        in a store thread, inside the transaction that claims them.
        """

    def put_back(self, messages: Sequence[Message]) -> None:
        """The transaction that took these failed: `take` is to give them again. Nothing to do where
        that undid the taking.
        """

    def forget(self, connection: Connection, receipts: Sequence[object]) -> None:
        """Inside the transaction that settled them, in a store thread."""

    def acknowledge(self, receipts: Sequence[object]) -> None:
        """After that transaction's commit, on the event loop."""

    async def bury(self, message: Message, reason: str) -> None:
        """Put a message that is no event among the dead letters; durable when it returns, then the
        message is given up.
        """

    def pause(self) -> None:
        """Hold no message while the store is away for long: they go back to where they came from.
        Idempotent.
        """

    def resume(self) -> None:
        """The store is back. Idempotent."""

    def connected(self) -> bool: ...

    async def close(self) -> None:
        """Take no more and let go of what was not given up: it comes again."""
