"""Recoveries: jobs that send undelivered events once more. Their queries and their progress.

The API and the command line create recoveries, `store.recoveries.jobs` stores them, and
`consumers.maintenance.recovery_runner` runs them.
"""

from enum import StrEnum

import msgspec

from schemas.events.types import EventType
from schemas.ids import RecoveryId, TokenId
from schemas.times import UnixMs


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
