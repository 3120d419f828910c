"""Scenarios of size: a huge backlog, the largest batches, and a long time. Memory has to stay where
it is.
"""

import concurrent.futures
import itertools
import time

from benchmarks import amqp
from tests.chaos import counting
from tests.chaos.load import post_batch
from tests.chaos.reports import Report
from tests.chaos.world import Nodes, World
from tests.kit.platform import MESSAGE, message
from tests.kit.waiting import wait_for

MOST_MB = 300.0
"""Resident, of a dispatcher or of an API process with one worker, at any moment."""

MOST_MB_LARGE = 350.0
"""The limit of a dispatcher whose events are as large as they may be."""

MOST_GROWTH = 0.05
_LARGE_BYTES = 249_400
_LARGE_PATHS = ["/switch/hanging", "/slow/200/x"]
_TEXT_BYTES = 7_000
_BATCH = 1000


def backlog(nodes: Nodes, *, full: bool) -> Report:
    """The dispatchers were away while events gathered in the broker; one comes back."""
    report, count = Report(), 500_000 if full else 5_000
    with World(nodes, direct=True) as world:
        world.ringback.token("all", callbacks={MESSAGE: world.receiver.url("/ok/all")})
        world.ringback.stop("dispatch-0")
        amqp.fill(nodes.rabbit.url, amqp.RINGBACK_EXCHANGE, count)
        began_s = time.monotonic()
        world.ringback.start("dispatch-0")
        wait_for("all of it to come", lambda: _came(world) >= count, count / 500 + 30)
        took_s = time.monotonic() - began_s
        arrivals = world.receiver.arrivals()
        peak_mb = world.watch.peak_mb["dispatch-0"]
    report.note(sent=count, accepted=count, missing=count - len({one.event_id for one in arrivals}))
    report.note(
        duplicates=counting.duplicates(arrivals),
        deliveries_a_second=count / took_s,
        dispatcher_peak_mb=peak_mb,
    )
    report.demand("memory stays bounded", held=peak_mb <= MOST_MB)
    report.demand("no duplicates", held=counting.duplicates(arrivals) == 0)
    return report


def large_backlog(nodes: Nodes, *, full: bool) -> Report:
    """Events of 250 KB gathered in the broker; of their two receivers one hangs and one is slow,
    and then the store is away too.
    """
    report, count = Report(), 3_000 if full else 300
    with World(nodes, TIMEOUT="5s", RETRY_SCHEDULE=",".join(["2s"] * 60)) as world:
        world.receiver.switch("hanging", 0)
        for path in _LARGE_PATHS:
            world.ringback.token(path, callbacks={MESSAGE: world.receiver.url(path)})
        world.ringback.stop("dispatch-0")
        amqp.fill(nodes.rabbit.url, amqp.RINGBACK_EXCHANGE, count, _LARGE_BYTES)
        world.ringback.start("dispatch-0")
        time.sleep(20.0 if full else 5.0)
        report.note(
            events=count, dispatcher_peak_with_receivers_mb=world.watch.peak_mb["dispatch-0"]
        )
        world.store.refuse()
        time.sleep(20.0 if full else 5.0)
        report.note(dispatcher_peak_without_the_store_mb=world.watch.peak_mb["dispatch-0"])
        world.store.heal()
        time.sleep(10.0 if full else 5.0)
        world.receiver.switch("hanging", 200)
        began_s = time.monotonic()
        wait_for(
            "all of it to come",
            lambda: min(_answered(world, path) for path in _LARGE_PATHS) >= count,
            count / 5 + 60,
        )
        report.note(
            missing=0,
            all_came_after_s=time.monotonic() - began_s,
            dispatcher_peak_mb=world.watch.peak_mb["dispatch-0"],
        )
    report.demand(
        "memory stays bounded", held=float(report.figures["dispatcher peak mb"]) <= MOST_MB_LARGE
    )
    return report


def _answered(world: World, path: str) -> int:
    return len(
        {
            one.event_id
            for one in world.receiver.arrivals()
            if one.path == path and one.status == 200
        }
    )


def _came(world: World) -> int:
    return len(world.receiver.arrivals())


def largest_batches(nodes: Nodes, *, full: bool) -> Report:
    """Batches of a thousand events and nearly 8 MiB, four at a time, alongside a steady load for
    another callback.
    """
    report, batches = Report(), 40 if full else 4
    with World(nodes, direct=True, TIMEOUT="5s") as world:
        targets = world.subscribe(["/ok/a", "/ok/b"])
        of_batches, of_load = ({channel: path} for channel, path in targets.items())
        events = _Large(next(iter(of_batches)))
        with world.load(of_load, 20.0) as load, concurrent.futures.ThreadPoolExecutor(4) as pool:
            posted = list(
                pool.map(
                    lambda _: post_batch(
                        world.ringback.publisher, [next(events) for _ in range(_BATCH)]
                    ),
                    range(batches),
                )
            )
        report.count(world.settle(load))
        ids = {event_id for batch, _ in posted for event_id in batch}
        wait_for("all batches to come", lambda: ids <= _ids_at(world, "/ok/a"), 120)
        peaks_mb = world.watch.peak_mb
        report.note(
            events_in_batches=len(ids), batches_posted_again=sum(again for _, again in posted)
        )
        report.note(**{f"{part}_peak_mb": peak for part, peak in peaks_mb.items()})
        report.note(
            slowest_other_answer_ms=1000 * max(one.answered_s - one.due_s for one in load.posted)
        )
        report.demand("no duplicates", held=counting.duplicates(world.receiver.arrivals()) == 0)
    report.demand("memory stays bounded", held=max(peaks_mb.values()) <= 2 * MOST_MB)
    report.demand(
        "every other request accepted", held=all(one.status == 202 for one in load.posted)
    )
    return report


class _Large:
    """Events without end, for several threads."""

    def __init__(self, channel: str):
        self._channel, self._numbers = channel, itertools.count()

    def __iter__(self) -> "_Large":
        return self

    def __next__(self) -> dict[str, object]:
        event = message(next(self._numbers), channel=self._channel)
        event["data"]["message"]["content"]["text"] = "x" * _TEXT_BYTES
        return event


def _ids_at(world: World, path: str) -> set[str]:
    return {one.event_id for one in world.receiver.arrivals() if one.path == path}


def long_run(nodes: Nodes, *, full: bool) -> Report:
    """The same processes under load for long, with receivers that fail and services that are cut
    off now and then.
    """
    report, minutes = Report(), 15 if full else 0.3
    warm_s, window_s = (180.0, 60.0) if full else (6.0, 3.0)
    with World(nodes, dispatchers=2, workers=2, RETRY_SCHEDULE=",".join(["1s"] * 30)) as world:
        targets = world.subscribe(
            [f"/ok/{n}" for n in range(8)] + ["/flaky/20/x", "/flaky/40/y", "/slow/200/z"]
        )
        with world.load(targets, 150.0 if full else 60.0) as load:
            began_s = time.monotonic()
            end_s = began_s + minutes * 60
            while time.monotonic() < end_s - window_s:
                time.sleep(min(20.0, max(1.0, end_s - window_s - time.monotonic())))
                world.broker.cut()
                world.store.cut()
            time.sleep(window_s)
        warm, late = (
            world.watch.median_mb(at_s, at_s + window_s)
            for at_s in (began_s + warm_s - window_s, end_s - window_s)
        )
        report.count(world.settle(load))
        for part, peak in world.watch.peak_mb.items():
            growth = late[part] / warm[part] - 1
            report.note(**{f"{part}_peak_mb": peak, f"{part}_growth_%": 100 * growth})
            report.demand(f"{part} grows by 5 % at most", held=growth <= MOST_GROWTH or not full)
    return report
