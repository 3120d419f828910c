"""Circuit breakers: when a callback that keeps failing is left alone but for probes. Pure; times
are passed in.

A dispatcher counts for itself and asks here after each attempt; what it is told goes to the store
with the attempt's outcome, and comes back to every dispatcher by the directory. Never decides about
one delivery: that is `dispatcher.decision`.
"""

import datetime as dt

from schemas.deliveries.callback_health import HealthFinding, HealthReport
from schemas.deliveries.deliveries import Attempt, Delivery, Outcome, Trigger
from schemas.ids import CallbackId
from schemas.times import format_duration
from schemas.tokens.tokens import Callback, CallbackState

OPEN_AFTER = 10
"""Failed attempts in a row, with no success between, that open a breaker. Fewer: a bad event, which
fails for itself alone, stops all others; more: a dead receiver is called more often in vain. That
the slots of a lane often fail together, as when a receiver restarts, is no reason for more: opening
wrongly costs what comes meanwhile five seconds, which is what a first retry costs.
"""

KNOWN_WITHIN_S = 5.0
"""How long this dispatcher goes by its own count until the directory must have said the same.
Longer: an opening that the store did not take holds a callback up for longer. Shorter than a
settlement and a poll take: attempts are made in between.
"""

MOST_RUNS = 10_000
"""Runs of failures in memory. Beyond it the oldest is forgotten, and begins again with its next
failure.
"""

GONE = "its receiver answered 410 Gone"

_ASKED_FOR = frozenset({Trigger.MANUAL, Trigger.TEST})
_OPENS = frozenset({HealthFinding.FAILING, HealthFinding.USELESS})


class _Run:
    """Failures in a row of one callback, in one generation of it."""

    __slots__ = ("failures", "generation", "open_until_s", "since_s")

    def __init__(self, generation: int, since_s: float):
        self.generation, self.since_s = generation, since_s
        self.failures = 0
        self.open_until_s = since_s


class Breakers:
    """Of one dispatcher. `disable_after`: after so long without a success a callback is disabled.
    `now_s` is monotonic: no time of day is looked at here.
    """

    def __init__(self, disable_after: dt.timedelta):
        self._disable_after = disable_after
        self._runs: dict[CallbackId, _Run] = {}

    def is_open(self, callback: Callback, now_s: float) -> bool:
        """Whether nothing but probes, and what a person asks for, may be sent to it."""
        return callback.state is CallbackState.FAILING or self.opened_here(
            callback.id, callback.health.generation, now_s
        )

    def opened_here(self, callback_id: CallbackId, generation: int, now_s: float) -> bool:
        """Whether this dispatcher opened it just now, and the directory cannot know yet."""
        run = self._runs.get(callback_id)
        return run is not None and run.generation == generation and now_s < run.open_until_s

    def conclude(
        self, callback: Callback, delivery: Delivery, attempt: Attempt, now_s: float, jitter: float
    ) -> HealthReport | None:
        """What an attempt that has just ended found out; None when it is nothing new. `callback` is
        as it was when it started.
        """
        run = self._runs.get(callback.id)
        if run is not None and run.generation > callback.health.generation:
            return None  # it started before the callback was changed or came back
        if attempt.outcome is Outcome.DELIVERED:
            return self._succeeded(callback)
        if attempt.throttled:
            return None  # neither a failure nor a success: the receiver is there, and takes nothing
        if delivery.trigger in _ASKED_FOR:
            return None  # a person looked whether it works: that is only recorded
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
        """Whether a failing one is to be disabled is not judged here: of other dispatchers'
        successes the store alone knows. Where it cannot say, it disables nobody, so that of a long
        run too many failures open a breaker first; its probes go on from there.
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
            if len(self._runs) > MOST_RUNS:
                del self._runs[next(iter(self._runs))]
        return run
