"""Checks of a token by the chat platform's own API and by a gateway: how many one API worker
answers, and how fast.

Each is also a row of the request log, which is written meanwhile. All requests are the same: what
is checked is in memory.
"""

from urllib.parse import urlencode

from benchmarks.comparison import Comparison, Figures, Row, Target, compare
from benchmarks.load import Plan, Report
from benchmarks.meter import Meter
from benchmarks.pipelines import Pipeline, Running
from benchmarks.ringback_processes import Ringback
from benchmarks.stage import Stage

_CONNECTIONS = 32
_WARM_UP = 1_000
_PERMISSION = "conversations:read"
_STATUS = {"introspect": 200, "authorize": 204}
_TARGETS = {
    "introspect": Target(8_000, at_least=True),
    "authorize": Target(12_000, at_least=True),
}


def checking(stage: Stage) -> list[Row]:
    """Measure checks at full speed, on one API worker."""
    return [
        row
        for way, target in _TARGETS.items()
        for row in _checking(stage, way).rows({"checks/s": target})
    ]


def _checking(stage: Stage, way: str) -> Comparison:
    count = stage.size(30_000, quick=5_000)

    def measure(pipeline: Pipeline) -> Figures:
        pipeline.prepare()
        with pipeline.api(workers=1) as running:
            _check(stage, running, way, _WARM_UP)
            meter = Meter(running.roots)
            report = _check(stage, running, way, count)
            cpu_us = meter.cpu_us(count)["all parts"]
        return {
            "checks/s": count / report.took_s,
            "answer p50, ms": report.p50_ms,
            "answer p99, ms": report.p99_ms,
            "CPU, µs/check": cpu_us,
        }

    ringback = Ringback(stage, permissions=("tokens:introspect", _PERMISSION))
    return compare(f"checking, {way}", [ringback], measure, stage.rounds)


def _check(stage: Stage, running: Running, way: str, count: int) -> Report:
    request = (
        _introspection(running.token) if way == "introspect" else _authorization(running.token)
    )
    return stage.load(
        Plan(
            running.port, running.token, count, _CONNECTIONS, request=request, expected=_STATUS[way]
        )
    )


def _introspection(token: str) -> str:
    """Return the request of a chat API about one of its requests."""
    fields = {
        "method": "GET",
        "path": "/conversations/4711",
        "ip": "198.51.100.7",
        "user_agent": "python-requests/2.32.3",
    }
    form = urlencode({"token": token, "permission": _PERMISSION} | fields)
    head = [
        "POST /v1/introspect HTTP/1.1",
        "content-type: application/x-www-form-urlencoded",
        f"content-length: {len(form)}",
    ]
    return _request(token, head) + form


def _authorization(token: str) -> str:
    """Return the request of nginx with the configuration in deploy/nginx."""
    fields = [
        f"x-required-permission: {_PERMISSION}",
        "x-original-method: GET",
        "x-original-uri: /conversations/4711?expand=customer",
    ]
    who = ["x-forwarded-for: 198.51.100.7", "user-agent: python-requests/2.32.3", "accept: */*"]
    return _request(token, ["GET /v1/authorize HTTP/1.1", *fields, *who])


def _request(token: str, head: list[str]) -> str:
    return "\r\n".join([*head, "host: ringback", f"authorization: Bearer {token}", "", ""])
