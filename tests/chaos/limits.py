"""The scenario of the size limit: messages of every size around it, each twice, by every way in, beside a steady load."""

import itertools
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import pika
from pika.adapters.blocking_connection import BlockingChannel

from schemas.events import MAX_EVENT_BYTES
from tests.chaos import counting
from tests.chaos.counting import Posted
from tests.chaos.receiver import Arrival
from tests.chaos.reports import Report
from tests.chaos.world import Nodes, World
from tests.kit.platform import MESSAGE, message
from tests.kit.waiting import wait_for

_RATE = 20.0
_AT_ONCE = 20
"""Messages that are published before each comes for the second time. More: copies come later, of events that were delivered long ago."""

_LATE_S, _LATE_BRIEFLY_S = 2.0, 5.0
_LIMIT_S = 120.0

_CLOSELY = range(262_100, 262_421)
"""Where something is added to a message: its id, a time, what a webhook has beside. Every size of these; of the others every twentieth."""

_BRIEFLY = (262_000, 262_144, 262_145, 262_268, 262_341, 262_400, 262_600)
_TIMES: tuple[dict[str, str], ...] = ({}, {"timestamp": "2026-11-22T10:00:00Z"})


class Sized(NamedTuple):
    """A message. `message_id`: its id stands beside it, as AMQP's property."""

    event_id: str
    body: bytes
    message_id: str | None = None

    @property
    def fits(self) -> bool:
        return len(self.body) <= MAX_EVENT_BYTES


def around_the_limit(nodes: Nodes, *, full: bool) -> Report:
    """Straight from a backend by AMQP, by HTTP and the broker, and by HTTP and the outbox while there is no broker."""
    report = Report()
    sizes = sorted({*_CLOSELY, *range(262_000, 262_601, 20)}) if full else _BRIEFLY
    with World(nodes, RETRY_SCHEDULE=",".join(["1s"] * 12)) as world:
        (channel, path), steady = world.subscribe(["/ok/sized", "/ok/steady"]).items()
        by_amqp = _sized("amqp", channel, sizes, beside=(False, True))
        by_http, by_outbox = (_sized(name, channel, sizes, beside=(False,)) for name in ("http", "outbox"))
        with world.load(dict([steady]), _RATE, "beside_amqp") as first:
            buried = _publish_twice(nodes, by_amqp)
            refused = _post_twice(world, by_http)
            _wait_for(world, path, [*by_amqp, *by_http])
        world.settle(first)
        world.broker.refuse()
        with world.load(dict([steady]), _RATE, "beside_outbox") as second:
            refused += _post_twice(world, by_outbox)
            _wait_for(world, path, by_outbox)
        world.broker.heal()
        world.settle(second)
        report.demand("every process is alive", held=world.ringback.running() == {"api", "dispatch-0"})
        arrivals = world.receiver.arrivals()
    _judge(report, path, [*by_amqp, *by_http, *by_outbox], arrivals)
    too_large = [one.event_id for one in by_amqp if not one.fits]
    report.note(dead_letters=len(buried), answered_413=refused)
    report.demand("by AMQP, what is too large is a dead letter, each time", held=sorted(buried) == sorted(2 * too_large))
    report.demand("by HTTP, it is answered 413", held=refused == 2 * sum(not one.fits for one in [*by_http, *by_outbox]))
    for name, load in (("beside_amqp", first), ("beside_the_outbox", second)):
        _judge_the_others(report, name, load.posted, arrivals, full=full)
    return report


def _judge(report: Report, path: str, sized: Sequence[Sized], arrivals: Sequence[Arrival]) -> None:
    wanted = [Posted(one.event_id, path, 0.0, 0.0, 202 if one.fits else 413) for one in sized]
    of_these = [one for one in arrivals if one.path == path]
    tally = counting.tally(wanted, of_these)
    report.note(messages=2 * len(sized), events_that_fit=tally.accepted, missing=tally.missing, duplicates=tally.duplicates)
    report.demand("each that fits is delivered once", held=tally.missing == tally.duplicates == 0)
    report.demand("nothing else is delivered", held=tally.received == tally.accepted)


def _judge_the_others(report: Report, name: str, posted: Sequence[Posted], arrivals: Sequence[Arrival], *, full: bool) -> None:
    delays_s, tally = counting.delays_s(posted, arrivals), counting.tally(posted, arrivals)
    late_s = counting.percentile(delays_s, 0.99)
    report.note(**{name: tally.accepted, f"p99_{name}_ms": 1000 * late_s})
    report.demand(f"nothing {name} is missing: {tally}", held=tally.missing == tally.refused == tally.unanswered == 0)
    report.demand(f"nothing {name} is late", held=late_s <= (_LATE_S if full else _LATE_BRIEFLY_S))


def _sized(name: str, channel: str, sizes: Iterable[int], beside: Sequence[bool]) -> list[Sized]:
    """With the id inside or beside, with a time and without; ids are as long as they may be."""
    found = []
    for number, (size, is_beside, more) in enumerate(itertools.product(sizes, beside, _TIMES)):
        event_id = f"{name}_{size}_{number}_".ljust(64, "x")
        event = message(number, channel=channel, **({} if is_beside else {"id": event_id}), **more)
        bare = json.dumps(event | {"data": event["data"] | {"filler": ""}}).encode()
        body = bare.replace(b'"filler": ""', b'"filler": "%s"' % (b"y" * (size - len(bare))))
        found.append(Sized(event_id, body, event_id if is_beside else None))
    return found


def _publish_twice(nodes: Nodes, sized: Sequence[Sized]) -> list[str]:
    """As a backend does it, confirmed. Returns the ids of the dead letters, which are taken away."""
    buried: list[str] = []
    with _channel(nodes) as channel:
        for start in range(0, len(sized), _AT_ONCE):
            for one in 2 * sized[start : start + _AT_ONCE]:
                properties = pika.BasicProperties(delivery_mode=2, message_id=one.message_id)
                channel.basic_publish("ringback.events", MESSAGE, one.body, properties, mandatory=True)
            buried += _dead_letters(channel)
        expected, end_s = 2 * sum(not one.fits for one in sized), time.monotonic() + _LIMIT_S
        while len(buried) < expected and time.monotonic() < end_s:
            channel.connection.sleep(0.1)
            buried += _dead_letters(channel)
    return buried


@contextmanager
def _channel(nodes: Nodes) -> Iterator[BlockingChannel]:
    with pika.BlockingConnection(pika.URLParameters(nodes.rabbit.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel


def _dead_letters(channel: BlockingChannel) -> list[str]:
    found = []
    while True:
        _, properties, body = channel.basic_get("ringback.dead", auto_ack=True)
        if body is None:
            return found
        found.append(properties.message_id or json.loads(body)["id"])


def _post_twice(world: World, sized: Sequence[Sized]) -> int:
    """How often the answer was that it is too large."""
    statuses = [world.ringback.publisher.call("POST", "/v1/events", one.body).status for one in sized for _ in range(2)]
    return statuses.count(413)


def _wait_for(world: World, path: str, sized: Sequence[Sized]) -> None:
    wanted = {one.event_id for one in sized if one.fits}
    wait_for("all that fit to come", lambda: wanted <= {one.event_id for one in world.receiver.arrivals() if one.path == path}, _LIMIT_S)
