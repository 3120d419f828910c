"""Watches what the processes of Ringback take: resident memory by part, its peak, and processor
time. On a thread of its own.
"""

import contextlib
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import NamedTuple, Self

import psutil  # type: ignore[import-untyped]  # it ships no types

_EVERY_S = 0.5


class _Sample(NamedTuple):
    at_s: float
    mb: float


class Watch:
    """A context manager. `pids` gives the first process of each part that runs just now; each with
    its children counts as one.
    """

    def __init__(self, pids: Callable[[], Mapping[str, int]]):
        self._pids = pids
        self._samples: dict[str, list[_Sample]] = defaultdict(list)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(10)

    @property
    def peak_mb(self) -> dict[str, float]:
        """The highest sample of each part."""
        return {
            name: max(sample.mb for sample in samples) for name, samples in self._samples.items()
        }

    def median_mb(self, from_s: float, to_s: float) -> dict[str, float]:
        """The peak of each part between two moments of `time.monotonic`."""
        found = {
            name: [one.mb for one in samples if from_s <= one.at_s <= to_s]
            for name, samples in self._samples.items()
        }
        return {name: statistics.median(values) for name, values in found.items() if values}

    def cpu_share(self, seconds: float) -> dict[str, float]:
        """The share of one core that each part uses, over so many seconds from now."""
        before = {name: _cpu_s(pid) for name, pid in self._pids().items()}
        time.sleep(seconds)
        return {
            name: (_cpu_s(pid) - before[name]) / seconds
            for name, pid in self._pids().items()
            if name in before
        }

    def _run(self) -> None:
        while not self._ended.wait(_EVERY_S):
            for name, pid in self._pids().items():
                if mb := _resident_mb(pid):
                    self._samples[name].append(_Sample(time.monotonic(), mb))


def _tree(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):  # ended meanwhile
        first = psutil.Process(pid)
        return [first, *first.children(recursive=True)]
    return []


def _resident_mb(pid: int) -> float:
    total = 0.0
    for process in _tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss / 2**20
    return total


def _cpu_s(pid: int) -> float:
    total = 0.0
    for process in _tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total
