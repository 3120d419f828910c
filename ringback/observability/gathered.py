"""Counters and histograms on the hot path: a thread only appends what it counts, and `flush` hands
all of it over at once.

Knows no metrics library. Called by `ringback.observability.metrics`, which flushes.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from typing import TypeVar

_T = TypeVar("_T")


class GatheredCounter:
    """A counter by labels. `increase` is called by `flush` alone, once per set of labels."""

    def __init__(self, increase: Callable[[tuple[str, ...], float], None]):
        self._increase = increase
        self._ones: deque[tuple[str, ...]] = deque()
        self._sums: deque[tuple[tuple[str, ...], int]] = deque()

    def add(self, *labels: str, count: int = 1) -> None:
        """Count, without a lock, until the next `flush`."""
        if count == 1:
            self._ones.append(labels)
        else:
            self._sums.append((labels, count))

    def flush(self) -> None:
        """Hand over what has been counted. The standard library's `Counter` counts in C."""
        counts = Counter(_drained(self._ones))
        for labels, count in _drained(self._sums):
            counts[labels] += count
        for labels, count in counts.items():
            self._increase(labels, count)


class GatheredHistogram:
    """A histogram of seconds with one label. `observe_all` is called by `flush` alone, once per
    label.
    """

    def __init__(self, observe_all: Callable[[str, Sequence[float]], None]):
        self._observe_all = observe_all
        self._pending: deque[tuple[str, float]] = deque()

    def observe(self, label: str, seconds: float) -> None:
        """Record a duration, without a lock, until the next `flush`."""
        self._pending.append((label, seconds))

    def flush(self) -> None:
        """Hand over what has been observed."""
        observed: defaultdict[str, list[float]] = defaultdict(list)
        for label, seconds in _drained(self._pending):
            observed[label].append(seconds)
        for label, durations in observed.items():
            self._observe_all(label, durations)


def _drained(pending: deque[_T]) -> list[_T]:
    """Take out what is there now; other threads may go on appending at the other end."""
    return [pending.popleft() for _ in range(len(pending))]
