"""Recoveries: what was not delivered is sent once more. What is asked for, and how far it has come.

Made by the API and the command line, kept by `store.recoveries.jobs`, worked on by
`consumers.maintenance.recovery_runner`.
"""

from enum import StrEnum

import msgspec

from schemas.events.types import EventType
from schemas.ids import RecoveryId, TokenId
from schemas.times import UnixMs


class Recoverable(StrEnum):
    """`missing` is no delivery's state: events without a delivery for a callback that may see them
    now.
    """

    EXHAUSTED = "exhausted"
    HELD = "held"
    MISSING = "missing"


class RecoveryState(StrEnum):
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"


class RecoveryQuery(msgspec.Struct, frozen=True):
    """What to recover; None: any. `since` is inclusive, `until` exclusive: by when the delivery was
    made, of what is missing by when the event was accepted. The states are worked through in their
    order here.
    """

    since: UnixMs
    until: UnixMs
    states: tuple[Recoverable, ...]
    token: TokenId | None = None
    type: EventType | None = None


class Recovery(msgspec.Struct, frozen=True):
    """A job, and how far it has come. All three figures count deliveries.

    `total` is what was there to recover when it was asked for, of very many a part; what is missing, and what was not counted, is
    added as it is found, and at the end it is `done` and `skipped` together. `done` were made due; `skipped` cannot be sent now: an
    inactive token, a callback that is off or disabled, a status that is stale. `trouble` says why its last slice failed; None: it did
    not. `worked_at` is when it last had its turn.
    """

    id: RecoveryId
    query: RecoveryQuery
    state: RecoveryState
    total: int
    done: int
    skipped: int
    created_at: UnixMs
    worked_at: UnixMs = UnixMs(0)
    trouble: str | None = None
