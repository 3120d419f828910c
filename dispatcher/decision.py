"""What comes next for a delivery, before an attempt and after it. Pure: time and chance are passed in."""

from dispatcher.backoff import RetrySchedule
from schemas.deliveries import Attempt, Delivery, DeliveryState, Move, Outcome, Settlement, Trigger, given_back, next_state
from schemas.times import UnixMs
from schemas.tokens import Callback, Token, TokenState

_WITHDRAWN = {
    TokenState.REVOKED: "the token was revoked",
    TokenState.EXPIRED: "the token has expired",
}
_DESPITE_A_SWITCH = frozenset({Trigger.MANUAL, Trigger.TEST})


def refusal(delivery: Delivery, found: tuple[Token, Callback] | None, now: UnixMs) -> Settlement | None:
    """Why no attempt may start now, as what is to be written instead; None when it may."""
    if found is None:
        return withdrawn(delivery, "the callback was deleted")
    token, callback = found
    state = token.state(now)
    if reason := _WITHDRAWN.get(state):
        return withdrawn(delivery, reason)
    if state is not TokenState.ACTIVE or not (callback.enabled or delivery.trigger in _DESPITE_A_SWITCH):
        return given_back(delivery)  # held: due rows of such a callback are not taken until it is back
    if not token.signing_keys:
        return given_back(delivery)  # they cannot be read just now: nothing is sent unsigned, not even by hand
    return None


def after(delivery: Delivery, attempt: Attempt, schedule: RetrySchedule, jitter: float) -> Settlement:
    """What an attempt made of its delivery. `jitter` is between -1 and 1."""
    if attempt.outcome is Outcome.DELIVERED:
        state = next_state(DeliveryState.PENDING, Move.ANSWERED)
        return Settlement(delivery, state, failures=delivery.failures, attempt=attempt)
    if delivery.trigger is Trigger.TEST:
        return _gave_up(delivery, delivery.failures, attempt, "the test failed")
    if delivery.asked_for:
        return Settlement(delivery, None, attempt=attempt)
    failures = delivery.failures + 1
    delay = schedule.next_delay(failures, attempt.retry_after_s, jitter)
    if delay is None:
        return _gave_up(delivery, failures, attempt, f"{failures} attempts failed")
    state = next_state(DeliveryState.PENDING, Move.FAILED)
    return Settlement(delivery, state, due_in_s=delay.total_seconds(), failures=failures, attempt=attempt)


def withdrawn(delivery: Delivery, reason: str) -> Settlement:
    return Settlement(delivery, next_state(DeliveryState.PENDING, Move.WITHDRAWN), reason=reason, failures=delivery.failures)


def _gave_up(delivery: Delivery, failures: int, attempt: Attempt, reason: str) -> Settlement:
    state = next_state(DeliveryState.PENDING, Move.GAVE_UP)
    return Settlement(delivery, state, reason=reason, failures=failures, attempt=attempt)
