"""Low-rate work on the broker, each on a short connection of its own: declaring the topology,
looking at the queues.

Called by `ringback migrate`, by whoever gathers metrics, by `rabbit_dead` and `rabbit_policies`;
never on the way of an event. The only place that knows kombu.
"""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from kombu.connection import Connection
from kombu.exceptions import KombuError

from exchange import topology
from exchange.broker_address import BrokerAddress, broker_addresses
from exchange.rabbit.reasons import reason
from schemas.errors import ExchangeUnavailable, UsageError

CONNECT_LIMIT_S = 5.0

ANSWER_LIMIT_S = 15.0
"""For whatever is asked of the broker. Longer: a silent one, or one that takes no messages just
now, holds up a person longer.
"""

DENIED, DIFFERENT = 403, 406
"""How AMQP calls it: access refused, precondition failed."""

_OPTIONS = {
    "confirm_publish": True,
    "read_timeout": ANSWER_LIMIT_S,
    "write_timeout": ANSWER_LIMIT_S,
}


class Depths(msgspec.Struct, frozen=True):
    """Messages in the two queues, those that a dispatcher holds unacknowledged not counted."""

    dispatch: int
    dead: int


def declare(url: str) -> None:
    """Make exchanges and queues; nothing happens to those that are there. Raises
    ExchangeUnavailable, also for one that stands with other arguments. A user without the right to
    declare is content with finding them.
    """
    with opened_channel(url) as channel:
        ensure_on(channel)
        if different := standing_otherwise(channel):
            raise ExchangeUnavailable(different)


def ensure_on(channel: Any) -> None:
    """Make what is missing, on a channel that is open already. What is there is only looked at,
    which takes no rights.
    """
    for part in topology.PARTS:
        if refusal(channel, _look_at, part) is not None:
            refused = refusal(channel, _declare, part)
            if refused is not None:
                raise ExchangeUnavailable(_told(refused))


def standing_otherwise(channel: Any) -> str | None:
    """Which exchanges and queues were declared with other arguments than they should have, and what
    to do. None: none, or this user may not ask that. Binds anew, where a binding is gone.
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
        f"{', '.join(names)}: on the broker with other arguments than this version needs, which RabbitMQ cannot change, so that policies may"
        " lose what is in it. The API goes around the broker meanwhile: once it is empty, delete it (rabbitmqctl delete_queue NAME), and"
        " then run `ringback migrate`"
    )


def refusal(channel: Any, ask: Callable[..., object], *arguments: object) -> Any:
    """What the broker says when it refuses what is asked on a channel of its own, which it closes
    then; None: it does not.
    """
    try:
        with channel.connection.channel() as own:
            ask(own, *arguments)
    except channel.connection.channel_errors as error:
        return error
    return None


def _told(refused: Any) -> str:
    """A refusal in words that say what to do."""
    if refused.reply_code == DENIED:
        return f"the broker's user lacks a right ({refused.reply_text}): docs/operations.md, RabbitMQ, says which it needs"
    return f"the broker refuses: {refused.reply_text}"


def _declare(channel: Any, part: topology.Declaration) -> None:
    if isinstance(part, topology.ExchangeDeclaration):
        channel.exchange_declare(part.name, part.kind, durable=True, auto_delete=False)
    else:
        channel.queue_declare(
            part.name, durable=True, auto_delete=False, arguments=dict(part.arguments)
        )
        channel.queue_bind(part.name, part.exchange, part.routing_key)


def _look_at(channel: Any, part: topology.Declaration) -> None:
    if isinstance(part, topology.ExchangeDeclaration):
        channel.exchange_declare(part.name, part.kind, passive=True)
    else:
        channel.queue_declare(part.name, passive=True)


def depths(url: str) -> Depths:
    """Raises ExchangeUnavailable, also when the queues are not declared yet."""
    with opened_channel(url) as channel:
        dispatch, dead = (
            channel.queue_declare(name, passive=True).message_count
            for name in (topology.DISPATCH_QUEUE, topology.DEAD_QUEUE)
        )
    return Depths(dispatch, dead)


@contextmanager
def opened_channel(url: str) -> Iterator[Any]:
    """On the first address that answers. Every publish waits for its confirm. Raises
    ExchangeUnavailable for whatever goes wrong with the broker in the block, silence included.
    """
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
