"""Scenarios in which the broker, the database, both, or the names of receivers are away for a
while, and come back.
"""

import itertools
import time
from collections import Counter
from collections.abc import Callable

from tests.chaos import counting
from tests.chaos.load import Load
from tests.chaos.reports import Report
from tests.chaos.world import Nodes, World

ANSWER_LIMIT_S, BRIEF_LIMIT_S = 1.0, 3.0
"""Promised in docs/reliability.md: an answer within a second, whatever is away. Played briefly,
alongside other tests, it may take a little longer; a wait for what is silent would still be seen:
those take five seconds and more.
"""

MOST_CPU = 0.05
"""The share of a core that a process may use while it waits for a service."""

_PATHS = ["/ok/a", "/ok/b", "/slow/50/c", "/flaky/10/d"]
_RATE = 80.0
_STEADY_S = 2.0

_SCHEDULE = ",".join(["1s"] * 12 + ["10m"])

Break = Callable[[World], None]


def broker_refused(nodes: Nodes, *, full: bool) -> Report:
    return _outage(nodes, _away_s(full), lambda world: world.broker.refuse(), full=full)


def broker_silent(nodes: Nodes, *, full: bool) -> Report:
    return _outage(nodes, _away_s(full), lambda world: world.broker.silence(), full=full)


def database_refused(nodes: Nodes, *, full: bool) -> Report:
    return _outage(nodes, _away_s(full), lambda world: world.store.refuse(), full=full)


def database_silent(nodes: Nodes, *, full: bool) -> Report:
    return _outage(nodes, _away_s(full), lambda world: world.store.silence(), full=full)


def both_refused(nodes: Nodes, *, full: bool) -> Report:
    return _outage(nodes, _away_s(full), _refuse_both, full=full, may_refuse=True)


def both_silent(nodes: Nodes, *, full: bool) -> Report:
    return _outage(nodes, _away_s(full), _silence_both, full=full, may_refuse=True)


def half_open(nodes: Nodes, *, full: bool) -> Report:
    """All connections of now are silent for ever, to the broker and then to the database, while new
    ones are well: only limits and heartbeats of one's own find that out.
    """
    away_s = 120.0 if full else 30.0
    is_brokers_turn = itertools.cycle((True, False))

    def strand(world: World) -> None:
        (world.broker if next(is_brokers_turn) else world.store).strand()

    return _outage(nodes, away_s, strand, full=full, every_s=away_s / 2)


def cuts(nodes: Nodes, *, full: bool) -> Report:
    """Connections end by a reset, again and again, at both services."""
    return _outage(nodes, 60.0 if full else 6.0, _cut_both, full=full, every_s=1.0)


def waiting(nodes: Nodes, *, full: bool) -> Report:
    """Both away, and nothing to do: no busy loop, no crash loop."""
    report, watched_s = Report(), 20.0 if full else 6.0
    with World(nodes, dispatchers=1) as world:
        for name, fault in (("refused", _refuse_both), ("silent", _silence_both)):
            fault(world)
            time.sleep(_STEADY_S)
            shares = world.watch.cpu_share(watched_s)
            world.broker.heal()
            world.store.heal()
            report.note(
                **{f"{part},_{name},_%_of_a_core": 100 * share for part, share in shares.items()}
            )
            report.demand(
                f"under 5 % of a core while waiting ({name})", held=max(shares.values()) < MOST_CPU
            )
        report.demand("no process ends", held=world.ringback.running() == {"api", "dispatch-0"})
    return report


def names_away(nodes: Nodes, *, full: bool) -> Report:
    """The name service fails, then hangs. Receivers known by address must not notice; those known
    by name are retried.
    """
    report, away_s = Report(), 60.0 if full else 5.0
    with World(
        nodes, sabotaged=True, direct=True, RETRY_SCHEDULE=_SCHEDULE, ALLOW_HTTP="true"
    ) as world:
        by_address = world.subscribe(["/ok/a", "/ok/b"])
        by_name = world.subscribe(["/ok/named"], host="receiver.test")
        names = world.folder / "names"
        names.write_text(
            "fail"
        )  # before anything was found: what was found is used for half a minute
        with world.load(by_address | by_name, _RATE) as load:
            time.sleep(away_s)
            names.write_text("hang")
            time.sleep(away_s)
            names.unlink()
            healed_s = time.time()
            time.sleep(_STEADY_S)
        report.count(world.settle(load))
        delays_s = counting.delays_s(
            load.posted, world.receiver.arrivals(), set(by_address.values())
        )
        named_s = counting.delays_s(load.posted, world.receiver.arrivals(), set(by_name.values()))
        report.note(
            p99_by_address_ms=1000 * counting.percentile(delays_s, 0.99),
            longest_by_name_s=named_s[-1],
        )
        report.note(
            recovered_s=counting.recovered_s(load.posted, world.receiver.arrivals(), healed_s)
        )
        report.demand(
            "callbacks by address do not wait for names", held=delays_s[-1] < ANSWER_LIMIT_S
        )
    return report


def _outage(
    nodes: Nodes,
    away_s: float,
    fault: Break,
    *,
    full: bool,
    may_refuse: bool = False,
    every_s: float = 0.0,
) -> Report:
    """Under a steady load: the fault, so many seconds, healing, and the count. `every_s`: it is
    repeated meanwhile.
    """
    report = Report()
    with World(nodes, dispatchers=2, workers=2, RETRY_SCHEDULE=_SCHEDULE) as world:
        with world.load(world.subscribe(_PATHS), _RATE) as load:
            time.sleep(_STEADY_S)
            _hold(world, fault, away_s, every_s)
            healed_s = time.time()
            time.sleep(_STEADY_S)
        report.count(world.settle(load))
        report.note(
            recovered_s=counting.recovered_s(load.posted, world.receiver.arrivals(), healed_s)
        )
        judge_answers(report, load, full=full, may_refuse=may_refuse)
        report.demand(
            "no process ends", held=world.ringback.running() == {"api", "dispatch-0", "dispatch-1"}
        )
    return report


def _hold(world: World, fault: Break, away_s: float, every_s: float) -> None:
    end_s = time.monotonic() + away_s
    while (left_s := end_s - time.monotonic()) > 0:
        fault(world)
        time.sleep(min(left_s, every_s or left_s))
    world.broker.heal()
    world.store.heal()


def judge_answers(report: Report, load: Load, *, full: bool, may_refuse: bool = False) -> None:
    """Each answered in time and accepted, or refused with a word about when to come again."""
    slowest_s = max(one.answered_s - one.due_s for one in load.posted)
    refused = [one for one in load.posted if one.status not in (0, 202)]
    report.note(slowest_answer_ms=1000 * slowest_s)
    report.demand(
        "every answer within a second",
        held=slowest_s <= (ANSWER_LIMIT_S if full else BRIEF_LIMIT_S),
    )
    report.demand("every request answered", held=all(one.status for one in load.posted))
    if may_refuse:
        report.demand(
            "503 with Retry-After",
            held=all(one.status == 503 and one.retry_after for one in refused),
        )
    else:
        counts, example = (
            dict(Counter(one.status for one in refused)),
            refused[0].said[:200] if refused else "",
        )
        report.demand(f"every request accepted, but {counts}, such as {example}", held=not refused)


def _away_s(full: bool) -> float:
    return 60.0 if full else 7.0


def _refuse_both(world: World) -> None:
    world.broker.refuse()
    world.store.refuse()


def _silence_both(world: World) -> None:
    world.broker.silence()
    world.store.silence()


def _cut_both(world: World) -> None:
    world.broker.cut()
    world.store.cut()
