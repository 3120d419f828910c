"""Benchmarks that post events over HTTP: `api`, `end_to_end`, `fan_out`, `embedded` and `latency`.

Each run begins with a few events that do not count, for which connections and caches are created.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager

from benchmarks.comparison import Comparison, Figures, Row, Target, compare
from benchmarks.floor_processes import Floor
from benchmarks.load import Plan, Report
from benchmarks.meter import Meter
from benchmarks.pipelines import Pipeline, Running
from benchmarks.ringback_processes import Ringback
from benchmarks.stage import Stage

_CONNECTIONS = 32
_WARM_UP = 300
_RATE = 200.0
_LIMIT_S = 120.0
_FAN = 10

_Way = Callable[[Pipeline], AbstractContextManager[Running]]


def api(stage: Stage) -> list[Row]:
    """Measure the API alone, durable on RabbitMQ, with one worker and with two."""
    targets = {
        "events/s": Target(0.75, at_least=True, of_ratio=True),
        "answer p99, ms": Target(25, at_least=False),
    }
    return [row for workers in (1, 2) for row in _api(stage, workers).rows(targets)]


def _api(stage: Stage, workers: int) -> Comparison:
    count = stage.size(10_000, quick=3_000)

    def measure(pipeline: Pipeline) -> Figures:
        pipeline.prepare()
        with pipeline.api(workers) as running:
            post(stage, running, _WARM_UP)
            meter = Meter(running.roots)
            report = post(stage, running, count)
            return {
                "events/s": count / report.took_s,
                **_answers(report),
                "CPU, µs/event": meter.cpu_us(count)["all parts"],
            }

    name = f"api, {workers} worker{'s' if workers > 1 else ''}"
    return compare(name, _all(stage), measure, stage.rounds)


def end_to_end(stage: Stage) -> list[Row]:
    """Measure POST to webhook on both services, with one API worker and one dispatcher."""
    count = stage.size(10_000, quick=3_000)
    comparison = compare(
        "end to end",
        _all(stage),
        lambda p: _at_full_speed(stage, p.on_services(), count),
        stage.rounds,
    )
    return comparison.rows(
        {
            "deliveries/s": Target(0.75, at_least=True, of_ratio=True),
            "CPU of all parts, µs/event": Target(1.3, at_least=False, of_ratio=True),
        }
    )


def fan_out(stage: Stage) -> list[Row]:
    """Measure one event for the callbacks of ten tokens, on RabbitMQ and PostgreSQL."""
    count = stage.size(3_000, quick=1_000)
    pipelines = [Ringback(stage, callbacks=_FAN)]
    comparison = compare(
        "fan-out of ten",
        pipelines,
        lambda p: _at_full_speed(stage, p.on_services(), count, _FAN),
        stage.rounds,
    )
    return comparison.rows({"deliveries/s": Target(4_500, at_least=True)})


def embedded(stage: Stage) -> list[Row]:
    """Measure POST to webhook in one process, on SQLite with synchronous commits."""
    count = stage.size(10_000, quick=3_000)
    comparison = compare(
        "embedded", _all(stage), lambda p: _at_full_speed(stage, p.embedded(), count), stage.rounds
    )
    return comparison.rows({"deliveries/s": Target(0.5, at_least=True, of_ratio=True)})


def latency(stage: Stage) -> list[Row]:
    """Measure from when an event should be posted to its webhook's arrival, at a steady rate."""
    targets = {
        "webhook p50, ms": Target(1.4, at_least=False, of_ratio=True),
        "webhook p99, ms": Target(2, at_least=False, of_ratio=True),
    }
    ways: dict[str, _Way] = {
        "embedded": lambda p: p.embedded(),
        "on services": lambda p: p.on_services(),
    }
    return [row for name, way in ways.items() for row in _latency(stage, name, way).rows(targets)]


def _latency(stage: Stage, name: str, way: _Way) -> Comparison:
    count = stage.size(4_000, quick=1_000)
    return compare(
        f"latency at {_RATE:g}/s, {name}",
        _all(stage),
        lambda p: _steadily(stage, way(p), count),
        stage.rounds,
    )


def _all(stage: Stage) -> list[Pipeline]:
    return [Floor(stage), Ringback(stage)]


def _at_full_speed(
    stage: Stage, starting: AbstractContextManager[Running], count: int, callbacks: int = 1
) -> Figures:
    with starting as running:
        warm_up(stage, running, callbacks)
        meter = Meter(running.roots)
        report = post(stage, running, count)
        stats = stage.receiver.wait_for(count * callbacks, _LIMIT_S)
        cpu_us, peak_mb = meter.cpu_us(count), meter.peak_mb()
    return {
        "deliveries/s": stats.count / (stats.last_s - report.started_s),
        **_answers(report),
        "webhook p50, ms": stats.p50_ms,
        "duplicates": stats.duplicates,
        **{f"CPU of {part}, µs/event": value for part, value in cpu_us.items()},
        **{f"peak memory of {part}, MB": value for part, value in peak_mb.items()},
    }


def _steadily(stage: Stage, starting: AbstractContextManager[Running], count: int) -> Figures:
    with starting as running:
        warm_up(stage, running)
        report = post(stage, running, count, rate=_RATE)
        stats = stage.receiver.wait_for(count, _LIMIT_S)
    return {"webhook p50, ms": stats.p50_ms, "webhook p99, ms": stats.p99_ms, **_answers(report)}


def warm_up(stage: Stage, running: Running, callbacks: int = 1) -> None:
    """Post events, wait for their webhooks, and reset the receiver."""
    stage.receiver.reset()
    post(stage, running, _WARM_UP)
    stage.receiver.wait_for(_WARM_UP * callbacks, _LIMIT_S)
    stage.receiver.reset()


def post(stage: Stage, running: Running, count: int, rate: float = 0.0) -> Report:
    """Post events as fast as they are answered, or at a rate."""
    return stage.load(Plan(running.port, running.token, count, _CONNECTIONS, rate))


def _answers(report: Report) -> Figures:
    return {"answer p50, ms": report.p50_ms, "answer p99, ms": report.p99_ms}
