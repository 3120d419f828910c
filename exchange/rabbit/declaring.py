"""What looks for the parts of the topology on a channel, or declares and binds them.

Called by `connection`, which knows the order and what a refusal means. No library is imported.
"""

from collections.abc import Sequence

from exchange import topology
from exchange.rabbit.channel import AmqpChannel, Done


def check(channel: AmqpChannel, parts: Sequence[topology.Declaration], done: Done) -> None:
    """Have `done` called once all parts are known to exist."""
    for part in parts:
        callback = done if part is parts[-1] else None
        if isinstance(part, topology.ExchangeDeclaration):
            channel.exchange_declare(part.name, passive=True, callback=callback)
        else:
            channel.queue_declare(part.name, passive=True, callback=callback)


def declare(channel: AmqpChannel, part: topology.Declaration, done: Done) -> None:
    """Have `done` called once the part exists."""
    if isinstance(part, topology.ExchangeDeclaration):
        channel.exchange_declare(part.name, part.kind, durable=True, callback=done)
    else:
        channel.queue_declare(
            part.name, durable=True, arguments=dict(part.arguments), callback=done
        )


def bind(channel: AmqpChannel, queue: topology.QueueDeclaration, done: Done) -> None:
    """Have `done` called once the queue is bound to its exchange."""
    channel.queue_bind(queue.name, queue.exchange, queue.routing_key, callback=done)
