"""What needs a person: failures grouped by callback and kind, and what was said about them. The
store groups them, the pages show them. Pure.
"""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from schemas.deliveries.deliveries import Outcome
from schemas.events.types import EventType
from schemas.ids import CallbackId, DeliveryId, TokenId
from schemas.shared_outage import SharedOutage
from schemas.times import UnixMs

MAX_NOTE = 500
"""Characters of a note. More: the page gets long. Fewer: a reason and a name may not fit."""

UNKNOWN_KIND = ""
"""The kind of a failure whose attempts are no longer stored."""

_WITHOUT_STATUS = frozenset(
    {
        Outcome.TIMEOUT,
        Outcome.TOO_SLOW,
        Outcome.CONNECT,
        Outcome.TLS,
        Outcome.DNS,
        Outcome.PROTOCOL,
        Outcome.BLOCKED,
    }
)


class TroubleState(StrEnum):
    """What is wrong with a callback, the worst first."""

    DISABLED = "disabled"
    """Ringback disabled it: a person has to enable it."""

    FAILING = "failing"
    """No attempt succeeds."""

    THROTTLED = "throttled"
    """Its receiver takes nothing at present, and asked for a pause."""

    REFUSING = "refusing"
    """It works, but some deliveries fail or were given up."""


class Answer(msgspec.Struct, frozen=True):
    """How one attempt ended."""

    delivery: DeliveryId
    """The delivery that was attempted."""

    at: UnixMs
    """When the attempt ended."""

    status_code: int | None
    """The HTTP status; None: there was no answer."""

    error: str | None
    """What went wrong, in words."""


class Acknowledgement(msgspec.Struct, frozen=True):
    """A person knows of a failure."""

    at: UnixMs
    """When it was acknowledged."""

    by: str
    """Who did: `user:` and an e-mail address."""

    note: str
    """What they noted; may be empty."""


class Trouble(msgspec.Struct, frozen=True):
    """Deliveries of one callback that fail in one way."""

    callback_id: CallbackId
    """The callback."""

    token_id: TokenId
    """The token of the callback."""

    token_name: str
    """The name of the token."""

    type: EventType
    """The type of the events."""

    url: str
    """The callback's URL."""

    state: TroubleState
    """What is wrong with the callback."""

    kind: str
    """How the deliveries fail: an HTTP status, an outcome, or UNKNOWN_KIND."""

    since: UnixMs
    """Since when the callback fails; of one that works, when the oldest known delivery was made."""

    reason: str | None = None
    """Why Ringback disabled the callback."""

    waiting: int = 0
    """Deliveries that wait, at most MOST_COUNTED."""

    given_up: int = 0
    """Deliveries that were given up lately, as far as they were looked at."""

    first: Answer | None = None
    """The oldest known answer; None: it is no longer stored."""

    last: Answer | None = None
    """The newest known answer."""

    acknowledged: Acknowledgement | None = None
    """What was said about it since it began; None: nothing."""


class Troubles(msgspec.Struct, frozen=True):
    """Everything that fails."""

    listed: Sequence[Trouble]
    """Those that no one has acknowledged first, the worst first."""

    left_out: int
    """How many more there are."""

    shared: SharedOutage | None
    """An outage that most callbacks share; None: there is none."""


def failure_kind(outcome: str | None, status_code: int | None) -> str:
    """Return how an attempt failed, as failures are grouped by it."""
    if outcome is None:
        return UNKNOWN_KIND
    return outcome if status_code is None or outcome in _WITHOUT_STATUS else str(status_code)
