"""Decisions about one delivery, before an attempt and after it. Pure: time and randomness are
passed in.
"""

import msgspec

from dispatcher.backoff import RetrySchedule
from schemas.deliveries.callback_health import MAY_BE_CALLED, throttle_horizon
from schemas.deliveries.cancel_reason import CancelReason
from schemas.deliveries.deliveries import (
    Attempt,
    Delivery,
    DeliveryState,
    Move,
    Outcome,
    Trigger,
    next_state,
)
from schemas.deliveries.settlement import Settlement, given_back
from schemas.deliveries.withdrawal import withdrawal_reason
from schemas.times import UnixMs
from schemas.tokens.tokens import Callback, Token, TokenState

_DESPITE_SWITCHED_OFF = frozenset({Trigger.MANUAL, Trigger.TEST})
_DESPITE_OPEN_BREAKER = _DESPITE_SWITCHED_OFF | {Trigger.PROBE}

KEEPS_POSITION = 5
"""How many times a delivery may be throttled before it goes to the end of the queue. Fewer: events
of a conversation are reordered. More: a delivery that alone is refused delays all others for
longer.
"""

MAX_THROTTLED = 20
"""How many times a delivery may be throttled before its age can end it. Fewer: deliveries that only
came at a bad time are given up. More: a delivery that alone is refused is retried for longer.
"""


def refusal(
    delivery: Delivery,
    target: tuple[Token, Callback] | None,
    now: UnixMs,
    *,
    breaker_open: bool,
    throttled: bool = False,
) -> Settlement | None:
    """Return the settlement to write when no attempt may start now; None when one may.

    Before the store cancels a delivery for good, it checks the same conditions again
    (`store.deliveries.withdrawal`).
    """
    if target is None:
        return withdrawn(delivery, CancelReason.CALLBACK_DELETED)
    token, callback = target
    if reason := withdrawal_reason(token, delivery, now):
        return withdrawn(delivery, reason)
    if token.state(now) is not TokenState.ACTIVE or not (
        callback.state in MAY_BE_CALLED or delivery.trigger in _DESPITE_SWITCHED_OFF
    ):
        return given_back(delivery)  # held: due rows are not leased until the callback is back
    if breaker_open and delivery.trigger not in _DESPITE_OPEN_BREAKER:
        return given_back(delivery)  # its row waits, and the schedule with it
    if throttled and delivery.trigger not in _DESPITE_OPEN_BREAKER:
        return msgspec.structs.replace(given_back(delivery), throttled=True)
    if not token.signing_keys:  # they cannot be decrypted: nothing is sent unsigned
        return given_back(delivery)
    return None


def deferral(refused: Settlement, *, breaker_open: bool, throttled: bool = False) -> str | None:
    """Return the metric label for a first attempt that a refusal defers; None when the delivery is
    past its first attempt, or will never be sent.
    """
    delivery = refused.delivery
    if refused.state is not DeliveryState.PENDING or delivery.lease > 0 or delivery.is_requested:
        return None
    if breaker_open:
        return "breaker"
    return "throttled" if throttled else "held"


def after(
    delivery: Delivery, attempt: Attempt, schedule: RetrySchedule, jitter: float
) -> Settlement:
    """Return the settlement of an attempt that ended. `jitter` is between -1 and 1."""
    if attempt.outcome is Outcome.DELIVERED:
        state = next_state(DeliveryState.PENDING, Move.ANSWERED)
        return Settlement(delivery, state, failures=delivery.failures, attempt=attempt)
    if delivery.trigger is Trigger.TEST:
        return _gave_up(delivery, delivery.failures, attempt, "the test failed")
    if delivery.is_requested:
        return Settlement(delivery, None, attempt=attempt)
    if attempt.throttled:
        return _throttled(delivery, attempt, schedule)
    if delivery.trigger is Trigger.PROBE:
        return _failed(delivery, delivery.failures, attempt, attempt.retry_after_s or 0.0)
    failures = delivery.failures + 1
    delay = schedule.next_delay(failures, attempt.retry_after_s, jitter)
    # 410 disables the callback: the delivery is held, not lost, whatever the schedule says
    if attempt.outcome is Outcome.GONE:
        return _failed(delivery, failures, attempt, delay.total_seconds() if delay else 0.0)
    if delay is None:
        return _gave_up(delivery, failures, attempt, f"{failures} attempts failed")
    return _failed(delivery, failures, attempt, delay.total_seconds())


def withdrawn(delivery: Delivery, reason: CancelReason) -> Settlement:
    """Return the settlement that cancels a delivery."""
    return Settlement(
        delivery,
        next_state(DeliveryState.PENDING, Move.WITHDRAWN),
        reason=reason,
        failures=delivery.failures,
    )


def _throttled(delivery: Delivery, attempt: Attempt, schedule: RetrySchedule) -> Settlement:
    """Return the settlement of a throttled attempt: no failure of the delivery, which keeps its
    position, because the pause is the callback's.
    """
    times = delivery.number - delivery.failures
    age_s = (attempt.started_at - delivery.queued_at) / 1000
    if times > MAX_THROTTLED and age_s >= throttle_horizon(schedule.total).total_seconds():
        return _gave_up(
            delivery,
            delivery.failures,
            attempt,
            f"its receiver deferred it {times} times in {age_s / 86400:.0f} days",
        )
    due_in_s = 0.0 if times <= KEEPS_POSITION else max(1.0, attempt.retry_after_s or 0.0)
    return msgspec.structs.replace(
        _failed(delivery, delivery.failures, attempt, due_in_s), throttled=True
    )


def _failed(delivery: Delivery, failures: int, attempt: Attempt, due_in_s: float) -> Settlement:
    state = next_state(DeliveryState.PENDING, Move.FAILED)
    return Settlement(delivery, state, due_in_s=due_in_s, failures=failures, attempt=attempt)


def _gave_up(delivery: Delivery, failures: int, attempt: Attempt, reason: str) -> Settlement:
    state = next_state(DeliveryState.PENDING, Move.GAVE_UP)
    return Settlement(delivery, state, reason=reason, failures=failures, attempt=attempt)
