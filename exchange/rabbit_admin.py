"""Low-rate work on the broker, each on a short connection of its own: declaring the topology, looking at the queues.

Called by `ringback migrate`, by whoever gathers metrics, and by `rabbit_dead`; never on the way of an event. The only place
that knows kombu.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from kombu.connection import Connection
from kombu.exceptions import KombuError

from exchange import topology
from exchange.broker_address import BrokerAddress, broker_addresses
from exchange.broker_words import reason
from schemas.errors import ExchangeUnavailable, UsageError

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
    """On the first address that answers. Every publish waits for its confirm. Raises ExchangeUnavailable for whatever goes wrong with the
    broker in the block, silence included."""
    connection = _connected(url)
    try:
        with connection:
            yield connection.default_channel
    except _broken(connection) as error:
        raise ExchangeUnavailable(f"the broker cannot be used: {reason(error)}") from error


def _connected(url: str) -> Connection:
    """kombu would take several addresses too, but apart in its own way: it is given parts."""
    try:
        addresses = broker_addresses(url)
    except ValueError as error:
        raise UsageError(f"RINGBACK_BROKER_URL: {error}") from None
    failures = []
    for address in addresses:
        connection = _connection(address)
        try:
            connection.ensure_connection(max_retries=1, timeout=CONNECT_LIMIT_S)  # type: ignore[no-untyped-call]  # as in _connection
        except _broken(connection) as error:
            failures.append(f"{address}: {reason(error)}")
        else:
            return connection
    raise ExchangeUnavailable(f"no broker answers: {'; '.join(failures)}")


def _connection(address: BrokerAddress) -> Connection:
    tls = address.tls
    return Connection(  # type: ignore[no-untyped-call]  # kombu has types in part
        hostname=address.host,
        port=address.port,
        virtual_host=address.vhost,
        userid=address.user,
        password=address.password,
        transport="pyamqp",
        ssl=tls is not None
        and {
            "cert_reqs": ssl.CERT_REQUIRED,
            "server_hostname": tls.server_name,
            "ca_certs": tls.ca_file,
            "certfile": tls.cert_file,
            "keyfile": tls.key_file,
        },
        connect_timeout=CONNECT_LIMIT_S,
        transport_options=_OPTIONS,
    )


def _broken(connection: Connection) -> tuple[type[Exception], ...]:
    """Whatever goes wrong with a broker."""
    return (
        *connection.connection_errors,
        *connection.recoverable_connection_errors,
        *connection.channel_errors,
        KombuError,
    )
