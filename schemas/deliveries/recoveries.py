"""Recoveries: jobs that send undelivered events once more. Their queries and their progress.

The API and the command line create recoveries, `store.recoveries.jobs` stores them, and
`consumers.maintenance.recovery_runner` runs them.
"""

from enum import StrEnum

import msgspec

from schemas.deliveries.deliveries import Outcome
from schemas.events.types import EventType
from schemas.ids import CallbackId, DeliveryId, EventId, RecoveryId, TokenId, split_delivery_id
from schemas.times import UnixMs

MAX_DELIVERIES = 1000
"""Deliveries that a recovery may name. More: each step of it reads more. Fewer: a person who ticked
many has to ask more than once.
"""


class Recoverable(StrEnum):
    """What a recovery can send again."""

    EXHAUSTED = "exhausted"
    """Deliveries that were given up."""

    HELD = "held"
    """Deliveries that wait until their callback or token is active again."""

    MISSING = "missing"
    """Events without a delivery for a callback that may see them now. Not a state of deliveries."""


class RecoveryState(StrEnum):
    """Whether a recovery still runs, and how it ended."""

    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"


class RecoveryQuery(msgspec.Struct, frozen=True):
    """The deliveries to recover.

    The time that counts is the delivery's creation, and for missing deliveries the acceptance of
    the event.
    """

    since: UnixMs
    """The beginning of the time range, inclusive."""

    until: UnixMs
    """The end of the time range, exclusive."""

    states: tuple[Recoverable, ...]
    """What to recover, in the order of the work."""

    token: TokenId | None = None
    """The token; None: any."""

    type: EventType | None = None
    """The event type; None: any."""

    status_code: int | None = None
    """The HTTP status of the last attempt; None: any."""

    error: Outcome | None = None
    """The outcome of the last attempt; None: any."""

    deliveries: tuple[DeliveryId, ...] | None = None
    """The deliveries, at most MAX_DELIVERIES; None: any."""

    @property
    def keys(self) -> set[tuple[EventId, CallbackId]] | None:
        """The pairs that the ids in `deliveries` spell."""
        if self.deliveries is None:
            return None
        return {key for one in self.deliveries if (key := split_delivery_id(one))}


class Counted(msgspec.Struct, frozen=True):
    """How much there is to recover."""

    total: int
    """The deliveries that were counted."""

    is_complete: bool
    """Whether these are all. If not, there were too many rows to count at once."""


class Recovery(msgspec.Struct, frozen=True):
    """A recovery and its progress."""

    id: RecoveryId
    """The public id."""

    query: RecoveryQuery
    """What the recovery sends again."""

    state: RecoveryState
    """Whether the recovery still runs."""

    total: int
    """Deliveries to recover: those that were counted when the recovery was created (of very many, a
    part), and those found later. In the end `total` is `done` plus `skipped`.
    """

    done: int
    """Deliveries that were made due."""

    skipped: int
    """Deliveries that cannot be sent now: the token is inactive, the callback is off or disabled,
    or the status is outdated.
    """

    created_at: UnixMs
    """When the recovery was created."""

    worked_at: UnixMs = UnixMs(0)
    """When the recovery last made progress; 0: not yet."""

    trouble: str | None = None
    """Why the last slice of the work failed; None: it succeeded."""
