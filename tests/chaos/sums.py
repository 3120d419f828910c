"""A scenario of figures: what charts show is what the attempts say, whatever ended meanwhile."""

import contextlib
import signal
import time
from collections import Counter

import sqlalchemy as sa

from benchmarks import amqp
from consumers.pipeline.settled_figures import FLUSH_EVERY_S
from store.engine.database import Database
from store.tables import attempts
from tests.chaos.reports import Report
from tests.chaos.world import Nodes, World
from tests.kit.figures import kept, of_attempts, outcomes
from tests.kit.platform import MESSAGE
from tests.kit.waiting import wait_for

_PATHS = ["/ok/a", "/flaky/20/b"]
_SCHEDULE = ",".join(["1s"] * 30)


def figures(nodes: Nodes, *, full: bool) -> Report:
    """Twice: two dispatchers settle what had gathered, and stop as asked; and again, when one of
    them is killed in the middle.
    """
    report, count = Report(), 25_000 if full else 500
    with World(nodes, dispatchers=2, direct=True, RETRY_SCHEDULE=_SCHEDULE) as world:
        for path in _PATHS:
            world.ringback.token(path, callbacks={MESSAGE: world.receiver.url(path)})
        with contextlib.closing(Database(world.ringback.database_url)) as database:
            _gather(world, count)
            _run_down(world, 0)
            report.demand("equal after a clean stop", held=_sums_are_equal(database))
            report.note(attempts=_attempts(database))

            _gather(world, count)
            killed_ms = _run_down(world, len(_PATHS) * count * 3 // 2)
            _compare(report, database, killed_ms)
    return report


def _gather(world: World, count: int) -> None:
    """Fill the queue while no dispatcher runs, and start both."""
    for name in set(world.ringback.dispatchers) & world.ringback.running():
        world.ringback.stop(name)
    amqp.fill(world.nodes.rabbit.url, amqp.RINGBACK_EXCHANGE, count)
    world.ringback.start(*world.ringback.dispatchers)


def _run_down(world: World, kill_after: int) -> int:
    """Wait until all is delivered, and stop. With `kill_after` one dispatcher is killed once so
    many webhooks came: return when, in unix milliseconds.
    """
    killed_ms = 0
    if kill_after:
        wait_for("the middle", lambda: len(world.receiver.arrivals()) >= kill_after, 120)
        world.ringback.stop("dispatch-0", signal.SIGKILL)
        killed_ms = int(time.time() * 1000)
        world.ringback.start("dispatch-0")
    wait_for("all to be settled", world.nothing_open, 180)
    for name in world.ringback.dispatchers:
        world.ringback.stop(name)
    return killed_ms


def _compare(report: Report, database: Database, killed_ms: int) -> None:
    (by_type, of_callbacks), (types, callbacks) = kept(database), of_attempts(database)
    lost = callbacks.total() - outcomes(of_callbacks).total()
    lately = _attempts(database, killed_ms - int(1000 * FLUSH_EVERY_S), killed_ms)
    report.note(
        attempts_in_all=types.total(),
        lost_by_callback_after_the_kill=lost,
        attempts_in_the_five_seconds_before=lately,
    )
    report.demand("by minute equal after `kill -9`", held=outcomes(by_type) == types)
    report.demand("by callback never more", held=_never_more(outcomes(of_callbacks), callbacks))
    report.demand("by callback at most 5 s less", held=lost <= lately)


def _sums_are_equal(database: Database) -> bool:
    by_type, of_callbacks = kept(database)
    return (outcomes(by_type), outcomes(of_callbacks)) == of_attempts(database)


def _never_more(counted: Counter[tuple[str, str]], made: Counter[tuple[str, str]]) -> bool:
    return all(count <= made[key] for key, count in counted.items())


def _attempts(database: Database, since_ms: int = 0, until_ms: int = 2**62) -> int:
    query = sa.select(sa.func.count()).where(attempts.c.started_at.between(since_ms, until_ms))
    with database.read() as connection:
        return connection.scalar(query) or 0
