"""Policies for all queues of RabbitMQ: which are found out, and where events go under them. What
expires: `test_rabbit_returned`.
"""

from contextlib import suppress

import pytest
from pika.exceptions import NackError

from exchange.failover import FailoverPublisher
from exchange.outbox.publisher import OutboxPublisher
from exchange.rabbit.admin import declare, opened_channel
from exchange.rabbit.policies import DROPS_HEADS, EXPIRES, TTL, harms, room
from exchange.rabbit.policy_watch import BrokerWatch
from exchange.rabbit.publisher import RabbitPublisher
from exchange.topology import DISPATCH_QUEUE, EVENTS_EXCHANGE
from schemas.events.events import parse_event
from tests.kit.loop_thread import FromThreads
from tests.kit.pipes import RabbitPipe, connected, outgoing, take
from tests.kit.rabbit import Rabbit
from tests.kit.waiting import wait_for


async def test_a_full_queue_refuses_what_comes_and_keeps_what_it_has(
    rabbit_pipe: RabbitPipe,
) -> None:
    """By default it would confirm what comes, and throw away what came first."""
    taken: list[bytes] = []
    declare(rabbit_pipe.rabbit.url)
    with rabbit_pipe.rabbit.policy(max_length=3):
        with suppress(NackError):
            for number in range(100):
                rabbit_pipe.rabbit.publish(EVENTS_EXCHANGE, b"%d" % number)
                taken.append(b"%d" % number)
        source = rabbit_pipe.source()
        await connected(source)
        got = [message.body for message in await take(rabbit_pipe, source, len(taken))]
        await source.close()

    assert 3 <= len(taken) < 100
    assert got == taken


def test_behind_a_full_queue_events_go_to_the_outbox_and_readiness_says_why(
    rabbit_pipe: RabbitPipe,
) -> None:
    """202 is durable, whatever it took."""
    publisher = FromThreads(
        FailoverPublisher(
            RabbitPublisher(rabbit_pipe.rabbit.url, rabbit_pipe.notes),
            OutboxPublisher(rabbit_pipe.database, 10_000, rabbit_pipe.notes),
            rabbit_pipe.notes,
        )
    )
    publisher.start()
    wait_for("the broker", publisher.connected)
    assert publisher.trouble() is None
    with rabbit_pipe.rabbit.policy(max_length=3):
        for number in range(30):
            publisher.publish(outgoing(f"evt_{number}"))
        why = publisher.trouble()
    publisher.close()

    with opened_channel(rabbit_pipe.rabbit.url) as channel:
        at_the_broker = set()
        while raw := channel.basic_get(DISPATCH_QUEUE, no_ack=True):
            at_the_broker.add(parse_event(bytes(raw.body)).id)
    assert at_the_broker | {event_id for event_id, _ in rabbit_pipe.kept()} == {
        f"evt_{number}" for number in range(30)
    }
    assert why is not None
    assert "max-length" in why


def test_without_policies_nothing_is_found_and_nothing_is_left(rabbit: Rabbit) -> None:
    """A canary that stayed would be one more queue with every look."""
    declare(rabbit.url)
    # One of a look that another test broke off stays for a minute.
    before = set(rabbit.ctl("list_queues", "name").splitlines())

    assert list(harms(rabbit.url)) == []
    assert room(rabbit.url, 50) is None
    assert not [
        name
        for name in rabbit.ctl("list_queues", "name").splitlines()
        if "canary" in name and name not in before
    ]


def test_a_policy_that_drops_what_came_first_is_found(rabbit: Rabbit) -> None:
    """It wins over the queues' own argument: only refusing the broker helps."""
    with rabbit.policy(max_length=1000, overflow="drop-head"):
        assert next(harms(rabbit.url)) == DROPS_HEADS


@pytest.mark.parametrize(
    ("definition", "harm"), [({"message_ttl": 2000}, TTL), ({"expires": 600_000}, EXPIRES)]
)
def test_a_policy_that_has_events_or_queues_expire_is_found(
    rabbit: Rabbit, definition: dict[str, int], harm: str
) -> None:
    """Nothing tells a queue's policy over AMQP: what a queue does, does."""
    with rabbit.policy(**definition):
        assert list(harms(rabbit.url)) == [harm]


def test_a_limit_that_is_reached_is_found(rabbit: Rabbit) -> None:
    """A larger one does nothing yet."""
    with rabbit.policy(max_length=50):
        found = room(rabbit.url, 2000)
    assert found is not None
    assert found < 2100


def test_while_the_broker_loses_events_none_is_given_to_it(rabbit_pipe: RabbitPipe) -> None:
    """When the policy is gone, they use the broker again without a restart."""
    found = [DROPS_HEADS]
    watch = BrokerWatch(
        rabbit_pipe.rabbit.url, rabbit_pipe.notes, find_harms=lambda _url: list(found)
    )
    publisher = RabbitPublisher(rabbit_pipe.rabbit.url, rabbit_pipe.notes, watch)
    failover = FromThreads(
        FailoverPublisher(
            publisher,
            OutboxPublisher(rabbit_pipe.database, 10_000, rabbit_pipe.notes),
            rabbit_pipe.notes,
        )
    )
    failover.start()
    wait_for("the broker", publisher.connected)

    watch.check()
    failover.publish(outgoing("evt_1", "evt_2"))
    refused, why = rabbit_pipe.kept(), failover.trouble()
    found.clear()
    watch.check()
    failover.publish(outgoing("evt_3"))

    assert refused == [("evt_1", None), ("evt_2", None)]
    assert why == DROPS_HEADS
    assert rabbit_pipe.kept() == refused
    assert failover.trouble() is None
    failover.close()
