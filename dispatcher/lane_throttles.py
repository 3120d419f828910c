"""Between lanes and what is stored of their callbacks: a lane is throttled by its own attempts and
by what other dispatchers were told.

Called by the dispatcher, before attempts start and after they end. Pure; times are passed in.
"""

from collections.abc import Callable

from dispatcher.lanes import Lane
from dispatcher.throttle import Throttle
from schemas.deliveries.callback_health import HealthFinding, HealthReport, believed
from schemas.deliveries.deliveries import Attempt, Outcome
from schemas.times import UnixMs
from schemas.tokens.tokens import Callback, CallbackHealth

RECENT_MS = 10_000
"""A callback that was left alone until so lately is called carefully by who knows nothing of it
yet, as after a start. Longer: one that is well again gets its backlog later. Shorter than a
throttle takes to be forgotten.
"""

TAKES_AFTER_MS = 10_000
"""That something was taken is written only when the callback has been throttled for so long:
shorter than this a day's end is all the same. Shorter: more writes while a receiver refuses now and
then.
"""

TIMERS_WITHIN_S = 0.1
"""What starts later is started by a tick of the hand."""


def heed(lane: Lane, health: CallbackHealth, now_s: float, store_now: Callable[[], UnixMs]) -> bool:
    """Learn what is stored, by the store's clock. Whether nothing automatic may start just now."""
    throttle = lane.throttle
    if throttle is not None and throttle.generation < health.generation:
        throttle = lane.throttle = None  # somebody changed the callback, or it came back
    if (
        health.throttled_until is not None
        and (until := believed(health.throttled_until, now := store_now())) is not None
    ):
        if throttle is None and until > now - RECENT_MS:
            throttle = lane.throttle = Throttle(health.generation, now_s)
        if throttle is not None and until > now:
            throttle.heed((until - now) / 1000, now_s)
    return throttle is not None and throttle.waits_s(now_s) > 0


def told(
    lane: Lane, callback: Callback, attempt: Attempt, now_s: float, store_now: Callable[[], UnixMs]
) -> HealthReport | None:
    """Learn from an attempt that has just ended. What all dispatchers are to know of it, if
    anything. `callback` is as it was at its start.
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
        lane.throttle.taken(started_s, now_s)
    since = callback.health.throttled_since
    if (
        callback.health.failing_since is None
        and since is not None
        and store_now() - since > TAKES_AFTER_MS
    ):
        return HealthReport(callback.id, generation, HealthFinding.TAKES)
    return None


def due_in_s(lane: Lane, now_s: float) -> float | None:
    """How soon the next of a throttled lane may start; None when there is none, when it waits for a
    slot, or when a tick comes before.
    """
    if lane.throttle is None or not lane.could_start:
        return None
    delay_s = lane.throttle.next_start_s(now_s)
    return delay_s if delay_s < TIMERS_WITHIN_S else None
