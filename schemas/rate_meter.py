"""How fast something goes just now: steps counted over a moment. Pure; times are passed in. Used by
lanes, throttles and the hand.
"""

MOMENT_S = 0.5
"""Shorter: the figure jumps with chance, as slow callbacks answer in bursts. Longer: it lags behind
one that has begun to hang.
"""


class RateMeter:
    """Steps of the last full moment or of the present one, whichever are more."""

    __slots__ = ("_before", "_began_s", "_moment_s", "_now")

    def __init__(self, moment_s: float = MOMENT_S) -> None:
        self._moment_s = moment_s
        self._began_s, self._now, self._before = 0.0, 0, 0

    def step(self, now_s: float, steps: int = 1) -> None:
        self._turn(now_s)
        self._now += steps

    def per_second(self, now_s: float) -> float:
        self._turn(now_s)
        return max(self._before, self._now) / self._moment_s

    def _turn(self, now_s: float) -> None:
        moments = int((now_s - self._began_s) / self._moment_s)
        if moments > 0:
            self._before = self._now if moments == 1 else 0
            self._now = 0
            self._began_s += moments * self._moment_s
