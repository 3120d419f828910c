"""The life of a delivery: its states, its moves between them, and the record of one attempt.

The transition table below is the whole truth. The dispatcher asks `next_state`, and an illegal move
is an error. The store derives from the table what it writes and which rows it may write
(`store.tables.delivery_moves`). A row that is first written when its delivery has ended stands for
MADE and the moves after it.
"""

from enum import StrEnum
from math import inf

import msgspec

from schemas.deliveries.phases import NO_PHASES, Phases
from schemas.events.types import EventType
from schemas.ids import AttemptId, CallbackId, EventId, TokenId
from schemas.times import UnixMs

BYTES_PER_WEIGHT = 32 * 1024
"""Bytes of a body that count like one more delivery in the limit of what a process holds. Larger:
more memory while events are large. Smaller: fewer events of middling size are held at once.
"""


class DeliveryState(StrEnum):
    """The state of a delivery. It is `held` while its callback or token is switched off."""

    # `held` is never stored: it is derived (docs/invariants.md#held-is-derived).

    PENDING = "pending"
    DELIVERED = "delivered"
    EXHAUSTED = "exhausted"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"
    HELD = "held"


class Trigger(StrEnum):
    """The cause of an attempt."""

    FIRST = "first"
    RETRY = "retry"
    MANUAL = "manual"
    RECOVER = "recover"
    TEST = "test"
    PROBE = "probe"


class Outcome(StrEnum):
    """How an attempt ended, classified once, where it happened."""

    DELIVERED = "delivered"
    HTTP_3XX = "http_3xx"
    HTTP_4XX = "http_4xx"
    HTTP_5XX = "http_5xx"
    GONE = "gone"
    THROTTLED = "throttled"
    TIMEOUT = "timeout"
    TOO_SLOW = "too_slow"
    CONNECT = "connect"
    TLS = "tls"
    DNS = "dns"
    PROTOCOL = "protocol"
    BLOCKED = "blocked"


class Move(StrEnum):
    """What happens to a delivery."""

    ANSWERED = "answered"  # a 2xx
    FAILED = "failed"  # any other outcome, with attempts left
    GAVE_UP = "gave_up"  # any other outcome, with none left
    OVERTAKEN = "overtaken"  # a newer status of the same message took its place
    # token revoked or expired, or sees the channel no longer; callback deleted; or discarded by
    # hand
    WITHDRAWN = "withdrawn"
    # a recovery gives an exhausted one the whole schedule once more
    REOPENED = "reopened"
    RESTARTED = "restarted"  # a recovery gives a held one the whole schedule once more
    MADE = "made"  # its first row is written


_S, _M = DeliveryState, Move
_MOVES: dict[tuple[DeliveryState | None, Move], DeliveryState] = {
    (None, _M.MADE): _S.PENDING,
    (_S.PENDING, _M.ANSWERED): _S.DELIVERED,
    (_S.PENDING, _M.FAILED): _S.PENDING,
    (_S.PENDING, _M.GAVE_UP): _S.EXHAUSTED,
    (_S.PENDING, _M.OVERTAKEN): _S.SUPERSEDED,
    (_S.PENDING, _M.WITHDRAWN): _S.CANCELLED,
    (_S.EXHAUSTED, _M.REOPENED): _S.PENDING,
    (_S.PENDING, _M.RESTARTED): _S.PENDING,
    # An answer under a lapsed lease, or to an attempt asked for by hand, is still an answer.
    (_S.EXHAUSTED, _M.ANSWERED): _S.DELIVERED,
    (_S.CANCELLED, _M.ANSWERED): _S.DELIVERED,
    (_S.SUPERSEDED, _M.ANSWERED): _S.DELIVERED,
    (_S.DELIVERED, _M.ANSWERED): _S.DELIVERED,
}

SETTLED = frozenset({_S.DELIVERED, _S.EXHAUSTED, _S.SUPERSEDED, _S.CANCELLED})


class IllegalMove(Exception):
    """A move that the table does not allow: a bug, which no input can cause."""


def next_state(state: DeliveryState | None, move: Move) -> DeliveryState:
    """Return the state after `move`; `state` None: there is no row yet. Raises IllegalMove."""
    try:
        return _MOVES[state, move]
    except KeyError:
        raise IllegalMove(f"a delivery that is {state} cannot be {move}") from None


def source_states(move: Move) -> frozenset[DeliveryState]:
    """Return the stored states that `move` may start from; empty for the one that makes a row."""
    return frozenset(state for state, known in _MOVES if known is move and state is not None)


def target_state(move: Move) -> DeliveryState:
    """Return the state that `move` leads to: one, whatever the state before."""
    return next(target for (_, known), target in _MOVES.items() if known is move)


class Delivery(msgspec.Struct, frozen=True, eq=False):
    """One event for one callback, as a process holds it from the claim or the lease to the
    settlement.

    Equal only to itself: a process may hold the same delivery twice, once for its schedule and once
    for a requested attempt.
    """

    event_id: EventId
    """The event that is delivered."""

    callback_id: CallbackId
    """The callback that is called."""

    token_id: TokenId
    """The token that the callback belongs to."""

    type: EventType
    """The event's type."""

    conversation_id: str
    """The event's conversation, within which deliveries keep their order."""

    channel_id: str
    """The event's channel, which decides whether the token may see the event."""

    body: bytes
    """The body of every attempt, byte for byte."""

    accepted_at: UnixMs
    """When the event was accepted."""

    created_at: UnixMs
    """When the delivery was created."""

    queued_at: UnixMs
    """The time from which the delivery's age counts, and by which it is ordered."""

    sequence: int = 0
    """The order among deliveries with the same `queued_at`."""

    message_id: str | None = None
    """The message that a `message.status` is about; None for other types."""

    status: str | None = None
    """The status in a `message.status`, if it has a rank; None for other types."""

    lease: int = 0
    """The number of the lease under which the row is held; 0: a first attempt without a row
    (docs/invariants.md#leases-carry-a-number).
    """

    failures: int = 0
    """Automatic attempts that have failed so far."""

    number: int = 1
    """The number of the coming attempt, counted from 1 over all triggers."""

    trigger: Trigger = Trigger.FIRST
    """The cause of the coming attempt."""

    attempt_id: AttemptId | None = None
    """The id of an attempt that was requested (manual, test); None for automatic attempts."""

    start_by_s: float = inf
    """The last moment (`time.monotonic`, in seconds) at which the attempt may start and still end
    within the lease.
    """

    @property
    def key(self) -> tuple[EventId, CallbackId]:
        """The pair that identifies the delivery."""
        return self.event_id, self.callback_id

    @property
    def weight(self) -> int:
        """The share of a process's capacity that the delivery uses: 1 for most."""
        return 1 + len(self.body) // BYTES_PER_WEIGHT

    @property
    def is_requested(self) -> bool:
        """Whether the attempt was requested, in addition to the automatic ones. The failure of such
        an attempt is only recorded.
        """
        return self.attempt_id is not None


class Attempt(msgspec.Struct, frozen=True):
    """The record of one HTTP request of a delivery."""

    id: AttemptId
    """The public id."""

    number: int
    """The number among the delivery's attempts, counted from 1."""

    trigger: Trigger
    """The cause of the attempt."""

    started_at: UnixMs
    """When the attempt started, by the store's clock."""

    duration_ms: int
    """Milliseconds from the start to the end, name resolution included."""

    outcome: Outcome
    """How the attempt ended."""

    status_code: int | None
    """The HTTP status; None when no response came."""

    error: str | None
    """What went wrong, in Ringback's words. Of an attempt that delivered: what was wrong with the
    rest of the response.
    """

    request_headers: dict[str, str]
    """The request's headers, with `***` for secret values."""

    response_body: bytes
    """The beginning of the response's body."""

    retry_after_s: float | None = None
    """The pause that the receiver asked for, in seconds from the end of the attempt."""

    raw_detail: str | None = None
    """The error in the words of a library or the receiver. It may hold anything, so it is stored
    and never logged.
    """

    throttled: bool = False
    """Whether the receiver refuses every request at present, whatever the delivery is."""

    response_headers: dict[str, str] | None = None
    """The response's headers by name, the first 2 KiB of them, with `***` for values that may be
    secrets. None: no response came, or an earlier version made the attempt.
    """

    address: str | None = None
    """The socket address that was connected to, or tried last."""

    phases: Phases = NO_PHASES
    """How long the phases took."""

    @property
    def full_error(self) -> str | None:
        """The error with its raw detail, as it is stored."""
        if self.error and self.raw_detail:
            return f"{self.error} ({self.raw_detail})"
        return self.error
