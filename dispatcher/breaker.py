"""Circuit breakers: while a callback keeps failing, only probes are sent to it. Pure; times are
passed in.

Each dispatcher counts its own failures and calls `conclude` after each attempt. The report goes to
the store with the attempt's outcome, and the directory brings the result to every dispatcher. What
becomes of one delivery is the decision of `dispatcher.decision`.
"""

import datetime as dt

from schemas.deliveries.callback_health import HealthFinding, HealthReport
from schemas.deliveries.deliveries import Attempt, Delivery, Outcome, Trigger
from schemas.ids import CallbackId
from schemas.times import format_duration
from schemas.tokens.tokens import Callback, CallbackState

OPEN_AFTER = 10
"""Failed attempts in a row, with no success between, that open a breaker. Fewer: one bad event
stops all others. More: a dead receiver gets more attempts. The slots of a lane often fail together,
as when a receiver restarts. That is no reason for more, because a breaker that opened wrongly
delays deliveries by five seconds, as much as a first retry does.
"""

KNOWN_WITHIN_S = 5.0
"""Seconds for which this dispatcher relies on its own count, until the directory must know the
same. Longer: a callback whose opening the store did not accept is delayed for longer. Shorter than
a settlement and a poll take: attempts are made in between.
"""

MAX_RUNS = 10_000
"""Callbacks whose runs of failures are in memory. Beyond it the oldest run is forgotten and begins
again with the next failure. Larger: more memory. Smaller: some breakers open later.
"""

GONE = "its receiver answered 410 Gone"
"""The reason shown for a callback that a 410 disabled."""

_REQUESTED = frozenset({Trigger.MANUAL, Trigger.TEST})
_OPENS = frozenset({HealthFinding.FAILING, HealthFinding.USELESS})


class _Run:
    """A callback's failures in a row, within one generation of the callback."""

    __slots__ = ("failures", "generation", "open_until_s", "since_s")

    def __init__(self, generation: int, since_s: float):
        self.generation, self.since_s = generation, since_s
        self.failures = 0
        self.open_until_s = since_s


class Breakers:
    """The breakers of one dispatcher. `now_s` is always seconds of the monotonic clock."""

    def __init__(self, disable_after: dt.timedelta):
        """Start closed. A callback is disabled after `disable_after` without a success."""
        self._disable_after = disable_after
        self._runs: dict[CallbackId, _Run] = {}

    def is_open(self, callback: Callback, now_s: float) -> bool:
        """Return whether only probes and requested attempts may be sent to a callback."""
        return callback.state is CallbackState.FAILING or self.opened_here(
            callback.id, callback.health.generation, now_s
        )

    def opened_here(self, callback_id: CallbackId, generation: int, now_s: float) -> bool:
        """Return whether this dispatcher opened the breaker before the directory can know."""
        run = self._runs.get(callback_id)
        return run is not None and run.generation == generation and now_s < run.open_until_s

    def conclude(
        self, callback: Callback, delivery: Delivery, attempt: Attempt, now_s: float, jitter: float
    ) -> HealthReport | None:
        """Return what an attempt that has just ended says about its callback; None when that is
        nothing new. `callback` is as it was when the attempt started.
        """
        run = self._runs.get(callback.id)
        if run is not None and run.generation > callback.health.generation:
            return None  # it started before the callback was changed or enabled
        if attempt.outcome is Outcome.DELIVERED:
            return self._succeeded(callback)
        if attempt.throttled:
            return None  # neither a failure nor a success: the receiver is up, and refuses
        if delivery.trigger in _REQUESTED:
            return None  # a person tried whether it works: that is only recorded
        run = self._run(callback, now_s - attempt.duration_ms / 1000)
        run.failures += 1
        finding = self._finding(callback, delivery, attempt, run, now_s)
        if finding is None:
            return None
        if finding in _OPENS:
            run.open_until_s = now_s + KNOWN_WITHIN_S
        reason = (
            GONE
            if finding is HealthFinding.USELESS
            else f"nothing succeeded for {format_duration(self._disable_after)}"
        )
        limit_s = self._disable_after.total_seconds()
        return HealthReport(
            callback.id,
            callback.health.generation,
            finding,
            now_s - run.since_s,
            reason,
            jitter,
            limit_s,
        )

    def _succeeded(self, callback: Callback) -> HealthReport | None:
        run = self._runs.pop(callback.id, None)
        was_open = run is not None and run.failures >= OPEN_AFTER
        if was_open or callback.health.failing_since is not None:
            return HealthReport(callback.id, callback.health.generation, HealthFinding.WORKS)
        return None

    def _finding(
        self, callback: Callback, delivery: Delivery, attempt: Attempt, run: _Run, now_s: float
    ) -> HealthFinding | None:
        """Return the finding of a failed attempt, or None.

        Only the store knows the successes of other dispatchers, so it decides whether a failing
        callback is disabled. Where it cannot tell, it disables no callback. That is why a long run
        of failures opens the breaker before it disables the callback.
        """
        if attempt.outcome is Outcome.GONE:
            return HealthFinding.USELESS
        if delivery.trigger is Trigger.PROBE:
            return HealthFinding.PROBE_FAILED
        if run.failures >= OPEN_AFTER and not self.is_open(callback, now_s):
            return HealthFinding.FAILING
        return (
            HealthFinding.LASTING
            if now_s - run.since_s >= self._disable_after.total_seconds()
            else None
        )

    def _run(self, callback: Callback, since_s: float) -> _Run:
        run = self._runs.get(callback.id)
        if run is None or run.generation != callback.health.generation:
            self._runs.pop(callback.id, None)
            run = self._runs[callback.id] = _Run(callback.health.generation, since_s)
            if len(self._runs) > MAX_RUNS:
                del self._runs[next(iter(self._runs))]
        return run
