"""Low-rate work on the broker, each on a short connection of its own: declaring the topology, looking at the queues.

Called by `ringback migrate`, by whoever gathers metrics, and by `rabbit_dead`; never on the way of an event. The only place
that knows kombu.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from kombu.connection import Connection
from kombu.exceptions import KombuError

from exchange import topology
from schemas.errors import ExchangeUnavailable

CONNECT_LIMIT_S = 5.0

ANSWER_LIMIT_S = 15.0
"""For whatever is asked of the broker. Longer: a silent one, or one that takes no messages just now, holds up a person longer."""

_OPTIONS = {"confirm_publish": True, "read_timeout": ANSWER_LIMIT_S, "write_timeout": ANSWER_LIMIT_S}


class Depths(msgspec.Struct, frozen=True):
    """Messages in the two queues, those that a dispatcher holds unacknowledged not counted."""

    dispatch: int
    dead: int


def declare(url: str) -> None:
    """Make exchanges and queues; nothing happens to those that are there. Raises ExchangeUnavailable."""
    with opened_channel(url) as channel:
        declare_on(channel)


def declare_on(channel: Any) -> None:
    """The same, on a channel that is open already."""
    for exchange in topology.EXCHANGES:
        channel.exchange_declare(exchange.name, exchange.kind, durable=True, auto_delete=False)
    for queue in topology.QUEUES:
        channel.queue_declare(queue.name, durable=True, auto_delete=False, arguments=dict(queue.arguments))
        channel.queue_bind(queue.name, queue.exchange, queue.routing_key)


def depths(url: str) -> Depths:
    """Raises ExchangeUnavailable, also when the queues are not declared yet."""
    with opened_channel(url) as channel:
        dispatch, dead = (
            channel.queue_declare(name, passive=True).message_count for name in (topology.DISPATCH_QUEUE, topology.DEAD_QUEUE)
        )
    return Depths(dispatch, dead)


@contextmanager
def opened_channel(url: str) -> Iterator[Any]:
    """On the first address that answers; kombu knows the separator `;`. Every publish waits for its confirm. Raises
    ExchangeUnavailable for whatever goes wrong with the broker in the block, silence included."""
    connection = Connection(url, connect_timeout=CONNECT_LIMIT_S, transport_options=_OPTIONS)  # type: ignore[no-untyped-call]  # kombu has types in part
    try:
        with connection:
            connection.ensure_connection(max_retries=1, timeout=2 * CONNECT_LIMIT_S)  # type: ignore[no-untyped-call]  # as above
            yield connection.default_channel
    except (*connection.connection_errors, *connection.recoverable_connection_errors, *connection.channel_errors, KombuError) as error:
        raise ExchangeUnavailable(f"no broker answers: {str(error) or type(error).__name__}") from error
