"""RabbitMQ as it is run: policies for all queues, users with few rights, and queues of an earlier version."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
import sqlalchemy as sa
from pika.exceptions import NackError

from exchange.broker_watch import BrokerWatch
from exchange.failover import FailoverPublisher
from exchange.outbox import OutboxPublisher
from exchange.rabbit_admin import declare, opened_channel
from exchange.rabbit_dead import RabbitDeadLetters
from exchange.rabbit_policies import DROPS_HEADS, EXPIRES, TTL, harms, may_look, room
from exchange.rabbit_publisher import RabbitPublisher
from exchange.rabbit_returned import RabbitReturned
from exchange.rabbit_source import RabbitSource
from exchange.topology import DEAD_EXCHANGE, DISPATCH_QUEUE, EVENTS_EXCHANGE, REASON_HEADER
from schemas.errors import ExchangeUnavailable
from schemas.events import parse_event
from store import outbox
from tests.kit.making import an_event
from tests.kit.notes import Notes
from tests.kit.pipes import RabbitPipe, connected, outgoing, take
from tests.kit.rabbit import Rabbit
from tests.kit.waiting import eventually, wait_for


@contextmanager
def taking_in(rabbit_pipe: RabbitPipe, told: Callable[[str], None] = lambda _reason: None) -> Iterator[RabbitPublisher]:
    """As in a worker of the API: a publisher with what takes in again beside it."""
    made = RabbitPublisher(
        rabbit_pipe.rabbit.url,
        rabbit_pipe.notes,
        None,
        RabbitReturned(rabbit_pipe.rabbit.url, rabbit_pipe.database, rabbit_pipe.notes, told),
    )
    made.start()
    wait_for("the publisher is connected", made.connected)
    try:
        yield made
    finally:
        made.close()


def test_what_expires_is_taken_in_again_by_the_outbox(rabbit_pipe: RabbitPipe) -> None:
    """With no dispatcher there. Each once, and the reason is told."""
    told: list[str] = []
    ids = {f"evt_{number}" for number in range(100)}
    with rabbit_pipe.rabbit.policy(message_ttl=300), taking_in(rabbit_pipe, told.append) as publisher:
        publisher.publish(outgoing(*ids))
        wait_for("all to be in the outbox", lambda: len(rabbit_pipe.kept()) >= len(ids), 40)

    assert sorted(rabbit_pipe.kept()) == sorted((event_id, None) for event_id in ids)
    assert set(told) == {"expired"}
    with rabbit_pipe.database.read() as connection:
        assert outbox.oldest_accepted_at(connection) == 1_000


def test_an_id_beside_the_body_is_kept(rabbit_pipe: RabbitPipe) -> None:
    """A row has no place for it: without it the event would be none."""
    body = an_event("evt_x").message().replace(b'"id":"evt_x",', b"")
    assert b"evt_x" not in body
    with rabbit_pipe.rabbit.policy(message_ttl=300), taking_in(rabbit_pipe):
        rabbit_pipe.rabbit.publish(EVENTS_EXCHANGE, body, message_id="evt_beside")
        wait_for("it to be in the outbox", rabbit_pipe.kept, 40)

    assert rabbit_pipe.kept() == [("evt_beside", None)]


def test_a_dead_letter_that_expires_is_one_in_the_outbox(rabbit_pipe: RabbitPipe) -> None:
    """With its reason: it is not judged again."""
    with rabbit_pipe.rabbit.policy(message_ttl=300), taking_in(rabbit_pipe):
        rabbit_pipe.rabbit.publish(DEAD_EXCHANGE, an_event("evt_dead").message(), headers={REASON_HEADER: "the database refuses it"})
        wait_for("it to be in the outbox", rabbit_pipe.kept, 40)

    assert rabbit_pipe.kept() == [("evt_dead", "the database refuses it")]


async def test_what_came_back_too_often_is_taken_in_again(rabbit_pipe: RabbitPipe) -> None:
    """A small delivery limit by policy: a few restarts of dispatchers are enough."""
    with rabbit_pipe.rabbit.policy(delivery_limit=1), taking_in(rabbit_pipe) as publisher:
        await asyncio.to_thread(publisher.publish, outgoing("evt_often"))
        for _ in range(2):
            source = RabbitSource(rabbit_pipe.rabbit.url, rabbit_pipe.notes)
            source.start()
            await take(rabbit_pipe, source, 1)
            await source.close()
        await eventually("it to be in the outbox", lambda: rabbit_pipe.kept() == [("evt_often", None)], 40)


async def test_what_a_database_that_is_away_cannot_take_waits_at_the_broker(rabbit_pipe: RabbitPipe) -> None:
    """Nothing is acknowledged before it is committed."""
    with rabbit_pipe.database.write() as connection:
        connection.execute(sa.text("ALTER TABLE outbox RENAME TO away"))
    with rabbit_pipe.rabbit.policy(message_ttl=300), taking_in(rabbit_pipe) as publisher:
        await asyncio.to_thread(publisher.publish, outgoing("evt_1"))
        await eventually("a write to fail", lambda: rabbit_pipe.notes.of("returned messages not stored"), 40)
        with rabbit_pipe.database.write() as connection:
            connection.execute(sa.text("ALTER TABLE away RENAME TO outbox"))
        await eventually("it to be in the outbox", lambda: rabbit_pipe.kept() == [("evt_1", None)], 40)


async def test_a_full_queue_refuses_what_comes_and_keeps_what_it_has(rabbit_pipe: RabbitPipe) -> None:
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


def test_behind_a_full_queue_events_go_to_the_outbox_and_readiness_says_why(rabbit_pipe: RabbitPipe) -> None:
    """202 is durable, whatever it took."""
    publisher = FailoverPublisher(
        RabbitPublisher(rabbit_pipe.rabbit.url, rabbit_pipe.notes),
        OutboxPublisher(rabbit_pipe.database, 10_000, rabbit_pipe.notes),
        rabbit_pipe.notes,
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
    assert at_the_broker | {event_id for event_id, _ in rabbit_pipe.kept()} == {f"evt_{number}" for number in range(30)}
    assert why is not None
    assert "max-length" in why


def test_without_policies_nothing_is_found_and_nothing_is_left(rabbit: Rabbit) -> None:
    """A canary that stayed would be one more queue with every look."""
    declare(rabbit.url)

    assert list(harms(rabbit.url)) == []
    assert room(rabbit.url, 50) is None
    assert "canary" not in rabbit.ctl("list_queues", "name")


def test_a_policy_that_drops_what_came_first_is_found(rabbit: Rabbit) -> None:
    """It wins over the queues' own argument: only refusing the broker helps."""
    with rabbit.policy(max_length=1000, overflow="drop-head"):
        assert next(harms(rabbit.url)) == DROPS_HEADS


@pytest.mark.parametrize(("definition", "harm"), [({"message_ttl": 2000}, TTL), ({"expires": 600_000}, EXPIRES)])
def test_a_policy_that_has_events_or_queues_expire_is_found(rabbit: Rabbit, definition: dict[str, int], harm: str) -> None:
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
    """And when the policy is gone they go by it again, without a restart."""
    found = [DROPS_HEADS]
    watch = BrokerWatch(rabbit_pipe.rabbit.url, rabbit_pipe.notes, look=lambda _url: list(found))
    publisher = RabbitPublisher(rabbit_pipe.rabbit.url, rabbit_pipe.notes, watch)
    failover = FailoverPublisher(publisher, OutboxPublisher(rabbit_pipe.database, 10_000, rabbit_pipe.notes), rabbit_pipe.notes)
    failover.start()
    wait_for("the broker", publisher.connected)

    watch.look()
    failover.publish(outgoing("evt_1", "evt_2"))
    refused, why = rabbit_pipe.kept(), failover.trouble()
    found.clear()
    watch.look()
    failover.publish(outgoing("evt_3"))

    assert refused == [("evt_1", None), ("evt_2", None)]
    assert why == DROPS_HEADS
    assert rabbit_pipe.kept() == refused
    assert failover.trouble() is None
    failover.close()


def test_what_was_found_holds_while_the_broker_is_away() -> None:
    """And an event that expired speaks for ten minutes."""
    now, answers = [0.0], [[EXPIRES], ExchangeUnavailable("away"), []]

    def look(_url: str) -> list[str]:
        answer = answers.pop(0)
        if isinstance(answer, ExchangeUnavailable):
            raise answer
        return answer

    watch = BrokerWatch("", Notes(), look, lambda: now[0])
    harm = [watch.harm]
    for _ in range(3):
        watch.look()
        harm.append(watch.harm)
    watch.gave_up("delivery_limit")
    harm.append(watch.harm)
    watch.gave_up("expired")
    harm.append(watch.harm)
    now[0] = 601.0

    assert harm == [None, EXPIRES, EXPIRES, None, None, TTL]
    assert watch.harm is None


def test_a_queue_of_an_earlier_version_is_told_with_what_to_do(rabbit: Rabbit) -> None:
    """RabbitMQ changes no queue's arguments. Meanwhile it is good enough to be emptied, and what else is missing is made."""
    with opened_channel(rabbit.url) as channel:
        channel.queue_declare(DISPATCH_QUEUE, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})

    with pytest.raises(ExchangeUnavailable, match=r"ringback\.dispatch.*delete_queue.*ringback migrate"):
        declare(rabbit.url)
    assert "other arguments" in next(harms(rabbit.url))
    assert RabbitDeadLetters(rabbit.url).count() == 0


async def test_beside_a_queue_of_an_earlier_version_a_process_makes_what_is_missing(rabbit_pipe: RabbitPipe) -> None:
    """Else the dispatchers could not empty it."""
    with opened_channel(rabbit_pipe.rabbit.url) as channel:
        channel.exchange_declare(EVENTS_EXCHANGE, "topic", durable=True, auto_delete=False)
        channel.queue_declare(DISPATCH_QUEUE, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})
        channel.queue_bind(DISPATCH_QUEUE, EVENTS_EXCHANGE, "#")
    rabbit_pipe.rabbit.publish(EVENTS_EXCHANGE, b"old")

    source = rabbit_pipe.source()
    [message] = await take(rabbit_pipe, source, 1)
    await source.close()

    assert message.body == b"old"
    assert rabbit_pipe.notes.of("broker lost") == []


@pytest.fixture
def poor_user(rabbit: Rabbit) -> Iterator[str]:
    """May read and write Ringback's queues and exchanges, and configure nothing. All stands."""
    declare(rabbit.url)
    rabbit.ctl("add_user", "poor", "poor")
    rabbit.ctl("set_permissions", "poor", "^$", r"^ringback\..*", r"^ringback\..*")
    yield rabbit.url.replace("guest:guest", "poor:poor")
    rabbit.ctl("delete_user", "poor")


async def test_a_user_who_may_configure_nothing_publishes_takes_and_buries(rabbit: Rabbit, poor_user: str) -> None:
    """What stands need not be declared: it is looked at, which takes no rights."""
    notes = Notes()
    publisher, source = RabbitPublisher(poor_user, notes), RabbitSource(poor_user, notes)
    publisher.start()
    source.start()
    await connected(source)
    await eventually("the publisher is connected", publisher.connected, 20)

    await asyncio.to_thread(publisher.publish, outgoing("evt_1"))
    await eventually("it to arrive", lambda: source._arrived, 20)
    await source.bury(source._arrived.popleft(), "why not")
    await eventually("the letter", lambda: RabbitDeadLetters(poor_user).count() == 1, 20)
    await source.close()
    publisher.close()

    declare(poor_user)
    assert not may_look(poor_user)
    assert list(harms(poor_user)) == []
    assert notes.of("broker lost") == []


def test_a_right_that_is_missing_is_named(rabbit: Rabbit, poor_user: str) -> None:
    """Something is to be declared, and this user may not."""
    rabbit.clear()

    with pytest.raises(ExchangeUnavailable, match=r"lacks a right .*ringback\.events"):
        declare(poor_user)
