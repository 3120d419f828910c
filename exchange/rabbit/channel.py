"""The part of pika's connection and channel that is used here, as types: pika ships none.

`exchange.rabbit.connection` opens the real ones. No library is imported.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

Done = Callable[[object], None]
"""A callback for the broker's answer."""


class ConfirmMethod(Protocol):
    """An ack or a nack of published messages."""

    NAME: str
    """`Basic.Ack` or `Basic.Nack`."""
    delivery_tag: int
    """The number of the message on its channel, from 1."""
    multiple: bool
    """Whether it is about all messages up to that number."""


class MethodFrame(Protocol):
    """A frame with an ack or a nack."""

    method: ConfirmMethod


class ReturnMethod(Protocol):
    """What the broker says when it returns a message."""

    reply_text: str


class DeliverMethod(Protocol):
    """What comes with a delivered message."""

    delivery_tag: int
    """The number of the message on its channel."""


class MessageProperties(Protocol):
    """What is used of the properties of a delivered message."""

    message_id: object
    """Its publisher's name for it: a text, if any. Bytes when it is not UTF-8."""
    headers: Mapping[str, object] | None


class Writer(Protocol):
    """The connection of a channel."""

    def one_write(self) -> AbstractContextManager[None]:
        """Send the frames of the block together at its end."""

    def acknowledge(self, channel: "AmqpChannel", delivery_tags: Sequence[int]) -> None:
        """Acknowledge messages of an open channel one by one, in one write."""


class AmqpChannel(Protocol):
    """A channel. Its methods return before the broker answers."""

    is_open: bool
    channel_number: int
    connection: Writer

    def close(self) -> None:
        """Close it. Messages that were not acknowledged go back to their queue."""

    def add_on_close_callback(self, callback: Callable[["AmqpChannel", Exception], None]) -> None:
        """Have `callback` called with the reason when the channel is closed."""

    def add_on_cancel_callback(self, callback: Done) -> None:
        """Have `callback` called when the broker cancels the consumer."""

    def add_on_return_callback(
        self, callback: Callable[["AmqpChannel", ReturnMethod, object, bytes], None]
    ) -> None:
        """Have `callback` called for each returned message."""

    def confirm_delivery(
        self, ack_nack_callback: Callable[[MethodFrame], None], callback: Done
    ) -> None:
        """Turn on publisher confirms, and have `ack_nack_callback` called for each."""

    def basic_publish(
        self, exchange: str, routing_key: str, body: bytes, properties: object, *, mandatory: bool
    ) -> None:
        """Publish a message."""

    def basic_qos(self, *, prefetch_count: int) -> None:
        """Set how many messages the next consumer may have unacknowledged."""

    def basic_consume(self, queue: str, on_message_callback: Callable[..., None]) -> str:
        """Start a consumer, and return its tag."""

    def basic_cancel(self, consumer_tag: str, callback: Done) -> None:
        """Stop a consumer."""

    def exchange_declare(
        self,
        exchange: str,
        exchange_type: str = "direct",
        *,
        passive: bool = False,
        durable: bool = False,
        callback: Done | None = None,
    ) -> None:
        """Declare an exchange; with `passive`, check that it exists."""

    def queue_declare(
        self,
        queue: str,
        *,
        passive: bool = False,
        durable: bool = False,
        arguments: Mapping[str, str | int] | None = None,
        callback: Done | None = None,
    ) -> None:
        """Declare a queue; with `passive`, check that it exists."""

    def queue_bind(self, queue: str, exchange: str, routing_key: str, *, callback: Done) -> None:
        """Bind a queue to an exchange."""
