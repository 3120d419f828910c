"""Benchmarks of a dispatcher alone, in front of a queue that was filled before it started: `drain`
and `memory`.
"""

import statistics
import time

from benchmarks.comparison import Figures, Row, Target, compare
from benchmarks.floor_processes import Floor
from benchmarks.meter import Meter, resident_mb
from benchmarks.pipelines import Pipeline
from benchmarks.ringback_processes import Ringback
from benchmarks.stage import Stage

_START_LIMIT_S = 30.0
_LIMIT_S = 300.0
_SAMPLE_S = 0.25
_CONCURRENCY = "256"
"""The concurrency of Ringback's one callback. The floor has no limit, and sixteen attempts at a
time would measure the receiver.
"""


def drain(stage: Stage) -> list[Row]:
    """Measure events a second from the first webhook to the last, without the start."""
    count = stage.size(20_000, quick=5_000)
    pipelines: list[Pipeline] = [Floor(stage), Ringback(stage, CALLBACK_CONCURRENCY=_CONCURRENCY)]
    comparison = compare(
        "drain", pipelines, lambda pipeline: _drain(stage, pipeline, count), stage.rounds
    )
    return comparison.rows({"events/s": Target(0.9, at_least=True, of_ratio=True)})


def _drain(stage: Stage, pipeline: Pipeline, count: int) -> Figures:
    pipeline.prepare(prefilled=count)
    stage.receiver.reset()
    with pipeline.dispatcher() as running:
        begun = stage.receiver.wait_for(1, _START_LIMIT_S).count
        meter = Meter(running.roots)
        stats = stage.receiver.wait_for(count, _LIMIT_S)
        cpu_us = meter.cpu_us(count - begun)["all parts"]
    return {"events/s": (count - 1) / (stats.last_s - stats.first_s), "CPU, µs/event": cpu_us}


def memory(stage: Stage) -> list[Row]:
    """Measure the resident memory of a dispatcher with a long queue: its peak, and whether it keeps
    growing.
    """
    count = stage.size(200_000, quick=20_000)
    ringback = Ringback(stage, CALLBACK_CONCURRENCY=_CONCURRENCY)
    ringback.prepare(prefilled=count)
    stage.receiver.reset()
    with ringback.dispatcher() as running:
        samples = _sample(stage, running.roots["dispatcher"], count)
        peak_mb = Meter(running.roots).peak_mb()["dispatcher"]
    early_mb = statistics.fmean(mb for done, mb in samples if count / 4 <= done < count / 2)
    late_mb = statistics.fmean(mb for done, mb in samples if done >= count * 3 / 4)
    return [
        Row("memory", "peak, MB", peak_mb, target=Target(150, at_least=False)),
        Row(
            "memory",
            "last quarter : second quarter",
            late_mb / early_mb,
            target=Target(1.1, at_least=False),
        ),
    ]


def _sample(stage: Stage, pid: int, count: int) -> list[tuple[int, float]]:
    """Return pairs of events received and resident MB. Raises TimeoutError."""
    samples, end = [(0, resident_mb(pid))], time.monotonic() + _LIMIT_S
    while samples[-1][0] < count:
        if time.monotonic() > end:
            raise TimeoutError(f"{samples[-1][0]} of {count} webhooks came within {_LIMIT_S:g} s")
        time.sleep(_SAMPLE_S)
        samples.append((stage.receiver.count(), resident_mb(pid)))
    return samples
