"""What is declared on the broker, as plain data (docs/backends.md). No library is known here.

Checked on every connection (`exchange.rabbit.connection`), and declared where something is missing.
`ringback migrate` (`exchange.rabbit.admin`) declares all of it, which finds a queue that was
declared with other arguments.
"""

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

EVENTS_EXCHANGE = "ringback.events"
DISPATCH_QUEUE = "ringback.dispatch"
DEAD_EXCHANGE = "ringback.dead"
DEAD_QUEUE = "ringback.dead"
RETURNED_EXCHANGE = "ringback.returned"
RETURNED_QUEUE = "ringback.returned"
"""The queue of events and dead letters that the broker gave up because of a policy.
`exchange.rabbit.returned` takes them in again.
"""

ACCEPTED_AT_HEADER = "x-ringback-accepted-at"
"""Unix milliseconds, set by the API. A message without it was published by a backend itself."""

REASON_HEADER = "x-ringback-reason"
"""On a dead letter: why it is not an event."""

DEAD_LETTERED_AT_HEADER = "x-ringback-dead-lettered-at"
"""On a dead letter: Unix milliseconds. Letters are listed by it, so that a new one comes last and
changes no number.
"""

DELIVERY_LIMIT = 1_000_000
"""How often a message may come back before the broker gives it up. Ringback recognises poison by
its count, long before. Smaller (20 on newer brokers unless one is set): a few restarts would drop
whole prefetches.
"""


class ExchangeDeclaration(msgspec.Struct, frozen=True):
    """A durable exchange."""

    name: str
    kind: str
    """AMQP's word for how it routes: `topic`, `fanout`."""


class QueueDeclaration(msgspec.Struct, frozen=True):
    """A durable queue with its one binding."""

    name: str
    exchange: str
    """The exchange that it is bound to."""
    routing_key: str
    """The key of that binding."""
    arguments: Mapping[str, str | int]
    """Its `x-` arguments."""


EXCHANGES = (
    ExchangeDeclaration(EVENTS_EXCHANGE, "topic"),
    ExchangeDeclaration(DEAD_EXCHANGE, "fanout"),
    ExchangeDeclaration(RETURNED_EXCHANGE, "fanout"),
)


def _lossless(gives_up_to: str) -> Mapping[str, str | int]:
    """Return arguments that keep messages even if there is a policy for all queues. A full queue
    refuses new messages instead of dropping old ones. What expires or came back too often is
    removed only when another queue has confirmed it.
    """
    return {
        "x-queue-type": "quorum",
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-overflow": "reject-publish",
        "x-dead-letter-exchange": gives_up_to,
        "x-dead-letter-strategy": "at-least-once",
    }


# What expires among the returned, with no process there to take it, becomes a dead letter. What has
# been through all three queues stays in the last: RabbitMQ routes no message in a circle, and
# at-least-once keeps what has no route.
QUEUES = (
    QueueDeclaration(DISPATCH_QUEUE, EVENTS_EXCHANGE, "#", _lossless(RETURNED_EXCHANGE)),
    QueueDeclaration(RETURNED_QUEUE, RETURNED_EXCHANGE, "", _lossless(DEAD_EXCHANGE)),
    QueueDeclaration(DEAD_QUEUE, DEAD_EXCHANGE, "", _lossless(RETURNED_EXCHANGE)),
)

Declaration: TypeAlias = ExchangeDeclaration | QueueDeclaration
PARTS: tuple[Declaration, ...] = (*EXCHANGES, *QUEUES)
"""All declarations, in the order in which they can be made."""
