"""What stands on the broker, as plain data: section 6 of the contract. No library is known here.

Declared by everybody who connects (`rabbit_connection`) and by `ringback migrate` (`rabbit_admin`), always alike: RabbitMQ
refuses to declare a queue again with other arguments.
"""

from collections.abc import Mapping

import msgspec

EVENTS_EXCHANGE = "ringback.events"
DISPATCH_QUEUE = "ringback.dispatch"
DEAD_EXCHANGE = "ringback.dead"
DEAD_QUEUE = "ringback.dead"

ACCEPTED_AT_HEADER = "x-ringback-accepted-at"
"""Unix milliseconds, set by the API. A message without it was published by a backend itself."""

REASON_HEADER = "x-ringback-reason"
"""On a dead letter: why it is no event."""

DELIVERY_LIMIT = 1_000_000
"""How often a message may come back before the broker gives it up. Poison is recognised here, by its count, long before; with a
small limit (20 on newer brokers unless one is set) a few restarts would drop whole prefetches."""


class ExchangeDeclaration(msgspec.Struct, frozen=True):
    name: str
    kind: str


class QueueDeclaration(msgspec.Struct, frozen=True):
    """A durable queue with its one binding."""

    name: str
    exchange: str
    routing_key: str
    arguments: Mapping[str, str | int]


EXCHANGES = (ExchangeDeclaration(EVENTS_EXCHANGE, "topic"), ExchangeDeclaration(DEAD_EXCHANGE, "fanout"))

# The broker itself dead-letters only at the delivery limit, in practice never; our own dead letters are published and
# confirmed before the original is acknowledged. So its dead-lettering stays at-most-once, the default: at-least-once would
# ask for the overflow `reject-publish` and keep what it cannot pass on in the way of the events.
QUEUES = (
    QueueDeclaration(
        DISPATCH_QUEUE,
        EVENTS_EXCHANGE,
        "#",
        {"x-queue-type": "quorum", "x-delivery-limit": DELIVERY_LIMIT, "x-dead-letter-exchange": DEAD_EXCHANGE},
    ),
    QueueDeclaration(DEAD_QUEUE, DEAD_EXCHANGE, "", {"x-queue-type": "quorum"}),
)
