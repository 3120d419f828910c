"""How fast something goes just now: steps counted over a moment. Pure; times are passed in. Used by the lanes."""

MOMENT_S = 0.1
"""Shorter: the figure jumps with chance. Longer: it lags behind a callback that has begun to hang."""


class Pace:
    """Steps of the last full moment; none when that is over for long."""

    __slots__ = ("_before", "_began_s", "_now")

    def __init__(self) -> None:
        self._began_s, self._now, self._before = 0.0, 0, 0

    def step(self, now_s: float) -> None:
        self._turn(now_s)
        self._now += 1

    def per_second(self, now_s: float) -> float:
        """The better of the last full moment and the one that has just begun."""
        self._turn(now_s)
        return max(self._before, self._now) / MOMENT_S

    def _turn(self, now_s: float) -> None:
        moments = int((now_s - self._began_s) / MOMENT_S)
        if moments > 0:
            self._before = self._now if moments == 1 else 0
            self._now = 0
            self._began_s += moments * MOMENT_S
