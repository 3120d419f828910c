"""CPU time and memory of process trees: granian's workers, RabbitMQ's Erlang machine and
PostgreSQL's backends included.

Called around each measured stretch, with the first process of every part.
"""

import contextlib
import pathlib
import re
from collections.abc import Mapping

import psutil  # type: ignore[import-untyped]  # it ships no types

_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")


class Meter:
    """Counts from its making. `roots`: name of a part → process id of its first process."""

    def __init__(self, roots: Mapping[str, int]) -> None:
        self._roots = roots
        self._before = self._cpu_s()

    def cpu_us(self, events: int) -> dict[str, float]:
        """CPU of each part since the start, microseconds per event, and of `all parts`."""
        used = dict.fromkeys(self._roots, 0.0)
        for (name, pid), seconds in self._cpu_s().items():
            used[name] += (seconds - self._before.get((name, pid), 0.0)) / events * 1e6
        return {**used, "all parts": sum(used.values())}

    def peak_mb(self) -> dict[str, float]:
        """The highest resident memory that the largest process of each part ever had."""
        return {
            name: max((_peak_mb(p.pid) for p in _tree(pid)), default=0.0)
            for name, pid in self._roots.items()
        }

    def _cpu_s(self) -> dict[tuple[str, int], float]:
        spent = {}
        for name, root in self._roots.items():
            for process in _tree(root):
                with contextlib.suppress(
                    psutil.NoSuchProcess
                ):  # ended between being listed and being read
                    times = process.cpu_times()
                    spent[name, process.pid] = times.user + times.system
        return spent


def resident_mb(pid: int) -> float:
    """Of one process and its children, now."""
    return float(sum(process.memory_info().rss for process in _tree(pid))) / 2**20


def _tree(root: int) -> list[psutil.Process]:
    try:
        first = psutil.Process(root)
        return [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _peak_mb(pid: int) -> float:
    try:
        found = _PEAK.search(pathlib.Path(f"/proc/{pid}/status").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return 0.0  # ended between being listed and being read
    return int(found[1]) / 1024 if found else 0.0
