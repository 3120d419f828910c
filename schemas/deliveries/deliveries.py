"""The life of a delivery: its states, what moves it, and the record of one attempt.

The transition table below is the whole truth; whoever settles a delivery asks `next_state`, and an
illegal move is an error.
"""

from enum import StrEnum
from math import inf

import msgspec

from schemas.deliveries.callback_health import HealthReport
from schemas.events.types import EventType
from schemas.ids import AttemptId, CallbackId, EventId, TokenId
from schemas.times import UnixMs

PLACE_BYTES = 32 * 1024
"""Of a body, for which a delivery takes one place of those that bound what a process holds. Larger:
more memory while events are large. Smaller: middling events already leave room for fewer of them.
"""


class DeliveryState(StrEnum):
    """`held` is not among the stored ones: it is derived from the callback's and the token's state.
    """

    PENDING = "pending"
    DELIVERED = "delivered"
    EXHAUSTED = "exhausted"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"
    HELD = "held"


class Trigger(StrEnum):
    """Why an attempt was made."""

    FIRST = "first"
    RETRY = "retry"
    MANUAL = "manual"
    RECOVER = "recover"
    TEST = "test"
    PROBE = "probe"


class Outcome(StrEnum):
    """How an attempt ended: classified once, by the sender's side, where it happened."""

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
    REOPENED = "reopened"  # a recovery gives it the whole schedule once more


_S, _M = DeliveryState, Move
_MOVES: dict[tuple[DeliveryState, Move], DeliveryState] = {
    (_S.PENDING, _M.ANSWERED): _S.DELIVERED,
    (_S.PENDING, _M.FAILED): _S.PENDING,
    (_S.PENDING, _M.GAVE_UP): _S.EXHAUSTED,
    (_S.PENDING, _M.OVERTAKEN): _S.SUPERSEDED,
    (_S.PENDING, _M.WITHDRAWN): _S.CANCELLED,
    (_S.EXHAUSTED, _M.REOPENED): _S.PENDING,
    # An answer under a lapsed lease, or to an attempt asked for by hand, is still an answer.
    (_S.EXHAUSTED, _M.ANSWERED): _S.DELIVERED,
    (_S.CANCELLED, _M.ANSWERED): _S.DELIVERED,
    (_S.SUPERSEDED, _M.ANSWERED): _S.DELIVERED,
    (_S.DELIVERED, _M.ANSWERED): _S.DELIVERED,
}

SETTLED = frozenset({_S.DELIVERED, _S.EXHAUSTED, _S.SUPERSEDED, _S.CANCELLED})


class IllegalMove(Exception):
    """A mistake of ours: nothing from outside can cause it."""


def next_state(state: DeliveryState, move: Move) -> DeliveryState:
    """The state after `move`; raises IllegalMove."""
    try:
        return _MOVES[state, move]
    except KeyError:
        raise IllegalMove(f"a delivery that is {state} cannot be {move}") from None


class Delivery(msgspec.Struct, frozen=True, eq=False):
    """One event for one callback, as a dispatcher holds it while it works on it. Equal only to
    itself: the same delivery may be in hand twice, once by itself and once because somebody asked
    for an attempt.

    `lease` is the number under which it is held: 0 for a first attempt that has no row yet. `failures` counts the automatic
    attempts that failed so far; `number` is that of the coming attempt, whatever triggered the earlier ones. `attempt_id` is
    set when somebody asked for this very attempt (manual, test). `start_by_s` is the last moment (`time.monotonic`) at which
    its attempt may start and still end within the lease. `queued_at` is from when its age counts, `sequence` its place among those of that
    millisecond. `message_id` and `status` are those of a `message.status`, None of other types.
    """

    event_id: EventId
    callback_id: CallbackId
    token_id: TokenId
    type: EventType
    conversation_id: str
    channel_id: str
    body: bytes
    accepted_at: UnixMs
    created_at: UnixMs
    queued_at: UnixMs
    sequence: int = 0
    message_id: str | None = None
    status: str | None = None
    lease: int = 0
    failures: int = 0
    number: int = 1
    trigger: Trigger = Trigger.FIRST
    attempt_id: AttemptId | None = None
    start_by_s: float = inf

    @property
    def key(self) -> tuple[EventId, CallbackId]:
        return self.event_id, self.callback_id

    @property
    def places(self) -> int:
        """How many places it takes in memory: one for most."""
        return 1 + len(self.body) // PLACE_BYTES

    @property
    def asked_for(self) -> bool:
        """Whether this is an attempt of its own, beside the automatic ones: its failure is only
        recorded.
        """
        return self.attempt_id is not None


class Attempt(msgspec.Struct, frozen=True):
    """One HTTP request of a delivery, as it is recorded. `number` counts the delivery's attempts
    from 1.

    `status_code` is None when there was no HTTP answer. `error` says in words of ours what went wrong; of an attempt that delivered,
    what was wrong with the rest of the answer. `behind` are the words of a library or of the receiver that stand behind it: they may
    hold anything, so they are recorded and never logged. `throttled`: its receiver spoke of itself: it takes no more at
    present, whatever it is sent.
    """

    id: AttemptId
    number: int
    trigger: Trigger
    started_at: UnixMs
    duration_ms: int
    outcome: Outcome
    status_code: int | None
    error: str | None
    request_headers: dict[str, str]
    response_body: bytes
    retry_after_s: float | None = None
    behind: str | None = None
    throttled: bool = False

    @property
    def told(self) -> str | None:
        """All of it, as it is recorded."""
        return f"{self.error} ({self.behind})" if self.error and self.behind else self.error


class Settlement(msgspec.Struct, frozen=True):
    """What is to be written of a delivery: an outcome, a lease, or that somebody else should take
    it.

    `state` None leaves the row as it is (an attempt that was asked for and failed). `due_in_s` counts from the writing, by the
    store's clock; None when the delivery is settled. `leased`: `due_in_s` is the end of the lease of who writes this. `health`:
    what its attempt found out about the callback. `throttled`: its callback is left alone for a while, and what is behind it waits too.
    """

    delivery: Delivery
    state: DeliveryState | None
    reason: str | None = None
    due_in_s: float | None = None
    leased: bool = False
    failures: int = 0
    attempt: Attempt | None = None
    awaits_status: bool = False
    health: HealthReport | None = None
    throttled: bool = False


def given_back(delivery: Delivery, due_in_s: float = 0.0) -> Settlement:
    """Due now, for whoever can: this process did not get to it, or may not send it at present. With
    `due_in_s`, not before that: nobody is better placed at once when the callback itself is the
    reason.
    """
    # beside the automatic attempts: its request comes due again by itself, the row is not ours to
    # move
    if delivery.asked_for:
        return Settlement(delivery, None)
    return Settlement(
        delivery, DeliveryState.PENDING, due_in_s=due_in_s, failures=delivery.failures
    )


def leased(delivery: Delivery, lease_s: float) -> Settlement:
    """In flight here: nobody else is to try it before the lease ends."""
    return Settlement(
        delivery, DeliveryState.PENDING, due_in_s=lease_s, leased=True, failures=delivery.failures
    )
