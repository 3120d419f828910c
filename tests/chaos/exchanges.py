"""Scenarios in which the broker is there but not well: late with its confirms, blocked by an alarm,
without its queue.
"""

import json
import time

import pika

from tests.chaos import counting
from tests.chaos.outages import judge_answers
from tests.chaos.proxy import Way
from tests.chaos.reports import Report
from tests.chaos.world import Nodes, World
from tests.kit.waiting import wait_for

_RATE = 80.0
_STEADY_S = 2.0
_SCHEDULE = ",".join(["1s"] * 12 + ["10m"])


def late_confirms(nodes: Nodes, *, full: bool) -> Report:
    """Everything from the broker comes 0.8 s late: longer than a publish waits for its confirm."""
    report = Report()
    with World(nodes, workers=2, RETRY_SCHEDULE=_SCHEDULE) as world:
        with world.load(world.subscribe(["/ok/a", "/ok/b"]), _RATE) as load:
            for _ in range(5 if full else 2):
                time.sleep(_STEADY_S)
                world.broker.delay(0.8, Way.TO_CLIENT)
                time.sleep(_STEADY_S)
                world.broker.heal()
        tally = world.settle(load)
    report.count(tally)
    judge_answers(report, load, full=full)
    report.demand("the second copies are not sent", held=tally.duplicates == 0)
    return report


def thin_line(nodes: Nodes, *, full: bool) -> Report:
    """20 kB a second in each direction of each connection to the broker and to the database: too
    little for this load.
    """
    report = Report()
    with World(nodes, workers=2, RETRY_SCHEDULE=_SCHEDULE) as world:
        with world.load(world.subscribe(["/ok/a", "/ok/b"]), _RATE) as load:
            time.sleep(_STEADY_S)
            world.broker.throttle(20_000)
            world.store.throttle(20_000)
            time.sleep(60.0 if full else 6.0)
            world.broker.heal()
            world.store.heal()
            healed_s = time.time()
            time.sleep(_STEADY_S)
        report.count(world.settle(load))
        report.note(
            recovered_s=counting.recovered_s(load.posted, world.receiver.arrivals(), healed_s)
        )
        report.demand("no process ends", held=world.ringback.running() == {"api", "dispatch-0"})
    return report


def memory_alarm(nodes: Nodes, *, full: bool) -> Report:
    """RabbitMQ is short of memory and blocks publishers, while there are dead letters to be
    written.
    """
    report, letters = Report(), 20
    with World(nodes, RETRY_SCHEDULE=_SCHEDULE) as world:
        targets = world.subscribe(["/ok/a"])
        world.ringback.stop("dispatch-0")
        _publish_nonsense(nodes, letters)
        nodes.rabbit.ctl("set_vm_memory_high_watermark", "absolute", "1000000")
        try:
            world.ringback.start("dispatch-0")
            with world.load(targets, _RATE) as load:
                time.sleep(60.0 if full else 6.0)
            wait_for(
                "events to be delivered meanwhile",
                lambda: not counting.missing(load.posted, world.receiver.arrivals()),
                30,
            )
        finally:
            nodes.rabbit.ctl("set_vm_memory_high_watermark", "0.4")
        wait_for("the dead letters to be written", lambda: _dead_letters(world) >= letters, 60)
        report.count(world.settle(load))
        report.note(dead_letters=_dead_letters(world))
        report.demand("no dead letter is lost", held=_dead_letters(world) >= letters)
    judge_answers(report, load, full=full)
    return report


def queue_deleted(nodes: Nodes, *, full: bool) -> Report:
    """An administrator deletes ringback.dispatch, again and again. What it held is gone with it;
    nothing that is accepted after may be.
    """
    report, deleted_s = Report(), []
    with World(nodes, workers=2, RETRY_SCHEDULE=_SCHEDULE) as world:
        with world.load(world.subscribe(["/ok/a", "/ok/b"]), _RATE) as load:
            for _ in range(10 if full else 2):
                time.sleep(_STEADY_S)
                began_s = time.time()
                _delete_queue(nodes)
                deleted_s.append((began_s, time.time()))
            time.sleep(_STEADY_S)
        world.settle(load, 20.0)
        arrivals = world.receiver.arrivals()
        lost = counting.missing(load.posted, arrivals)
    # An answer may come after the end of a queue that had confirmed its event before; and a busy
    # dispatcher is behind by as much.
    at_risk = {
        one.event_id
        for one in load.posted
        if any(one.due_s <= b and a - 2.0 <= one.answered_s for a, b in deleted_s)
    }
    tally = counting.tally(load.posted, arrivals)
    report.note(
        sent=tally.sent,
        accepted=tally.accepted,
        lost_with_the_queue=len(lost & at_risk),
        duplicates=tally.duplicates,
    )
    report.note(missing=len(lost - at_risk))
    report.demand("nothing missing but what the queue held", held=not lost - at_risk)
    judge_answers(report, load, full=full)
    return report


def _publish_nonsense(nodes: Nodes, count: int) -> None:
    with pika.BlockingConnection(pika.URLParameters(nodes.rabbit.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for number in range(count):
            body = json.dumps({"type": "nonsense", "number": number}).encode()
            channel.basic_publish(
                "ringback.events",
                "nonsense",
                body,
                pika.BasicProperties(delivery_mode=2, message_id=f"bad_{number}"),
            )


def _dead_letters(world: World) -> int:
    """Wherever they lie: those that a blocked broker does not take go into the outbox."""
    return len(json.loads(world.ringback.run("dead", "list", "--json")))


def _delete_queue(nodes: Nodes) -> None:
    with pika.BlockingConnection(pika.URLParameters(nodes.rabbit.url)) as connection:
        connection.channel().queue_delete("ringback.dispatch")
