"""The current rate of steps, measured over a short window. Pure; times are passed in. Used by
lanes, throttles and the limit of unsettled deliveries.
"""

WINDOW_S = 0.5
"""Seconds over which steps are counted. Shorter: the rate fluctuates, as slow callbacks answer in
bursts. Longer: the rate drops late when a callback begins to hang.
"""


class RateMeter:
    """The larger of two rates: that of the last full window and that of the current one."""

    __slots__ = ("_began_s", "_current", "_last", "_window_s")

    def __init__(self, window_s: float = WINDOW_S) -> None:
        """Start at zero, with windows of `window_s` seconds."""
        self._window_s = window_s
        self._began_s, self._current, self._last = 0.0, 0, 0

    def step(self, now_s: float, steps: int = 1) -> None:
        """Count steps at `now_s`, in seconds of any clock that does not go backwards."""
        self._advance(now_s)
        self._current += steps

    def per_second(self, now_s: float) -> float:
        """Return the steps per second at `now_s`."""
        self._advance(now_s)
        return max(self._last, self._current) / self._window_s

    def _advance(self, now_s: float) -> None:
        windows = int((now_s - self._began_s) / self._window_s)
        if windows > 0:
            self._last = self._current if windows == 1 else 0
            self._current = 0
            self._began_s += windows * self._window_s
