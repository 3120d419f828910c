"""What lists and single looks show of events and deliveries: read from the store, put into JSON by
the API and the command line.
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
    """One page of a list. `next_cursor` asks for the one after it; None on the last.
    `looked_until`, of lists by time: whatever was made then or later has been looked at, and stands
    on this page or one before, if it fits; None: so has everything.
    """

    rows: list[T]
    next_cursor: str | None
    looked_until: UnixMs | None = None


class ListedDelivery(msgspec.Struct, frozen=True):
    """A delivery as people see it: `held` derived, `url` None once its callback is deleted.

    `next_attempt_at` is None while an attempt is under way, while it is held, and when it is settled. `status_code` and
    `outcome` are those of the last attempt.
    """

    event_id: EventId
    callback_id: CallbackId
    token_id: TokenId
    url: str | None
    type: EventType
    state: DeliveryState
    reason: str | None
    next_attempt_at: UnixMs | None
    created_at: UnixMs
    status_code: int | None = None
    outcome: Outcome | None = None

    @property
    def id(self) -> DeliveryId:
        return delivery_id(self.event_id, self.callback_id)

    @property
    def is_test(self) -> bool:
        """A sample that somebody had sent."""
        return is_test_event(self.event_id)


class DeliveryDetail(msgspec.Struct, frozen=True):
    """A delivery with its attempts, oldest first."""

    delivery: ListedDelivery
    attempts: list[Attempt]


class ListedEvent(msgspec.Struct, frozen=True):
    """An event with its deliveries, or the first of very many: `deliveries_total` says how many
    there are at least. `conflicts` counts how often other content came under its id. `body` is what
    is sent.
    """

    id: EventId
    type: EventType
    timestamp: UnixMs
    accepted_at: UnixMs
    directly: bool
    conflicts: int
    body: bytes
    deliveries: list[ListedDelivery]
    deliveries_total: int


class ListedChannel(msgspec.Struct, frozen=True):
    """A channel as the latest of its events describes it."""

    id: str
    kind: str
    address: str | None
    provider: str | None
    last_seen_at: UnixMs


@dataclass(frozen=True, slots=True)
class Pulled:
    """Events as they are sent, oldest first. `next_cursor` asks for what comes behind them, now or
    later; `has_more`: there may be something already.
    """

    bodies: list[bytes]
    next_cursor: str
    has_more: bool


@dataclass(frozen=True, slots=True)
class PullFilter:
    """Which events are pulled; None: any. `since` is inclusive, `until` exclusive, both by when the
    event was taken in hand.
    """

    channels: frozenset[str] | None = None
    type: EventType | None = None
    since: UnixMs | None = None
    until: UnixMs | None = None


@dataclass(frozen=True, slots=True)
class DeliveryStats:
    """Deliveries made from `since` to before `until`. `is_complete`: that is all of what was asked
    for; if not, there were too many to count at once, and what was made before `since` is left out.
    """

    since: UnixMs
    until: UnixMs
    is_complete: bool
    counts: Mapping[tuple[EventType, DeliveryState], int]


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries a list shows; None: any. `since` is inclusive, `until` exclusive, both by
    when the delivery was made.
    """

    token: TokenId | None = None
    type: EventType | None = None
    state: DeliveryState | None = None
    since: UnixMs | None = None
    until: UnixMs | None = None
    status_code: int | None = None
    error: Outcome | None = None
    event: EventId | None = None


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events a list shows; None: any. `since` is inclusive, `until` exclusive, both by when
    the event was accepted.
    """

    type: EventType | None = None
    since: UnixMs | None = None
    until: UnixMs | None = None
