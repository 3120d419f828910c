"""What the rest of Ringback knows of the pipe. It has two adapters: RabbitMQ and the outbox table.

The API holds a `Publisher`. A dispatcher holds one `Source` for each adapter. It settles what it
fetched there, and only then gives it up: inside the settling transaction (outbox rows) or after its
commit (broker acknowledgements).
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from schemas.events.events import Event
from schemas.times import UnixMs
from store.engine.database import Connection


class Outgoing(msgspec.Struct, frozen=True):
    """An accepted event on its way into the pipe."""

    event: Event
    accepted_at: UnixMs
    """When the API accepted it."""


class QueuedMessage(msgspec.Struct, frozen=True):
    """What came out of the pipe. It is not yet known to be an event."""

    body: bytes
    accepted_at: UnixMs | None
    """When the API accepted it; None when a backend published it over AMQP."""
    message_id: str | None
    """The id that its publisher gave it next to the body."""
    deliveries: int
    """How often it was delivered before: 0 at first."""
    receipt: object
    """The source's own name for it."""


class Publisher(Protocol):
    """What makes accepted events durable. Belongs to the event loop's thread."""

    def start(self) -> None:
        """Begin, on the running event loop. Returns at once, whatever answers; `publish` works from
        then on.
        """

    async def publish(self, outgoing: Sequence[Outgoing]) -> None:
        """Return when all events are durable. Raises ExchangeUnavailable when not all could be
        stored (some may be, and also when the caller is cancelled).
        """

    def connected(self) -> bool:
        """Return whether the first choice of this publisher accepts messages now, for readiness and
        the metric `broker_connected`.
        """

    def trouble(self) -> str | None:
        """Return why events do not go by the first choice, in words; None: they do."""

    async def close(self) -> None:
        """Finish what was published, then close every connection."""


class Claimer(Protocol):
    """An intake in the same process, which can claim a message in the transaction that makes it
    durable. Thread-safe.
    """

    def is_open(self) -> bool:
        """Return whether it would: it has room, and nothing older waits in the outbox."""

    def fell_behind(self) -> None:
        """Record that a message was, or may have been, added to the outbox unclaimed. The claimer
        stays closed until a fetch that begins after this call leaves nothing.
        """

    def claim(
        self, connection: Connection, messages: Sequence[QueuedMessage]
    ) -> Callable[[], None]:
        """Claim messages in the caller's transaction. The caller calls the result after the
        commit.
        """


class Source(Protocol):
    """Where a dispatcher fetches messages from. Unless said otherwise, its methods belong to the
    event loop's thread.
    """

    def start(self) -> None:
        """Begin, on the running event loop. Returns at once, whatever answers."""

    async def wait(self) -> None:
        """Wait until `fetch` may find something."""

    def fetch(self, connection: Connection, limit: int) -> list[QueuedMessage]:
        """Return at most `limit` messages, oldest first. They belong to the caller until given up,
        or until the process dies. Runs in a store thread, inside the transaction that claims them.
        """

    def put_back(self, messages: Sequence[QueuedMessage]) -> None:
        """Have `fetch` return these messages again, as the transaction that fetched them failed."""

    def delete(self, connection: Connection, receipts: Sequence[object]) -> None:
        """Delete messages inside the transaction that settles them, in a store thread, where they
        are rows.
        """

    def acknowledge(self, receipts: Sequence[object]) -> None:
        """Acknowledge messages after the commit of the transaction that settled them."""

    async def dead_letter(self, message: QueuedMessage, reason: str) -> None:
        """Move a message that is not an event to the dead letters. It is durable there when this
        returns.
        """

    def pause(self) -> None:
        """Hold no messages while the store is unavailable for long: they go back to where they came
        from. Idempotent.
        """

    def resume(self) -> None:
        """Hold messages again, as the store is available. Idempotent."""

    def connected(self) -> bool:
        """Return whether messages can come from here."""

    async def close(self) -> None:
        """Stop consuming. Messages that were not given up are delivered again."""
