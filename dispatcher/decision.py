"""What comes next for a delivery, before an attempt and after it. Pure: time and chance are passed
in.
"""

import msgspec

from dispatcher.backoff import RetrySchedule
from schemas.deliveries.callback_health import patience
from schemas.deliveries.deliveries import (
    Attempt,
    Delivery,
    DeliveryState,
    Move,
    Outcome,
    Settlement,
    Trigger,
    given_back,
    next_state,
)
from schemas.deliveries.withdrawal import CALLBACK_DELETED, withdrawal_reason
from schemas.times import UnixMs
from schemas.tokens.tokens import Callback, CallbackState, Token, TokenState

_DESPITE_A_SWITCH = frozenset({Trigger.MANUAL, Trigger.TEST})
_DESPITE_A_BREAKER = _DESPITE_A_SWITCH | {Trigger.PROBE}
_ON = frozenset({CallbackState.HEALTHY, CallbackState.FAILING})

KEEPS_PLACE = 5
"""A delivery that was throttled so often goes to the end of the line. Fewer: events of a
conversation change places. More: one that is refused for itself alone keeps all others back for
longer.
"""

MOST_THROTTLED = 20
"""Beyond this its age counts, although its callback takes others: it is refused for itself. Fewer:
what merely came at a bad time is given up.
"""


def refusal(
    delivery: Delivery,
    found: tuple[Token, Callback] | None,
    now: UnixMs,
    *,
    breaker_open: bool,
    throttled: bool = False,
) -> Settlement | None:
    """Why no attempt may start now, as what is to be written instead; None when it may. That it is
    never to be sent is for the store to say too, before it is written
    (`store.deliveries.withdrawal`).
    """
    if found is None:
        return withdrawn(delivery, CALLBACK_DELETED)
    token, callback = found
    if reason := withdrawal_reason(token, delivery, now):
        return withdrawn(delivery, reason)
    if token.state(now) is not TokenState.ACTIVE or not (
        callback.state in _ON or delivery.trigger in _DESPITE_A_SWITCH
    ):
        return given_back(
            delivery
        )  # held: due rows of such a callback are not taken until it is back
    if breaker_open and delivery.trigger not in _DESPITE_A_BREAKER:
        return given_back(delivery)  # its row waits, and its schedule with it
    if throttled and delivery.trigger not in _DESPITE_A_BREAKER:
        return msgspec.structs.replace(given_back(delivery), throttled=True)
    if not token.signing_keys:
        return given_back(
            delivery
        )  # they cannot be read just now: nothing is sent unsigned, not even by hand
    return None


def deferral(refused: Settlement, *, breaker_open: bool, throttled: bool = False) -> str | None:
    """Why a first attempt is put off by this refusal, as it is counted; None when it is none, or
    will never be made.
    """
    delivery = refused.delivery
    if refused.state is not DeliveryState.PENDING or delivery.lease > 0 or delivery.asked_for:
        return None
    if breaker_open:
        return "breaker"
    return "throttled" if throttled else "held"


def after(
    delivery: Delivery, attempt: Attempt, schedule: RetrySchedule, jitter: float
) -> Settlement:
    """What an attempt made of its delivery. `jitter` is between -1 and 1."""
    if attempt.outcome is Outcome.DELIVERED:
        state = next_state(DeliveryState.PENDING, Move.ANSWERED)
        return Settlement(delivery, state, failures=delivery.failures, attempt=attempt)
    if delivery.trigger is Trigger.TEST:
        return _gave_up(delivery, delivery.failures, attempt, "the test failed")
    if delivery.asked_for:
        return Settlement(delivery, None, attempt=attempt)
    if attempt.throttled:
        return _throttled(delivery, attempt, schedule)
    if delivery.trigger is Trigger.PROBE:
        return _failed(delivery, delivery.failures, attempt, attempt.retry_after_s or 0.0)
    failures = delivery.failures + 1
    delay = schedule.next_delay(failures, attempt.retry_after_s, jitter)
    if (
        attempt.outcome is Outcome.GONE
    ):  # its callback is disabled: held, and not lost, whatever the schedule says
        return _failed(delivery, failures, attempt, delay.total_seconds() if delay else 0.0)
    if delay is None:
        return _gave_up(delivery, failures, attempt, f"{failures} attempts failed")
    return _failed(delivery, failures, attempt, delay.total_seconds())


def withdrawn(delivery: Delivery, reason: str) -> Settlement:
    return Settlement(
        delivery,
        next_state(DeliveryState.PENDING, Move.WITHDRAWN),
        reason=reason,
        failures=delivery.failures,
    )


def _throttled(delivery: Delivery, attempt: Attempt, schedule: RetrySchedule) -> Settlement:
    """No failure of the delivery, which keeps its place: the callback is left alone, not the
    delivery put off.
    """
    times = delivery.number - delivery.failures
    age_s = (attempt.started_at - delivery.queued_at) / 1000
    if times > MOST_THROTTLED and age_s >= patience(schedule.total).total_seconds():
        return _gave_up(
            delivery,
            delivery.failures,
            attempt,
            f"its receiver put it off {times} times in {age_s / 86400:.0f} days",
        )
    due_in_s = 0.0 if times <= KEEPS_PLACE else max(1.0, attempt.retry_after_s or 0.0)
    return msgspec.structs.replace(
        _failed(delivery, delivery.failures, attempt, due_in_s), throttled=True
    )


def _failed(delivery: Delivery, failures: int, attempt: Attempt, due_in_s: float) -> Settlement:
    state = next_state(DeliveryState.PENDING, Move.FAILED)
    return Settlement(delivery, state, due_in_s=due_in_s, failures=failures, attempt=attempt)


def _gave_up(delivery: Delivery, failures: int, attempt: Attempt, reason: str) -> Settlement:
    state = next_state(DeliveryState.PENDING, Move.GAVE_UP)
    return Settlement(delivery, state, reason=reason, failures=failures, attempt=attempt)
