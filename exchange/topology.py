"""What stands on the broker, as plain data: section 6 of the contract. No library is known here.

Looked at by everybody who connects (`rabbit_connection`), and declared where something is missing;
`ringback migrate` (`rabbit_admin`) declares it in any case, which finds a queue that stands with
other arguments.
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
"""What the broker itself gave up, events and dead letters, because of a policy: taken in again by
`rabbit_returned`.
"""

ACCEPTED_AT_HEADER = "x-ringback-accepted-at"
"""Unix milliseconds, set by the API. A message without it was published by a backend itself."""

REASON_HEADER = "x-ringback-reason"
"""On a dead letter: why it is no event."""

BURIED_AT_HEADER = "x-ringback-buried-at"
"""On a dead letter: Unix milliseconds. Letters are listed by it, so that one more comes last and
moves no number.
"""

DELIVERY_LIMIT = 1_000_000
"""How often a message may come back before the broker gives it up. Poison is recognised here, by
its count, long before; with a small limit (20 on newer brokers unless one is set) a few restarts
would drop whole prefetches.
"""


class ExchangeDeclaration(msgspec.Struct, frozen=True):
    name: str
    kind: str


class QueueDeclaration(msgspec.Struct, frozen=True):
    """A durable queue with its one binding."""

    name: str
    exchange: str
    routing_key: str
    arguments: Mapping[str, str | int]


EXCHANGES = (
    ExchangeDeclaration(EVENTS_EXCHANGE, "topic"),
    ExchangeDeclaration(DEAD_EXCHANGE, "fanout"),
    ExchangeDeclaration(RETURNED_EXCHANGE, "fanout"),
)


def _lossless(gives_up_to: str) -> Mapping[str, str | int]:
    """What keeps messages although somebody sets a policy for all queues: a full queue refuses what
    comes instead of dropping what it holds, and what expires or came back too often is let go of
    only when another queue has confirmed it.
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
"""In the order in which they can be declared."""
