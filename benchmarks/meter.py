"""CPU time and memory of process trees: the API's workers, RabbitMQ's Erlang machine and
PostgreSQL's backends included.

Called before and after what is measured, with the first process of every part.
"""

import contextlib
import pathlib
import re
from collections.abc import Mapping

import psutil  # type: ignore[import-untyped]  # it ships no types

_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")


class Meter:
    """A meter that counts from its creation. `roots`: process id of the first process, by part."""

    def __init__(self, roots: Mapping[str, int]) -> None:
        self._roots = roots
        self._before = self._cpu_s()

    def cpu_us(self, events: int) -> dict[str, float]:
        """Return the CPU time of each part and of `all parts`, in microseconds per event."""
        used = dict.fromkeys(self._roots, 0.0)
        for (name, pid), seconds in self._cpu_s().items():
            used[name] += (seconds - self._before.get((name, pid), 0.0)) / events * 1e6
        return {**used, "all parts": sum(used.values())}

    def peak_mb(self) -> dict[str, float]:
        """Return the peak resident memory of the largest process of each part."""
        return {
            name: max((_peak_mb(p.pid) for p in _tree(pid)), default=0.0)
            for name, pid in self._roots.items()
        }

    def _cpu_s(self) -> dict[tuple[str, int], float]:
        spent = {}
        for name, root in self._roots.items():
            for process in _tree(root):
                # It may end between being listed and being read.
                with contextlib.suppress(psutil.NoSuchProcess):
                    times = process.cpu_times()
                    spent[name, process.pid] = times.user + times.system
        return spent


def resident_mb(pid: int) -> float:
    """Return the current resident memory of a process and its children."""
    return float(sum(process.memory_info().rss for process in _tree(pid))) / 2**20


def _tree(root: int) -> list[psutil.Process]:
    try:
        first = psutil.Process(root)
        return [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _peak_mb(pid: int) -> float:
    try:
        peak = _PEAK.search(pathlib.Path(f"/proc/{pid}/status").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return 0.0  # ended between being listed and being read
    return int(peak[1]) / 1024 if peak else 0.0
