"""How much later webhooks come while twenty people look at the pages: the overview and a list of
deliveries, both of which update by themselves.
"""

import http.client
import statistics
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.comparison import Row, Target
from benchmarks.posting import post, warm_up
from benchmarks.ringback_processes import Ringback
from benchmarks.stage import Stage
from dashboard.overview.ranges import RANGES, USUAL
from schemas.passwords import password_hash
from schemas.people import Role
from store.engine.database import Database
from store.people.people import People
from tests.kit.tokens import TESTER

VIEWERS = 20

_RATE = 500.0
_LIMIT_S = 60.0
_EMAIL, _PASSWORD = "viewer@example.com", "correct horse battery"
_PARTS = (
    ("/", "now", 5.0),
    ("/", "charts", float(RANGES[USUAL].refresh_s)),
    ("/deliveries", "", 4.0),
)
"""What an open page fetches again: the address, the part of the page, and every how many seconds.
"""


def watching(stage: Stage) -> list[Row]:
    """Measure the 99th percentile from POST to webhook in milliseconds, on services."""
    alone_ms, watched_ms, fetched_a_second = list[float](), list[float](), list[float]()
    for _ in range(stage.rounds):
        alone_ms.append(_measured(stage, 0)[0])
        p99_ms, fetched = _measured(stage, VIEWERS)
        watched_ms.append(p99_ms)
        fetched_a_second.append(fetched)
    return [
        Row(
            "watching",
            f"webhook p99 at {_RATE:g}/s, {VIEWERS} viewers : none, ms",
            statistics.median(watched_ms),
            statistics.median(alone_ms),
            Target(1.1, at_least=False, of_ratio=True),
            {"with": watched_ms, "without": alone_ms},
        ),
        Row("watching", "parts of pages fetched a second", statistics.median(fetched_a_second)),
    ]


def _measured(stage: Stage, viewers: int) -> tuple[float, float]:
    """Return the percentile, and how many parts of pages were fetched a second meanwhile."""
    count = stage.size(15_000, quick=3_000)
    ringback = Ringback(stage)
    with ringback.on_services() as running:
        _add_viewer(ringback)
        warm_up(stage, running)
        with _viewers(running.port, viewers) as fetched:
            report = post(stage, running, count, rate=_RATE)
            stats = stage.receiver.wait_for(count, _LIMIT_S)
        return stats.p99_ms, len(fetched) / report.took_s


def _add_viewer(ringback: Ringback) -> None:
    database = Database(ringback.database_url)
    people = People(database)
    people.add(_EMAIL, Role.VIEWER, TESTER)
    people.set_password_hash(_EMAIL, password_hash(_PASSWORD), TESTER)
    database.close()


@contextmanager
def _viewers(port: int, number: int) -> Iterator[list[int]]:
    """Have so many people look. The list grows with the statuses of what they are sent."""
    stopping, statuses = threading.Event(), list[int]()
    cookie = _sign_in(port) if number else ""
    threads = [
        threading.Thread(
            target=_watch, args=(port, cookie, part, viewer / number, stopping, statuses)
        )
        for viewer in range(number)
        for part in _PARTS
    ]
    for thread in threads:
        thread.start()
    yield statuses
    stopping.set()
    for thread in threads:
        thread.join()
    if set(statuses) - {200}:
        raise RuntimeError(f"a page was not answered 200: {set(statuses)}")


def _watch(
    port: int,
    cookie: str,
    part: tuple[str, str, float],
    phase: float,
    stopping: threading.Event,
    statuses: list[int],
) -> None:
    """Fetch a part again and again. `phase` from 0 to 1: when in the period it begins."""
    address, name, every_s = part
    headers = {"Cookie": cookie, "HX-Request": "true"} | ({"X-Live-Part": name} if name else {})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_LIMIT_S)
    stopping.wait(every_s * phase)
    while not stopping.is_set():
        connection.request("GET", address, headers=headers)
        response = connection.getresponse()
        response.read()
        statuses.append(response.status)
        stopping.wait(every_s)
    connection.close()


def _sign_in(port: int) -> str:
    """Return the cookie of a session."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_LIMIT_S)
    body = urllib.parse.urlencode({"email": _EMAIL, "password": _PASSWORD})
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Origin": f"http://127.0.0.1:{port}",
    }
    connection.request("POST", "/sign-in", body, headers)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.headers["Set-Cookie"].partition(";")[0]
