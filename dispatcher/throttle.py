"""Throttles: the rate of attempts at a callback whose receiver asked for a pause. Pure; times are
passed in.

After a refusal nothing starts for as long as the receiver asked. Then one attempt starts, then more
and more, until the receiver refuses again. By then the rate that it accepts is known: the next
round begins a little below that rate, grows slowly at first and faster later. A throttle belongs to
one lane of one dispatcher and is kept in memory. The end of the pause is stored with the callback,
and every dispatcher observes it.
"""

from math import inf

from schemas.rate_meter import RateMeter

FIRST_PAUSE_S = 0.5
"""The shortest pause, used when a receiver asks for none or a shorter one; it doubles while nothing
is accepted. Longer: a receiver that refuses now and then loses time. Shorter: a receiver that
refuses without `Retry-After` gets more attempts that it refuses.
"""

LONGEST_PAUSE_S = 300.0
"""The longest pause that the doubling leads to, as long as the longest interval between probes.
Longer: a receiver that accepts again after hours waits longer for its backlog. Shorter: a receiver
that refuses everything gets more attempts.
"""

CAUTION = 0.9
"""The share of the accepted rate at which the next round begins. Larger: the receiver refuses
sooner. Smaller: time is lost below the rate that it accepts.
"""

FIRST_RATE = 1.0
"""Attempts a second after a pause, until one succeeds, and the rate from which an unknown rate
grows. Larger: more refused attempts. Smaller: a receiver that was down for maintenance gets its
backlog later.
"""

DOUBLES_IN_S = 2.0
"""Seconds in which the rate doubles while the accepted rate is unknown. Shorter: the rate exceeds
the accepted one by more before the receiver refuses. Longer: the backlog comes later.
"""

ROUND_S, LONGEST_ROUND_S, ROUND_PER_PAUSE = 30.0, 300.0, 10
"""Seconds in which a known rate doubles: `ROUND_PER_PAUSE` times the pause, but within the other
two. Longer: fewer refusals, but a receiver that accepts more than before gets it later.
"""

OVER_AT_RATE, OVER_AFTER_S = 1000.0, 600.0
"""The throttle ends when its rate exceeds this many attempts a second, which is no limit any more,
or when it was not used for this many seconds, so that its rate is out of date.
"""

KNOWN_AFTER_S = 2.0
"""A rate that a receiver has accepted for this many seconds counts as the accepted rate; before
that, its measured successes count. Shorter: an allowance for a burst is mistaken for the rate.
"""

SLACK_S = 0.02
"""Seconds by which a start may be late without delaying the next one. Longer: starts come closer
together, and a receiver that wants them evenly spaced refuses. Shorter: the rate falls behind when
the event loop is busy.
"""

_WINDOW_S = 1.0  # most receivers count by the second
_MIN_RATE = 0.05
_SAME_S = 0.25  # a pause comes back from the store a little earlier or later than it was reported
_AT_ONCE_S = 0.001  # a timer is not more precise


class Throttle:
    """The rate limit of one lane.

    `now_s` and `started_s` are seconds of the monotonic clock. `generation` is the callback's when
    it was throttled.
    """

    __slots__ = (
        "_base",
        "_credit",
        "_credited_s",
        "_pauses",
        "_round_s",
        "_run_s",
        "_successes",
        "_until_s",
        "_wanted",
        "generation",
    )

    def __init__(self, generation: int, now_s: float):
        self.generation = generation
        self._until_s, self._credited_s = -inf, now_s
        self._pauses = 0  # since the last success
        self._base: float | None = None  # the rate at which a round begins; None: unknown
        self._round_s = ROUND_S
        self._run_s: float | None = None  # when attempts began to succeed again
        self._credit = 1.0
        self._successes = RateMeter(_WINDOW_S)
        self._wanted = False  # whether more attempts were waiting than might start

    def rate(self, now_s: float) -> float:
        """Return the number of attempts a second that may start now."""
        if self._run_s is None:
            return FIRST_RATE if self._base is None else min(FIRST_RATE, self._base)
        ran_s = now_s - self._run_s
        if self._base is None:
            return FIRST_RATE * float(2.0 ** min(ran_s / DOUBLES_IN_S, 16))
        return self._base * float(2.0 ** min((ran_s / self._round_s) ** 2, 16))

    def pause_left_s(self, now_s: float) -> float:
        """Return how many seconds of the pause are left; 0 when it is over."""
        return max(0.0, self._until_s - now_s)

    def next_start_s(self, now_s: float) -> float:
        """Return in how many seconds the next attempt may start; 0 when it may now."""
        self._credit_to(now_s)
        return self.pause_left_s(now_s) + max(0.0, 1 - self._credit) / self.rate(now_s)

    def startable(self, now_s: float, ahead_s: float) -> int:
        """Return how many attempts may start within `ahead_s` seconds from now."""
        left_s = ahead_s - self.pause_left_s(now_s)
        if left_s < 0:
            return 0
        self._credit_to(now_s)
        return int(self._credit + self.rate(now_s) * left_s)

    def start(self, now_s: float) -> bool:
        """Return whether an attempt may start now, and if so count it as started."""
        if self.next_start_s(now_s) > _AT_ONCE_S:
            self._wanted = True
            return False
        self._credit -= 1
        return True

    def succeeded(self, started_s: float, now_s: float) -> None:
        """Learn that the attempt that started at `started_s` succeeded."""
        self._successes.step(now_s)
        if self._is_news(started_s):
            self._pauses = 0
            if self._run_s is None:
                self._run_s = now_s

    def refused(self, started_s: float, now_s: float, asked_s: float | None) -> float | None:
        """Learn that the attempt that started at `started_s` was refused, with a request to wait
        for `asked_s`. Return the pause, in seconds from now, that all dispatchers must observe;
        None when they know it.

        The refusal of an attempt that started before the last pause ended changes nothing, unless
        it asks for a longer pause. The doubling of pauses applies to this dispatcher alone, because
        the attempts of another one may succeed.
        """
        asked_s = max(FIRST_PAUSE_S, asked_s or 0.0)
        known = now_s + asked_s <= self._until_s + _SAME_S
        if self._is_news(started_s):
            self._learn(now_s)
            self._pause(
                now_s,
                max(asked_s, min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self._pauses, 16))),
                credit=1.0,
            )
            self._pauses += 1
        else:
            self._until_s = self._credited_s = max(self._until_s, now_s + asked_s)
        return None if known else asked_s

    def apply_pause(self, pause_s: float, now_s: float) -> None:
        """Observe a pause of `pause_s` seconds from now that another dispatcher was asked for, or
        this one before a restart. The other dispatcher makes the first attempt after it.
        """
        if now_s + pause_s > self._until_s + _SAME_S:
            self._learn(now_s)
            self._pause(now_s, pause_s, credit=0.0)

    def is_over(self, now_s: float) -> bool:
        """Return whether the throttle is no limit any more, or has not been used for long."""
        ran_out = self._run_s is not None and self.rate(now_s) > OVER_AT_RATE
        return ran_out or now_s - max(self._until_s, self._credited_s) > OVER_AFTER_S

    def _is_news(self, started_s: float) -> bool:
        return started_s >= self._until_s - _AT_ONCE_S

    def _learn(self, now_s: float) -> None:
        """Learn the accepted rate. A round says nothing about it when no attempt succeeded (it
        was too early) or when fewer attempts were waiting than might start.
        """
        if self._run_s is not None and self._wanted:
            ran_s, rate = now_s - self._run_s, self.rate(now_s)
            # at least the success that began the run
            measured = max(self._successes.per_second(now_s), 1 / max(_WINDOW_S, ran_s))
            accepted = rate if ran_s >= KNOWN_AFTER_S else min(rate, measured)
            self._base = max(_MIN_RATE, CAUTION * accepted)

    def _pause(self, now_s: float, pause_s: float, credit: float) -> None:
        self._until_s = self._credited_s = max(self._until_s, now_s + pause_s)
        self._round_s = min(LONGEST_ROUND_S, max(ROUND_S, ROUND_PER_PAUSE * pause_s))
        self._run_s, self._wanted, self._credit = None, False, credit

    def _credit_to(self, now_s: float) -> None:
        if now_s > self._credited_s:
            rate = self.rate(now_s)
            self._credit = min(self._credit + rate * (now_s - self._credited_s), 1 + rate * SLACK_S)
            self._credited_s = now_s
