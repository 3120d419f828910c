"""The link between a lane's throttle and the stored health of its callback: a lane is throttled by
its own attempts, and by pauses that other dispatchers were asked for.

Called by the dispatcher before attempts start and after they end. Pure; times are passed in.
"""

from collections.abc import Callable

from dispatcher.lanes import Lane
from dispatcher.throttle import Throttle
from schemas.deliveries.callback_health import HealthFinding, HealthReport, plausible_pause_end
from schemas.deliveries.deliveries import Attempt, Outcome
from schemas.times import UnixMs
from schemas.tokens.tokens import Callback, CallbackHealth

RECENT_MS = 10_000
"""A dispatcher that has no throttle for a callback, as after a start, begins with one when the
callback's pause ended less than this many milliseconds ago. Longer: a receiver that accepts
everything again gets its backlog later. Must be shorter than `dispatcher.throttle.OVER_AFTER_S`.
"""

ACCEPTS_AFTER_MS = 10_000
"""A success is reported only when the callback has been throttled for longer than this. The report
ends the time after which deliveries are given up, which is days, so a few seconds do not matter.
Shorter: more writes while a receiver refuses now and then.
"""

TIMERS_WITHIN_S = 0.1
"""Starts that are further away need no timer: the regular `Dispatcher.resume` comes in time."""


def apply_stored_pause(
    lane: Lane, health: CallbackHealth, now_s: float, store_now: Callable[[], UnixMs]
) -> bool:
    """Throttle a lane as its callback's stored health says. Return whether nothing automatic may
    start now. `store_now` reads the store's clock.
    """
    throttle = lane.throttle
    if throttle is not None and throttle.generation < health.generation:
        throttle = lane.throttle = None  # it was changed or enabled again
    if (
        health.throttled_until is not None
        and (until := plausible_pause_end(health.throttled_until, now := store_now())) is not None
    ):
        if throttle is None and until > now - RECENT_MS:
            throttle = lane.throttle = Throttle(health.generation, now_s)
        if throttle is not None and until > now:
            throttle.apply_pause((until - now) / 1000, now_s)
    return throttle is not None and throttle.pause_left_s(now_s) > 0


def learn_from_attempt(
    lane: Lane, callback: Callback, attempt: Attempt, now_s: float, store_now: Callable[[], UnixMs]
) -> HealthReport | None:
    """Adapt a lane's throttle to an attempt that has just ended. Return what the other dispatchers
    need to know, or None. `callback` is as it was when the attempt started.
    """
    generation, started_s = callback.health.generation, now_s - attempt.duration_ms / 1000
    if lane.throttle is not None and lane.throttle.generation > generation:
        return None
    if attempt.throttled:
        if lane.throttle is None:
            lane.throttle = Throttle(generation, now_s)
        pause_s = lane.throttle.refused(started_s, now_s, attempt.retry_after_s)
        return (
            None
            if pause_s is None
            else HealthReport(callback.id, generation, HealthFinding.THROTTLED, pause_s=pause_s)
        )
    if attempt.outcome is not Outcome.DELIVERED:
        return None
    if lane.throttle is not None:
        lane.throttle.succeeded(started_s, now_s)
    since = callback.health.throttled_since
    if (
        callback.health.failing_since is None
        and since is not None
        and store_now() - since > ACCEPTS_AFTER_MS
    ):
        return HealthReport(callback.id, generation, HealthFinding.ACCEPTS)
    return None


def due_in_s(lane: Lane, now_s: float) -> float | None:
    """Return in how many seconds a throttled lane needs a timer for its next start. Return None
    when nothing waits, no slot is free, or `Dispatcher.resume` comes in time.
    """
    if lane.throttle is None or not lane.could_start:
        return None
    delay_s = lane.throttle.next_start_s(now_s)
    return delay_s if delay_s < TIMERS_WITHIN_S else None
