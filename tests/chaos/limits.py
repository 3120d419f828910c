"""The scenario of the size limit: messages of every size around it, each twice, by every way in,
alongside a steady load.
"""

import itertools
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import pika
from pika.adapters.blocking_connection import BlockingChannel

from schemas.events.events import MAX_EVENT_BYTES
from tests.chaos import counting
from tests.chaos.counting import Posted
from tests.chaos.load import Load
from tests.chaos.reports import Report
from tests.chaos.world import Nodes, World
from tests.kit.platform import MESSAGE, message
from tests.kit.waiting import wait_for

_RATE = 20.0
_AT_ONCE = 20
"""Messages that are published before each comes for the second time. More: copies come later, of
events that were delivered long ago.
"""

_LATE_S = 2.0
"""Promised when it is played in full, on a machine that has nothing else to do."""

_LIMIT_S = 120.0

_CLOSELY = range(262_100, 262_421)
"""Where something is added to a message: its id, a time, what a webhook adds. Every size of
these; of the others every twentieth.
"""

_BRIEFLY = (262_000, 262_144, 262_145, 262_268, 262_341, 262_400, 262_600)
_SIZED = "/ok/sized"
_SCHEDULE = ",".join(["1s"] * 12)
_TIMES: tuple[dict[str, str], ...] = ({}, {"timestamp": "2026-11-22T10:00:00Z"})


class Sized(NamedTuple):
    """A message. `message_id`: its id, where that is an AMQP property."""

    event_id: str
    body: bytes
    message_id: str | None = None

    @property
    def fits(self) -> bool:
        return len(self.body) <= MAX_EVENT_BYTES


def around_the_limit(nodes: Nodes, *, full: bool) -> Report:
    """Straight from a backend by AMQP, by HTTP and the broker, and by HTTP and the outbox while
    there is no broker.
    """
    report = Report()
    sizes = sorted({*_CLOSELY, *range(262_000, 262_601, 20)}) if full else _BRIEFLY
    with World(nodes, direct=True, RETRY_SCHEDULE=_SCHEDULE) as world:
        _by_the_broker(report, world, sizes, full=full)
    with World(nodes, RETRY_SCHEDULE=_SCHEDULE) as world:
        world.broker.refuse()
        _by_http(report, world, "outbox", sizes, full=full)
        world.broker.heal()
    return report


def _by_the_broker(report: Report, world: World, sizes: Sequence[int], *, full: bool) -> None:
    channel, steady = _subscribe(world)
    sized = _sized("amqp", channel, sizes, as_property=(False, True))
    with world.load(steady, _RATE) as load:
        dead = _publish_twice(world, sized)
    _judge(report, "amqp", world, sized, load, full=full)
    report.note(dead_letters=len(dead))
    expected = sorted(2 * [one.event_id for one in sized if not one.fits])
    report.demand(
        "by AMQP, what is too large is a dead letter, each time", held=sorted(dead) == expected
    )
    _by_http(report, world, "http", sizes, full=full)


def _by_http(report: Report, world: World, name: str, sizes: Sequence[int], *, full: bool) -> None:
    channel, steady = _subscribe(world, name)
    sized = _sized(name, channel, sizes, as_property=(False,))
    with world.load(steady, _RATE, f"others_{name}") as load:
        statuses = [
            world.ringback.publisher.call("POST", "/v1/events", one.body).status
            for one in sized
            for _ in range(2)
        ]
        _wait_for(world, sized)
    _judge(report, name, world, sized, load, full=full)
    expected = [202 if one.fits else 413 for one in sized for _ in range(2)]
    report.demand(
        f"by {name}, what is too large is answered 413, all else 202", held=statuses == expected
    )


def _subscribe(world: World, name: str = "amqp") -> tuple[str, dict[str, str]]:
    """The channel of the sized messages, and that of the others with its path."""
    (channel, _), steady = world.subscribe([f"{_SIZED}/{name}", f"/ok/steady/{name}"]).items()
    return channel, dict([steady])


def _judge(
    report: Report, name: str, world: World, sized: Sequence[Sized], load: Load, *, full: bool
) -> None:
    tally = world.settle(load)
    arrivals = world.receiver.arrivals()
    of_these = [one for one in arrivals if one.path == f"{_SIZED}/{name}"]
    found = counting.tally(
        [
            Posted(one.event_id, f"{_SIZED}/{name}", 0.0, 0.0, 202 if one.fits else 413)
            for one in sized
        ],
        of_these,
    )
    late_s = counting.percentile(counting.delays_s(load.posted, arrivals), 0.99)
    report.note(
        **{
            f"by_{name}": 2 * len(sized),
            f"fit_{name}": found.accepted,
            f"missing_{name}": found.missing,
            f"duplicates_{name}": tally.duplicates,
        }
    )
    report.note(
        **{
            f"others_{name}": tally.accepted,
            f"missing_others_{name}": tally.missing,
            f"p99_others_{name}_ms": 1000 * late_s,
        }
    )
    report.demand(
        f"by {name}, each that fits is delivered once, and nothing else",
        held=found.missing == tally.duplicates == 0,
    )
    report.demand(f"by {name}, nothing else is delivered", held=found.received == found.accepted)
    report.demand(
        f"while {name} is tried, nothing else is missing or late",
        held=not tally.missing and (late_s <= _LATE_S or not full),
    )
    report.demand(
        f"after {name}, every process is alive",
        held=world.ringback.running() == {"api", "dispatch-0"},
    )


def _sized(
    name: str, channel: str, sizes: Iterable[int], as_property: Sequence[bool]
) -> list[Sized]:
    """Messages with the id inside or as a property, with a time and without. Ids are as long as
    they may be.
    """
    found = []
    for number, (size, is_property, more) in enumerate(
        itertools.product(sizes, as_property, _TIMES)
    ):
        event_id = f"{name}_{size}_{number}_".ljust(64, "x")
        event = message(
            number, channel=channel, **({} if is_property else {"id": event_id}), **more
        )
        bare = json.dumps(event | {"data": event["data"] | {"filler": ""}}).encode()
        body = bare.replace(b'"filler": ""', b'"filler": "%s"' % (b"y" * (size - len(bare))))
        found.append(Sized(event_id, body, event_id if is_property else None))
    return found


def _publish_twice(world: World, sized: Sequence[Sized]) -> list[str]:
    """As a backend does it, confirmed; a few at a time, or all others would wait behind a backlog,
    which is no fault. Returns the ids of the dead letters, which are taken away.
    """
    dead: list[str] = []
    with _channel(world.nodes) as channel:
        for start in range(0, len(sized), _AT_ONCE):
            some = sized[start : start + _AT_ONCE]
            for one in 2 * some:
                properties = pika.BasicProperties(delivery_mode=2, message_id=one.message_id)
                channel.basic_publish(
                    "ringback.events", MESSAGE, one.body, properties, mandatory=True
                )
            expected, end_s = (
                len(dead) + 2 * sum(not one.fits for one in some),
                time.monotonic() + _LIMIT_S,
            )
            while len(dead) < expected and time.monotonic() < end_s:
                channel.connection.sleep(0.05)
                dead += _dead_letters(channel)
            _wait_for(world, some)
        channel.connection.sleep(0.5)
        return dead + _dead_letters(channel)  # more than there should be


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


def _wait_for(world: World, sized: Sequence[Sized]) -> None:
    wanted = {one.event_id for one in sized if one.fits}
    wait_for(
        "all that fit to come",
        lambda: wanted <= {one.event_id for one in world.receiver.arrivals()},
        _LIMIT_S,
    )
