"""Throttles: how a callback is called whose receiver said that it takes no more at present. Pure;
times are passed in.

A receiver speaks of itself: after its refusal nothing starts for as long as it asks, then one
attempt, then more and more, until it refuses again. By then it is known what it takes: the next
round begins a little below, grows slowly there, and faster later. A throttle is of one lane of one
dispatcher, and in memory; until when the callback is left alone is stored with it, and every
dispatcher heeds it.
"""

from math import inf

from schemas.rate_meter import RateMeter

FIRST_PAUSE_S = 0.5
"""Our own pause, where a receiver asks for none or for less; it doubles while nothing is taken.
Longer: one that refuses now and then loses time. Shorter: one that refuses without a word is asked
in vain more often.
"""

LONGEST_PAUSE_S = 300.0
"""The longest of our own pauses. Longer: one that takes again after hours waits longer for its
backlog. Shorter: one that refuses everything is called more often in vain. As long as the longest
interval between probes of a failing one.
"""

CAUTION = 0.9
"""Of the pace at which it refused, where the next round begins. More: it refuses sooner. Less: time
is lost below what it takes.
"""

FIRST_RATE = 1.0
"""Attempts a second after a pause, until something is taken; and from where a pace grows of which
nothing is known. Larger: more attempts in vain. Smaller: a receiver that was away for maintenance
gets its backlog later.
"""

DOUBLES_IN_S = 2.0
"""How fast a pace grows of which nothing is known. Shorter: it goes further beyond what the
receiver takes before that is noticed.
"""

ROUND_S, LONGEST_ROUND_S, ROUND_PER_PAUSE = 30.0, 300.0, 10
"""A known pace doubles in a round: so many times the pause that a refusal costs, between the two.
Longer: fewer refusals, but that a receiver takes more than before is noticed later.
"""

OVER_AT_RATE, OVER_AFTER_S = 1000.0, 600.0
"""A pace beyond this is no limit any more, and one that nobody needed for so long says nothing: the
throttle is forgotten.
"""

KNOWN_AFTER_S = 2.0
"""A pace that a receiver has taken for so long is what it takes; before that what it really took
counts. Shorter: what it had saved up for a burst is mistaken for its pace.
"""

SLACK_S = 0.02
"""How late a start may be without the next one being later too. Longer: starts come closer
together, and a receiver that wants them evenly refuses. Shorter: the pace falls behind when the
loop is busy.
"""

_MOMENT_S = 1.0  # by which most receivers count
_LEAST_RATE = 0.05
_SAME_S = 0.25  # a pause comes back from the store a little earlier or later than it was told
_AT_ONCE_S = 0.001  # what a timer cannot tell


class Throttle:
    """`generation`: of the callback, when it was throttled. `now_s` and `started_s` are monotonic.
    """

    __slots__ = (
        "_base",
        "_credit",
        "_credited_s",
        "_pauses",
        "_round_s",
        "_run_s",
        "_taken",
        "_until_s",
        "_wanted",
        "generation",
    )

    def __init__(self, generation: int, now_s: float):
        self.generation = generation
        self._until_s, self._credited_s = -inf, now_s
        self._pauses = 0  # since something was taken
        self._base: float | None = None  # where a round begins; None: nothing is known
        self._round_s = ROUND_S
        self._run_s: float | None = None  # since when something is taken again
        self._credit = 1.0
        self._taken = RateMeter(_MOMENT_S)
        self._wanted = False  # whether more would have started than could

    def rate(self, now_s: float) -> float:
        """Attempts a second."""
        if self._run_s is None:
            return FIRST_RATE if self._base is None else min(FIRST_RATE, self._base)
        ran_s = now_s - self._run_s
        if self._base is None:
            return FIRST_RATE * float(2.0 ** min(ran_s / DOUBLES_IN_S, 16))
        return self._base * float(2.0 ** min((ran_s / self._round_s) ** 2, 16))

    def waits_s(self, now_s: float) -> float:
        """For how long nothing starts."""
        return max(0.0, self._until_s - now_s)

    def next_start_s(self, now_s: float) -> float:
        """How long until the next attempt may start; 0 when it may now."""
        self._credit_to(now_s)
        return self.waits_s(now_s) + max(0.0, 1 - self._credit) / self.rate(now_s)

    def startable(self, now_s: float, ahead_s: float) -> int:
        """How many attempts may start within so many seconds from now."""
        left_s = ahead_s - self.waits_s(now_s)
        if left_s < 0:
            return 0
        self._credit_to(now_s)
        return int(self._credit + self.rate(now_s) * left_s)

    def start(self, now_s: float) -> bool:
        """Whether an attempt may start now; it is counted as started."""
        if self.next_start_s(now_s) > _AT_ONCE_S:
            self._wanted = True
            return False
        self._credit -= 1
        return True

    def taken(self, started_s: float, now_s: float) -> None:
        """An attempt succeeded."""
        self._taken.step(now_s)
        if self._is_news(started_s):
            self._pauses = 0
            if self._run_s is None:
                self._run_s = now_s

    def refused(self, started_s: float, now_s: float, asked_s: float | None) -> float | None:
        """An attempt was refused. Returns for how long from now everybody leaves the callback
        alone; None when that is known.

        What started before the last pause ended tells nothing new, unless it asks for more. That
        pauses grow while nothing is taken is for this dispatcher alone: another one may fare
        better.
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

    def heed(self, waits_s: float, now_s: float) -> None:
        """Another dispatcher, or an earlier one, was asked to leave the callback alone for so long
        from now. It goes first afterwards.
        """
        if now_s + waits_s > self._until_s + _SAME_S:
            self._learn(now_s)
            self._pause(now_s, waits_s, credit=0.0)

    def is_over(self, now_s: float) -> bool:
        """Whether it may be forgotten."""
        ran_out = self._run_s is not None and self.rate(now_s) > OVER_AT_RATE
        return ran_out or now_s - max(self._until_s, self._credited_s) > OVER_AFTER_S

    def _is_news(self, started_s: float) -> bool:
        return started_s >= self._until_s - _AT_ONCE_S

    def _learn(self, now_s: float) -> None:
        """What it takes, unless nothing was taken (it was asked too early), or more was allowed
        than there was to send.
        """
        if self._run_s is not None and self._wanted:
            ran_s, rate = now_s - self._run_s, self.rate(now_s)
            took = max(
                self._taken.per_second(now_s), 1 / max(_MOMENT_S, ran_s)
            )  # the one that began the run, at least
            self._base = max(
                _LEAST_RATE, CAUTION * (rate if ran_s >= KNOWN_AFTER_S else min(rate, took))
            )

    def _pause(self, now_s: float, pause_s: float, credit: float) -> None:
        self._until_s = self._credited_s = max(self._until_s, now_s + pause_s)
        self._round_s = min(LONGEST_ROUND_S, max(ROUND_S, ROUND_PER_PAUSE * pause_s))
        self._run_s, self._wanted, self._credit = None, False, credit

    def _credit_to(self, now_s: float) -> None:
        if now_s > self._credited_s:
            rate = self.rate(now_s)
            self._credit = min(self._credit + rate * (now_s - self._credited_s), 1 + rate * SLACK_S)
            self._credited_s = now_s
