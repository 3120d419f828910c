"""Low-rate work on the broker, each on a short connection of its own: declaring the topology,
checking the queues.

Called by `ringback migrate`, by the gauges, by `dead_letters` and `policies`; never on the way of
an event. The only place that knows kombu.
"""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Concatenate, ParamSpec, cast

import msgspec
from kombu.connection import Connection
from kombu.exceptions import KombuError

from exchange import topology
from exchange.broker_address import BrokerAddress, broker_addresses
from exchange.rabbit.admin_channel import AdminChannel, Refusal
from exchange.rabbit.reasons import reason
from schemas.errors import ExchangeUnavailable, UsageError

CONNECT_TIMEOUT_S = 5.0
"""How long one address may take to connect. Longer: a frozen node delays the next address. Shorter:
a busy node seems frozen.
"""

ANSWER_TIMEOUT_S = 15.0
"""How long the broker may take for any answer. Longer: a person waits longer for a silent one, or
one that accepts no messages just now. Shorter: a busy broker seems silent.
"""

DENIED, DIFFERENT = 403, 406
"""AMQP's reply codes for access refused and precondition failed."""

_OPTIONS = {
    "confirm_publish": True,
    "read_timeout": ANSWER_TIMEOUT_S,
    "write_timeout": ANSWER_TIMEOUT_S,
}

_Arguments = ParamSpec("_Arguments")


class Depths(msgspec.Struct, frozen=True):
    """Messages in the two queues, without those that a dispatcher holds unacknowledged."""

    dispatch: int
    """Events that wait for a dispatcher."""
    dead: int
    """Dead letters."""


def declare(url: str) -> None:
    """Create exchanges and queues that are missing. A user without the right to declare may use
    those that exist.

    Raises ExchangeUnavailable, also for one that exists with other arguments.
    """
    with opened_channel(url) as channel:
        ensure_on(channel)
        if different := different_declarations(channel):
            raise ExchangeUnavailable(different)


def ensure_on(channel: AdminChannel) -> None:
    """Create what is missing, on an open channel. What exists is only checked, which takes no
    rights.
    """
    for part in topology.PARTS:
        if refusal(channel, _check, part) is not None:
            refused = refusal(channel, _declare, part)
            if refused is not None:
                raise ExchangeUnavailable(_in_words(refused))


def different_declarations(channel: AdminChannel) -> str | None:
    """Return which exchanges and queues were declared with other arguments than they should have,
    and what to do. None: none, or this user may not ask that. Missing bindings are made.
    """
    refused = {part.name: refusal(channel, _declare, part) for part in topology.PARTS}
    names = [
        name
        for name, error in refused.items()
        if error is not None and error.reply_code == DIFFERENT
    ]
    if not names:
        return None
    return (
        f"{', '.join(names)}: on the broker with other arguments than this version needs, which"
        " RabbitMQ cannot change, so that policies may lose what is in it. The API publishes via"
        " the outbox meanwhile. Once the queue is empty, delete it (rabbitmqctl delete_queue NAME),"
        " and then run `ringback migrate`"
    )


def refusal(
    channel: AdminChannel,
    ask: Callable[Concatenate[AdminChannel, _Arguments], object],
    *arguments: _Arguments.args,
    **named: _Arguments.kwargs,
) -> Refusal | None:
    """Call `ask` with a channel of its own, which the broker closes when it refuses. Return the
    broker's error then, else None.
    """
    try:
        with channel.connection.channel() as own:
            ask(own, *arguments, **named)
    except channel.connection.channel_errors as error:
        return cast("Refusal", error)
    return None


def _in_words(refused: Refusal) -> str:
    """Return a refusal in words that say what to do."""
    if refused.reply_code == DENIED:
        return (
            f"the broker's user lacks a right ({refused.reply_text}):"
            " docs/operations.md, RabbitMQ, says which it needs"
        )
    return f"the broker refuses: {refused.reply_text}"


def _declare(channel: AdminChannel, part: topology.Declaration) -> None:
    if isinstance(part, topology.ExchangeDeclaration):
        channel.exchange_declare(part.name, part.kind, durable=True, auto_delete=False)
    else:
        channel.queue_declare(
            part.name, durable=True, auto_delete=False, arguments=dict(part.arguments)
        )
        channel.queue_bind(part.name, part.exchange, part.routing_key)


def _check(channel: AdminChannel, part: topology.Declaration) -> None:
    if isinstance(part, topology.ExchangeDeclaration):
        channel.exchange_declare(part.name, part.kind, passive=True)
    else:
        channel.queue_declare(part.name, passive=True)


def depths(url: str) -> Depths:
    """Return how many messages wait. Raises ExchangeUnavailable, also when the queues are not
    declared yet.
    """
    with opened_channel(url) as channel:
        dispatch, dead = (
            channel.queue_declare(name, passive=True).message_count
            for name in (topology.DISPATCH_QUEUE, topology.DEAD_QUEUE)
        )
    return Depths(dispatch, dead)


@contextmanager
def opened_channel(url: str) -> Iterator[AdminChannel]:
    """Open a channel on the first address that answers. Every publish on it waits for its confirm.

    Raises ExchangeUnavailable for every error of the broker in the block, silence included.
    """
    connection = _connected(url)
    try:
        with connection:
            yield cast("AdminChannel", connection.default_channel)
    except _errors(connection) as error:
        raise ExchangeUnavailable(f"the broker cannot be used: {reason(error)}") from error


def _connected(url: str) -> Connection:
    """Connect to the first address that answers. kombu could take several too, but would parse them
    in its own way: it is given parts.
    """
    try:
        addresses = broker_addresses(url)
    except ValueError as error:
        raise UsageError(f"RINGBACK_BROKER_URL: {error}") from None
    failures = []
    for address in addresses:
        connection = _connection(address)
        try:
            connection.ensure_connection(  # type: ignore[no-untyped-call]  # as in _connection
                max_retries=1, timeout=CONNECT_TIMEOUT_S
            )
        except _errors(connection) as error:
            failures.append(f"{address}: {reason(error)}")
        else:
            return connection
    raise ExchangeUnavailable(f"cannot reach the broker: {'; '.join(failures)}")


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
        connect_timeout=CONNECT_TIMEOUT_S,
        transport_options=_OPTIONS,
    )


def _errors(connection: Connection) -> tuple[type[Exception], ...]:
    """Return every error that a broker may cause."""
    return (
        *connection.connection_errors,
        *connection.recoverable_connection_errors,
        *connection.channel_errors,
        KombuError,
    )
