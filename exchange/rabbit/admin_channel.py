"""The part of kombu's channel that is used here, as types: kombu has them only in part.

`exchange.rabbit.admin` opens the real one. No library is imported.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol


class Refusal(Protocol):
    """The broker's error for a request."""

    reply_code: int
    """AMQP's reply code."""
    reply_text: str
    """What the broker says."""


class RawMessage(Protocol):
    """A message as the broker has it."""

    body: bytes | memoryview
    properties: Mapping[str, object]
    """AMQP's properties by name; `application_headers` are the headers."""
    delivery_tag: int
    """The number of the message on its channel."""


class QueueStatus(Protocol):
    """What the broker says about a declared queue."""

    message_count: int
    """Messages that are ready, without those that a consumer holds."""


class AdminConnection(Protocol):
    """The connection of a channel."""

    channel_errors: tuple[type[Exception], ...]
    """The errors that close a channel only."""

    def channel(self) -> "AbstractContextManager[AdminChannel]":
        """Open another channel, which is closed at the end of the block."""


class AdminChannel(Protocol):
    """A channel whose methods wait for the broker's answer, and raise its errors."""

    connection: AdminConnection
    auto_decode: bool
    """Whether bodies are decoded to text."""

    def exchange_declare(
        self,
        exchange: str,
        type: str | None = None,  # noqa: A002 - kombu's name
        *,
        passive: bool = False,
        durable: bool = False,
        auto_delete: bool = True,
    ) -> None:
        """Declare an exchange; with `passive`, check that it exists."""

    def queue_declare(
        self,
        queue: str,
        *,
        passive: bool = False,
        durable: bool = False,
        auto_delete: bool = True,
        arguments: Mapping[str, str | int] | None = None,
    ) -> QueueStatus:
        """Declare a queue; with `passive`, check that it exists."""

    def queue_bind(self, queue: str, exchange: str, routing_key: str) -> None:
        """Bind a queue to an exchange."""

    def queue_delete(self, queue: str) -> None:
        """Delete a queue with all that is in it."""

    def prepare_message(
        self,
        body: bytes | memoryview,
        *,
        content_type: str | None = None,
        headers: Mapping[str, object] | None = None,
        properties: Mapping[str, object] | None = None,
    ) -> object:
        """Make a message to publish."""

    def basic_publish(
        self, message: object, exchange: str, routing_key: str, *, mandatory: bool = False
    ) -> None:
        """Publish a message."""

    def basic_get(self, queue: str, *, no_ack: bool = False) -> RawMessage | None:
        """Return the first message that is ready, if any."""

    def basic_ack(self, delivery_tag: int) -> None:
        """Acknowledge a message."""
