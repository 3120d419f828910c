"""The rows of lists and the details of events and deliveries. The store reads them, the API and the
command line turn them into JSON.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from schemas.deliveries.deliveries import Attempt, DeliveryState, Outcome
from schemas.events.types import EventType
from schemas.ids import CallbackId, DeliveryId, EventId, TokenId, delivery_id, is_test_event
from schemas.times import UnixMs

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list."""

    rows: list[T]
    """The rows, in the list's order."""

    next_cursor: str | None
    """The cursor of the next page; None on the last one."""

    looked_until: UnixMs | None = None
    """In lists by time: all rows from this time on were checked against the filter, and those that
    match are on this page or an earlier one. None: all rows were checked.
    """


class ListedDelivery(msgspec.Struct, frozen=True):
    """A delivery as lists show it."""

    event_id: EventId
    """The event that is delivered."""

    callback_id: CallbackId
    """The callback that is called."""

    token_id: TokenId
    """The token that the callback belongs to."""

    url: str | None
    """The callback's URL; None once the callback is deleted."""

    type: EventType
    """The event's type."""

    state: DeliveryState
    """The state, with `held` derived."""

    reason: str | None
    """Why the delivery ended without success; None otherwise."""

    next_attempt_at: UnixMs | None
    """When the next attempt is due; None during an attempt, while the delivery is held, and once it
    has ended.
    """

    created_at: UnixMs
    """When the delivery was created."""

    status_code: int | None = None
    """The HTTP status of the last attempt; None: there was no response."""

    outcome: Outcome | None = None
    """The outcome of the last attempt; None: none was made."""

    @property
    def id(self) -> DeliveryId:
        """The public id."""
        return delivery_id(self.event_id, self.callback_id)

    @property
    def is_test(self) -> bool:
        """Whether the delivery is a test with a sample."""
        return is_test_event(self.event_id)


class DeliveryDetail(msgspec.Struct, frozen=True):
    """A delivery with its attempts."""

    delivery: ListedDelivery
    """The delivery."""

    attempts: list[Attempt]
    """The attempts, oldest first."""


class ListedEvent(msgspec.Struct, frozen=True):
    """An event with its deliveries."""

    id: EventId
    """The event's id."""

    type: EventType
    """The event's type."""

    timestamp: UnixMs
    """When the event happened, by its backend."""

    accepted_at: UnixMs
    """When the event was accepted."""

    directly: bool
    """Whether a backend published the event to the broker itself, not through the API."""

    conflicts: int
    """How often a different event came under the same id."""

    body: bytes
    """The body of its webhooks."""

    deliveries: list[ListedDelivery]
    """The deliveries, or the first of very many."""

    deliveries_total: int
    """How many deliveries there are at least."""


class EventHead(msgspec.Struct, frozen=True):
    """An event without its body and its deliveries."""

    id: EventId
    """The event's id."""

    type: EventType
    """The event's type."""

    timestamp: UnixMs
    """When the event happened, by its backend."""

    accepted_at: UnixMs
    """When the event was accepted."""

    directly: bool
    """Whether a backend published the event to the broker itself, not through the API."""

    conflicts: int
    """How often a different event came under the same id."""

    channel_id: str
    """The channel, by which tokens see the event or not."""

    conversation_id: str
    """The conversation that the event belongs to."""

    claimed_at: UnixMs | None
    """When the event was matched to callbacks, by the store's clock; None: it is a test."""


class ListedChannel(msgspec.Struct, frozen=True):
    """A channel as its latest event describes it."""

    id: str
    """The channel's id, which tokens see or do not see."""

    kind: str
    """The kind, such as `whatsapp`."""

    address: str | None
    """The number or address of the channel."""

    provider: str | None
    """The provider of the channel."""

    last_seen_at: UnixMs
    """When the latest event of the channel was accepted."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """One answer to a client that pulls events."""

    bodies: list[bytes]
    """The bodies of webhooks, oldest first."""

    next_cursor: str
    """The cursor of the events after these, valid now or later."""

    has_more: bool
    """Whether there may already be events after these."""


@dataclass(frozen=True, slots=True)
class PullFilter:
    """The events that a client pulls. Times are those of the event's claim."""

    channels: frozenset[str] | None = None
    """The channels; None: all."""

    type: EventType | None = None
    """The event type; None: any."""

    since: UnixMs | None = None
    """The beginning of the time range, inclusive; None: unlimited."""

    until: UnixMs | None = None
    """The end of the time range, exclusive; None: unlimited."""


@dataclass(frozen=True, slots=True)
class DeliveryStats:
    """Counts of the deliveries that were created in a time range."""

    since: UnixMs
    """The beginning of the counted range, inclusive."""

    until: UnixMs
    """The end of the counted range, exclusive."""

    is_complete: bool
    """Whether the whole requested range was counted. If not, there were too many deliveries to
    count at once, and those created before `since` are left out.
    """

    counts: Mapping[tuple[EventType, DeliveryState], int]
    """The number of deliveries by event type and state."""


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """The deliveries that a list shows; None means any value. Times are those of the creation."""

    token: TokenId | None = None
    """The token of the callback."""

    type: EventType | None = None
    """The event type."""

    state: DeliveryState | None = None
    """The state, with `held` derived."""

    since: UnixMs | None = None
    """The beginning of the time range, inclusive."""

    until: UnixMs | None = None
    """The end of the time range, exclusive."""

    status_code: int | None = None
    """The HTTP status of the last attempt."""

    error: Outcome | None = None
    """The outcome of the last attempt."""

    event: EventId | None = None
    """The event."""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """The events that a list shows; None means any value. Times are those of the acceptance."""

    type: EventType | None = None
    """The event type."""

    since: UnixMs | None = None
    """The beginning of the time range, inclusive."""

    until: UnixMs | None = None
    """The end of the time range, exclusive."""
