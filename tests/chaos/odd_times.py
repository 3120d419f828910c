"""Scenarios of ids and clocks: one id posted by many at once, and wall clocks that jump."""

import concurrent.futures
import itertools
import time
from collections import Counter, defaultdict

from tests.chaos import counting
from tests.chaos.receiver import Arrival
from tests.chaos.reports import Report
from tests.chaos.world import Nodes, World
from tests.kit.platform import message
from tests.kit.waiting import wait_for

_AT_ONCE = 32
_HOUR_S = 3600
_SOONEST_AGAIN_S = 0.8
"""A retry after one second comes, with its jitter and a store's clock that catches up with the
wall's, not before 0.81.
"""


def one_id(nodes: Nodes, *, full: bool) -> Report:
    """The same id from many clients at once: half of them repeat the same content, the others each
    have their own.
    """
    report, count = Report(), 200 if full else 20
    with World(nodes, dispatchers=2, workers=2, direct=True) as world:
        (channel,) = world.subscribe(["/ok/a"])
        posts = [(number, client) for number in range(count) for client in range(_AT_ONCE)]
        with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
            statuses = Counter(pool.map(lambda post: _post(world, channel, *post), posts))
        ids = {f"evt_{number}" for number in range(count)}
        wait_for(
            "each to come once",
            lambda: {one.event_id for one in world.receiver.arrivals()} == ids,
            60,
        )
        wait_for("all copies to be looked at", lambda: _looked_at(world) == len(posts) - count, 30)
        conflicts = {event_id: _conflicts(world, event_id) for event_id in ids}
        arrivals = world.receiver.arrivals()
        noted = sum(
            world.ringback.log(name).count("conflict") for name in world.ringback.dispatchers
        )
    report.note(
        posts=len(posts),
        events=count,
        received=len(arrivals),
        duplicates=counting.duplicates(arrivals),
    )
    report.note(conflicts_shown=sum(found for found, _ in conflicts.values()))
    report.demand("every post answered 202", held=set(statuses) == {202})
    report.demand("each id is delivered once", held=len(arrivals) == count)
    report.demand(
        "each event shows how often other content came",
        held=all(found == due for found, due in conflicts.values()),
    )
    report.demand(
        "each conflict is in the log", held=noted >= sum(found for found, _ in conflicts.values())
    )
    return report


def _post(world: World, channel: str, number: int, client: int) -> int:
    """Even clients say the same, odd ones each something else."""
    text = "the same" if client % 2 == 0 else f"of client {client}"
    event = message(number, channel=channel, id=f"evt_{number}")
    event["data"]["message"]["content"]["text"] = text
    return world.ringback.publisher.call("POST", "/v1/events", event).status


def _looked_at(world: World) -> float:
    """Copies that the dispatchers have counted, with either content."""
    samples = [world.ringback.metrics(name) for name in world.ringback.dispatchers]
    names = ("ringback_events_duplicate_total", "ringback_events_conflicting_total")
    return sum(
        value for sample in samples for name, value in sample.items() if name.startswith(names)
    )


def _conflicts(world: World, event_id: str) -> tuple[int, int]:
    """Shown, and due by who was first."""
    event = world.ringback.admin.get(f"/v1/events/{event_id}")
    same = event["data"]["message"]["content"]["text"] == "the same"
    return event["conflicts"], _AT_ONCE // 2 if same else _AT_ONCE - 1


def clock_on_services(nodes: Nodes, *, full: bool) -> Report:
    """The clock of the machine on which API and dispatchers run jumps;
    PostgreSQL's is another's.
    """
    return _clock(
        World(
            nodes, dispatchers=2, sabotaged=True, direct=True, RETRY_SCHEDULE=",".join(["1s"] * 30)
        ),
        full=full,
    )


def clock_embedded(nodes: Nodes, *, full: bool) -> Report:
    """The same in one process, whose store has no other clock."""
    return _clock(
        World(nodes, embedded=True, sabotaged=True, RETRY_SCHEDULE=",".join(["1s"] * 30)), full=full
    )


def _clock(made: World, *, full: bool) -> Report:
    """An hour ahead, an hour back, two hours back, and right again."""
    report = Report()
    with made as world:
        # Never ten failures in a row: a breaker that opens and closes hastens what waits.
        targets = world.subscribe(["/ok/a", "/flaky/25/b"], activates_at="2020-01-01T00:00:00Z")
        with world.load(targets, 40.0) as load:
            for wrong_s in (_HOUR_S, 0, -_HOUR_S, _HOUR_S, 0):
                time.sleep(10.0 if full else 2.0)
                (world.folder / "clock").write_text(str(wrong_s))
            right_s = time.time()
            time.sleep(3.0)
        report.count(world.settle(load))
        arrivals = world.receiver.arrivals()
        soonest_s = _soonest_again_s(arrivals)
    report.note(
        recovered_s=counting.recovered_s(load.posted, arrivals, right_s), soonest_retry_s=soonest_s
    )
    report.demand("no retry before its time", held=soonest_s >= _SOONEST_AGAIN_S)
    report.demand(
        "nothing refused", held=all(one.status in (0, 202) for one in load.posted)
    )  # an idle connection may seem an hour old
    return report


def _soonest_again_s(arrivals: list[Arrival]) -> float:
    """The shortest time between two requests for one event."""
    times: defaultdict[str, list[float]] = defaultdict(list)
    for one in arrivals:
        times[one.event_id].append(one.at_s)
    return min(
        (b - a for came in times.values() for a, b in itertools.pairwise(came)),
        default=float("inf"),
    )
