"""Figures of real dispatchers: equal to the attempts after a stop, never more after a kill; and
counted again at the command line.
"""

import contextlib
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from consumers.pipeline.settled_figures import FLUSH_EVERY_S
from schemas.times import UnixMs, now_ms, to_rfc3339
from store.engine.database import Database
from store.tables import attempts, figure_callback_hours, figure_gauges, figure_minutes
from tests.flows.conftest import Starting
from tests.kit.command import Place
from tests.kit.figures import count_live, ended_hour, kept, of_attempts, outcomes, settlements
from tests.kit.platform import MESSAGE, publishing, wait_for_all
from tests.kit.receiver import Receiver
from tests.kit.ringback import Ringback
from tests.kit.waiting import wait_for

BREAKING = "/switch/b"
PATHS = ("/ok/a", BREAKING, "/slow/20/c")
EVENTS = 400
SCHEDULE = "1s,1s,2s,4s,60s"


@contextlib.contextmanager
def opened(ringback: Ringback) -> Iterator[Database]:
    database = Database(ringback.database_url)
    yield database
    database.close()


def subscribe(ringback: Ringback, receiver: Receiver) -> None:
    for path in PATHS:
        ringback.token(path, callbacks={MESSAGE: receiver.url(path)}, wait=path == PATHS[-1])


def test_figures_equal_the_attempts_after_a_stop(start: Starting, receiver: Receiver) -> None:
    """By type, outcome and callback, with all that is retried; and the API shows them."""
    ringback = start(dispatchers=2, RETRY_SCHEDULE=SCHEDULE)
    subscribe(ringback, receiver)
    receiver.switch("b", 500)
    with publishing(ringback.publisher, EVENTS, rate=150) as published:
        receiver.wait_for(BREAKING, 5)
        receiver.switch("b", 200)
    for path in PATHS:
        wait_for_all(receiver, path, published.result().ids)
    shown = wait_for("all to be counted", lambda: _all_delivered(ringback), 30)
    assert shown["total"]["accepted"] == EVENTS
    assert shown["total"]["failures"]["http_5xx"] >= 5

    for name in ringback.dispatchers:
        assert ringback.stop(name) == 0

    with opened(ringback) as database:
        by_type, by_callback = kept(database)
        assert (outcomes(by_type), outcomes(by_callback)) == of_attempts(database)
        assert by_type[MESSAGE].delivered == EVENTS * len(PATHS)
        assert sum(by_type[MESSAGE].first_delay.values()) > 0
        with database.read() as connection:
            assert connection.scalar(sa.select(sa.func.count()).select_from(figure_gauges)) >= 1


def _all_delivered(ringback: Ringback) -> dict[str, object] | None:
    shown = ringback.admin.get("/v1/stats")
    return shown if shown["total"]["delivered"] == EVENTS * len(PATHS) else None


def test_a_kill_makes_no_count_too_high(start_on_services: Starting, receiver: Receiver) -> None:
    """Figures of minutes are written with the outcomes, so they lose nothing. Those of callbacks
    lose what was not flushed.
    """
    ringback = start_on_services(dispatchers=2, RETRY_SCHEDULE=SCHEDULE)
    subscribe(ringback, receiver)
    with publishing(ringback.publisher, EVENTS, rate=150) as published:
        receiver.wait_for(PATHS[0], EVENTS // 2)
        killed_at = now_ms()
        ringback.stop("dispatch-1", signal.SIGKILL)
    for path in PATHS:
        wait_for_all(receiver, path, published.result().ids)
    wait_for("all to be recorded", lambda: _recorded(ringback), 60)
    assert ringback.stop("dispatch-0") == 0

    with opened(ringback) as database:
        by_type, by_callback = kept(database)
        of_types, of_callbacks = of_attempts(database)
        assert outcomes(by_type) == of_types
        found = outcomes(by_callback)
        assert all(found[key] <= count for key, count in of_callbacks.items())
        assert found.keys() <= of_callbacks.keys()
        lost = of_callbacks.total() - found.total()
        assert lost <= _started_between(
            database, killed_at - int(1000 * FLUSH_EVERY_S) - 1_000, now_ms()
        )
        assert lost < of_callbacks.total() / 2


def _recorded(ringback: Ringback) -> bool:
    """Whether every delivery has its outcome."""
    with opened(ringback) as database:
        of_types, _ = of_attempts(database)
    return Counter(of_types)[MESSAGE, "delivered"] >= EVENTS * len(PATHS)


def _started_between(database: Database, begin: int, end: int) -> int:
    with database.read() as connection:
        started = attempts.c.started_at
        count = sa.select(sa.func.count()).where(started >= begin, started < end)
        return connection.scalar(count) or 0


def test_figures_are_rebuilt_at_the_command_line(tmp_path: Path) -> None:
    """After an upgrade there are attempts, and no figures."""
    place = Place(tmp_path, DATABASE_URL=f"sqlite:///{tmp_path}/x.db")
    assert place.call("migrate").status == 0
    database = Database(f"sqlite:///{tmp_path}/x.db")
    count_live(database, settlements(100, ended_hour(0), within_ms=60_000))
    before = kept(database)
    with database.write() as connection:
        connection.execute(sa.delete(figure_minutes))
        connection.execute(sa.delete(figure_callback_hours))
    since = to_rfc3339(UnixMs(ended_hour(0)))

    done = place.call("stats", "rebuild", "--since", since, "--json")

    assert done.status == 0, done.err
    facts = done.json
    assert (facts["hours"], facts["events"], facts["attempts"]) == (1, 100, 100)
    assert facts["until"] == to_rfc3339(UnixMs(ended_hour(0) + 1))
    rebuilt = kept(database)
    database.close()
    for figures in (*before[0].values(), *before[1].values()):
        figures.ended.clear()  # when deliveries ended is stored nowhere else
    assert rebuilt == before
    said = place.call("stats", "rebuild", "--since", to_rfc3339(now_ms()))
    assert (said.status, said.out.startswith("nothing to rebuild")) == (0, True)
    assert "attempts" in place.call("stats", "rebuild", "--since", since).out
