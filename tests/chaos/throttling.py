"""Scenarios in which receivers take only so many a second, and answer 429 to the rest."""

import time

from tests.chaos import counting
from tests.chaos.load import post_batch
from tests.chaos.receiver import Arrival
from tests.chaos.reports import Report
from tests.chaos.world import Nodes, World
from tests.kit.platform import message
from tests.kit.waiting import wait_for

TAKES, LEAST = 5, 4.0
"""What each receiver takes a second, and what it gets of that."""

SCHEDULE = "5s,20s,40s"
"""65 seconds in all: less than the backlog takes to drain."""


def throttling(nodes: Nodes, *, full: bool) -> Report:
    """On services, with two dispatchers, which know of each other only by the store."""
    return _play(World(nodes, dispatchers=2, direct=True, RETRY_SCHEDULE=SCHEDULE), full=full)


def throttling_embedded(nodes: Nodes, *, full: bool) -> Report:
    return _play(World(nodes, embedded=True, RETRY_SCHEDULE=SCHEDULE), full=full)


def _play(world: World, *, full: bool) -> Report:
    """One receiver counts by the second, the other lets a burst pass; each is to get all of its
    events, posted at once.
    """
    report, count, paths = (
        Report(),
        600 if full else 30,
        [f"/window/{TAKES}/a", f"/bucket/{TAKES}/b"],
    )
    with world:
        posted = {
            path: _post(world, channel, count) for channel, path in world.subscribe(paths).items()
        }
        began_s = time.time()
        wait_for("all to be delivered or given up", lambda: not _is_any_open(world), 60 + count)
        exhausted = world.ringback.admin.get("/v1/deliveries?state=exhausted&limit=100")["data"]
        arrivals = world.receiver.arrivals()
    for path, ids in posted.items():
        _judge(report, path, ids, [one for one in arrivals if one.path == path], began_s, full=full)
    report.note(sent=2 * count, exhausted=len(exhausted), duplicates=counting.duplicates(arrivals))
    report.demand("nothing is exhausted", held=not exhausted)
    report.demand("no duplicates", held=counting.duplicates(arrivals) == 0)
    return report


def _post(world: World, channel: str, count: int) -> set[str]:
    return set(
        post_batch(
            world.ringback.publisher,
            [message(f"{channel}_{number}", channel=channel) for number in range(count)],
        )[0]
    )


def _is_any_open(world: World) -> bool:
    time.sleep(0.5)  # the dashboard's question: asked without a pause it is a load of its own
    return not world.nothing_open()


def _judge(
    report: Report, path: str, ids: set[str], came: list[Arrival], began_s: float, *, full: bool
) -> None:
    """A pace shows only at full size: what was saved up for a burst, and the first pauses, count
    for much of a few.
    """
    name, taken = path.split("/")[1], [one for one in came if one.status == 200]
    a_second = len(taken) / max(1.0, taken[-1].at_s - began_s)
    missing = len(ids - {one.event_id for one in taken})
    report.note(
        **{
            f"{name}_a_second": a_second,
            f"{name}_refused": len(came) - len(taken),
            f"{name}_missing": missing,
        }
    )
    report.demand(
        f"{name}: at least {LEAST:g} of {TAKES} a second", held=a_second >= LEAST or not full
    )
    report.demand(f"{name}: 0 of the accepted events missing", held=missing == 0)
