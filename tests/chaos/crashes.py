"""Scenarios in which processes end, or stop being there: killed, stopped by a signal, frozen,
crashed by what they handle.
"""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable

import psutil  # type: ignore[import-untyped]  # it ships no types

from tests.chaos import counting
from tests.chaos.load import messages
from tests.chaos.reports import Report
from tests.chaos.world import Nodes, World, kill_postgres

_PATHS = ["/ok/a", "/flaky/20/b", "/slow/100/c", "/flaky/40/d"]
_RATE = 80.0
_STEADY_S = 2.0

_SCHEDULE = ",".join(["1s"] * 30 + ["10m"])
"""So many tries that chance exhausts none, and a horizon that no outage here reaches."""

_CRASH_LOOP = "Worker crash loop detected"
"""What the API says when a worker dies twice within six seconds. It ends then, and its service
manager starts it again: a worker that cannot live must not be tried for ever in silence.
"""

MOST_TWICE = 150
"""Per kill: deliveries of that process that had been sent and were not recorded yet; what 80 a
second can have in flight, and more.
"""


def kills(nodes: Nodes, *, full: bool) -> Report:
    """`kill -9` of whatever chance chooses, a moment after the one before; everything is started
    again at once.
    """
    report, left = Report(), 200 if full else 20
    chance = random.Random(left)
    with World(
        nodes,
        dispatchers=2,
        workers=2,
        TIMEOUT="2s",
        CONNECT_TIMEOUT="1s",
        RETRY_SCHEDULE=_SCHEDULE,
    ) as world:
        killer = _Killer(world, chance)
        with world.load(world.subscribe(_PATHS), _RATE) as load:
            for _ in range(left):
                time.sleep(chance.uniform(0.1, 1.5 if full else 1.0))
                killer.kill_one()
            killer.restart()
            time.sleep(_STEADY_S)
        killer.restart_until_ready(60)
        tally = world.settle(load, 180)
    report.note(**{f"kills_of_{what}": count for what, count in sorted(killer.killed.items())})
    report.note(
        api_restarts_after_two_kills_of_a_worker=killer.crash_loops,
        ended_by_themselves=len(killer.ended),
    )
    report.count(tally)
    report.demand("few duplicates", held=tally.duplicates <= MOST_TWICE * left)
    report.demand(f"no process ends by itself, but {killer.ended}", held=not killer.ended)
    return report


class _Killer:
    """Chooses a victim, kills it, and has it started again."""

    def __init__(self, world: World, chance: random.Random):
        self._world, self._chance = world, chance
        self.killed: Counter[str] = Counter()
        self.ended: list[str] = []
        self.crash_loops = 0
        self._ways: dict[str, tuple[int, Callable[[], None]]] = {
            "dispatcher": (8, self._dispatcher),
            "API worker": (5, self._api_worker),
            "API": (3, self._api),
            "broker": (2, self._broker),
            "database": (2, self._database),
            "database session": (2, self._database_session),
        }

    def kill_one(self) -> None:
        self.restart()
        kinds, weights = list(self._ways), [weight for weight, _ in self._ways.values()]
        (kind,) = self._chance.choices(kinds, weights)
        self._ways[kind][1]()
        self.killed[kind] += 1

    def restart(self) -> None:
        """Start what has ended, as a service manager would."""
        for name, process in self._world.ringback.processes.items():
            if process.poll() is not None:
                log = self._world.ringback.log(name)
                if (
                    name == "api" and log.count(_CRASH_LOOP) > self.crash_loops
                ):  # its last lines may be those of another worker's end
                    self.crash_loops = log.count(_CRASH_LOOP)
                else:
                    self.ended.append(f"{name} with {process.returncode}: {log.splitlines()[-5:]}")
                self._world.ringback.spawn(name)

    def restart_until_ready(self, limit_s: float) -> None:
        """What was killed last may end after its worker's death is noticed, so one look is not
        enough.
        """
        end_s = time.monotonic() + limit_s
        while missing := self._missing():
            if time.monotonic() > end_s:
                raise AssertionError(f"not ready within {limit_s:g} s: {missing}")
            self.restart()
            time.sleep(0.2)

    def _missing(self) -> dict[str, str | dict[str, str]]:
        """Process → what it says that it lacks, or why it cannot be asked."""
        missing: dict[str, str | dict[str, str]] = {}
        for name, process in self._world.ringback.processes.items():
            try:
                if lacks := self._world.ringback.ready(name):
                    missing[name] = lacks
            except OSError as error:
                missing[name] = (
                    f"{error!r}, exit status {process.poll()}: "
                    f"{self._world.ringback.log(name).splitlines()[-5:]}"
                )
        return missing

    def _dispatcher(self) -> None:
        self._restart(self._chance.choice(self._world.ringback.dispatchers))

    def _api(self) -> None:
        self._restart("api")

    def _restart(self, name: str) -> None:
        workers = psutil.Process(self._world.ringback.pid(name)).children(recursive=True)
        self._world.ringback.stop(name, signal.SIGKILL)
        psutil.wait_procs(workers, 10)  # they hold the port a moment longer than their parent lives
        self._world.ringback.spawn(name)

    def _api_worker(self) -> None:
        """Its parent replaces it."""
        workers = psutil.Process(self._world.ringback.pid("api")).children()
        if workers:
            self._chance.choice(workers).kill()

    def _broker(self) -> None:
        self._world.nodes.rabbit.kill()
        self._world.nodes.rabbit.start()

    def _database(self) -> None:
        kill_postgres(self._world.nodes.postgres)
        self._world.nodes.postgres.start()

    def _database_session(self) -> None:
        """PostgreSQL ends all sessions then, and recovers by itself."""
        folder = self._world.nodes.postgres.dir
        sessions = psutil.Process(
            int((folder / "data" / "postmaster.pid").read_text().split()[0])
        ).children()
        self._chance.choice(sessions).kill()


def stops(nodes: Nodes, *, full: bool) -> Report:
    """SIGTERM every five seconds, to one of two dispatchers under load in turn."""
    report = Report()
    with World(nodes, dispatchers=2, direct=True, RETRY_SCHEDULE=_SCHEDULE) as world:
        statuses = []
        with world.load(
            world.subscribe(["/slow/20/a", "/slow/20/b", "/slow/500/c"]), 100.0
        ) as load:
            for round_ in range(24 if full else 3):
                time.sleep(5.0 if full else 1.5)
                name = world.ringback.dispatchers[round_ % 2]
                statuses.append(world.ringback.stop(name))
                world.ringback.start(name)
        tally = world.settle(load)
    report.note(stops=len(statuses))
    report.count(tally)
    report.demand("no duplicates at all", held=tally.duplicates == 0)
    report.demand("every stop exits 0", held=not any(statuses))
    report.demand("every request accepted", held=tally.accepted == tally.sent)
    return report


def impatient_stops(nodes: Nodes, *, full: bool) -> Report:
    """SIGTERM, and while it drains another, and SIGINT, to every process in turn."""
    report = Report()
    with World(nodes, dispatchers=2, workers=2, direct=True, RETRY_SCHEDULE=_SCHEDULE) as world:
        statuses, took_s = [], []
        with world.load(world.subscribe(["/slow/20/a", "/slow/1000/b"]), 40.0) as load:
            for name in list(world.ringback.processes) * (5 if full else 1):
                time.sleep(_STEADY_S)
                began_s = time.monotonic()
                statuses.append(_stop_impatiently(world, name))
                took_s.append(time.monotonic() - began_s)
                world.ringback.start(name)
        tally = world.settle(load)
    report.note(stops=len(statuses), slowest_stop_s=max(took_s), exits=" ".join(map(str, statuses)))
    report.count(tally)
    report.demand("no duplicates at all", held=tally.duplicates == 0)
    report.demand("every stop exits 0", held=not any(statuses))
    return report


def _stop_impatiently(world: World, name: str) -> int:
    process = world.ringback.processes[name]
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
        if process.poll() is None:
            process.send_signal(number)
        time.sleep(0.05)
    return process.wait(40)


def frozen(nodes: Nodes, *, full: bool) -> Report:
    """SIGSTOP of one of two dispatchers past its leases (TIMEOUT + 10 s), then SIGCONT."""
    report, frozen_s = Report(), 40.0 if full else 14.0
    with World(
        nodes,
        dispatchers=2,
        direct=True,
        TIMEOUT="1s",
        CONNECT_TIMEOUT="1s",
        RETRY_SCHEDULE=_SCHEDULE,
    ) as world:
        with world.load(world.subscribe(["/ok/a", "/slow/300/b", "/flaky/20/c"]), _RATE) as load:
            time.sleep(_STEADY_S)
            world.signal("dispatch-0", signal.SIGSTOP)
            time.sleep(frozen_s)
            world.signal("dispatch-0", signal.SIGCONT)
            time.sleep(_STEADY_S)
        tally = world.settle(load)
        report.demand(
            "no process ends", held=world.ringback.running() == {"api", "dispatch-0", "dispatch-1"}
        )
    report.note(frozen_s=frozen_s)
    report.count(tally)
    report.demand("few duplicates", held=tally.duplicates <= MOST_TWICE)
    report.demand("every request accepted", held=tally.accepted == tally.sent)
    return report


def poison(nodes: Nodes, *, full: bool) -> Report:
    """An event whose webhook ends the process that puts it together, at every try. A service
    manager starts that again.
    """
    report = Report()
    with World(
        nodes,
        sabotaged=True,
        direct=True,
        TIMEOUT="1s",
        CONNECT_TIMEOUT="1s",
        RETRY_SCHEDULE=_SCHEDULE,
    ) as world:
        targets = world.subscribe(["/ok/a"])
        (world.folder / "poison").write_text("evt_poison")
        with world.load(targets, 20.0) as load:
            _, event = next(messages(targets))
            world.ringback.publisher.publish(event | {"id": "evt_poison"})
            crashes = _restart_for(
                world, 240.0 if full else 30.0, lambda: full and _is_exhausted(world)
            )
        crashes += _restart_for(world, 60.0, lambda: not _missing(world, load.posted))
        (world.folder / "poison").unlink()
        report.note(crashes=crashes)
        report.count(world.settle(load))
        if full:
            report.demand("the event is given up after 20 tries", held=_is_exhausted(world))
    report.demand("at most 20 crashes, and those of the broker's five", held=crashes <= 26)
    return report


def _missing(world: World, posted: list[counting.Posted]) -> set[str]:
    return counting.missing(posted, world.receiver.arrivals())


def _is_exhausted(world: World) -> bool:
    event = world.ringback.admin.find("/v1/events/evt_poison")
    return bool(event) and [one["state"] for one in event["deliveries"]] == ["exhausted"]


def _restart_for(world: World, limit_s: float, done: Callable[[], bool]) -> int:
    """Start the dispatcher whenever it has ended, until `done`, or for so long;
    how often it had.
    """
    ended, end_s = 0, time.monotonic() + limit_s
    while time.monotonic() < end_s and not done():
        if world.ringback.processes["dispatch-0"].poll() is not None:
            ended += 1
            world.ringback.spawn("dispatch-0")
        time.sleep(0.5)
    return ended
