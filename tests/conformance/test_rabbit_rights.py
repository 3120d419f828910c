"""RabbitMQ with less than Ringback asks for: users with few rights, and queues of an earlier
version.
"""

from collections.abc import Iterator

import pytest

from exchange.rabbit.admin import declare, opened_channel
from exchange.rabbit.dead_letters import RabbitDeadLetters
from exchange.rabbit.policies import harms, may_check
from exchange.rabbit.publisher import RabbitPublisher
from exchange.rabbit.source import RabbitSource
from exchange.topology import DISPATCH_QUEUE, EVENTS_EXCHANGE
from schemas.errors import ExchangeUnavailable
from schemas.log_events import LogEvent
from tests.kit.notes import Notes
from tests.kit.pipes import RabbitPipe, connected, outgoing, take
from tests.kit.rabbit import Rabbit
from tests.kit.waiting import eventually


def test_a_queue_of_an_earlier_version_is_reported_with_what_to_do(rabbit: Rabbit) -> None:
    """RabbitMQ changes no queue's arguments. Meanwhile it is good enough to be emptied, and what
    else is missing is made.
    """
    with opened_channel(rabbit.url) as channel:
        channel.queue_declare(
            DISPATCH_QUEUE, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"}
        )

    with pytest.raises(
        ExchangeUnavailable, match=r"ringback\.dispatch.*delete_queue.*ringback migrate"
    ):
        declare(rabbit.url)
    assert "other arguments" in next(harms(rabbit.url))
    assert RabbitDeadLetters(rabbit.url).count() == 0


async def test_with_a_queue_of_an_earlier_version_a_process_declares_what_is_missing(
    rabbit_pipe: RabbitPipe,
) -> None:
    """Otherwise the dispatchers could not empty it."""
    with opened_channel(rabbit_pipe.rabbit.url) as channel:
        channel.exchange_declare(EVENTS_EXCHANGE, "topic", durable=True, auto_delete=False)
        channel.queue_declare(
            DISPATCH_QUEUE, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"}
        )
        channel.queue_bind(DISPATCH_QUEUE, EVENTS_EXCHANGE, "#")
    rabbit_pipe.rabbit.publish(EVENTS_EXCHANGE, b"old")

    source = rabbit_pipe.source()
    [message] = await take(rabbit_pipe, source, 1)
    await source.close()

    assert message.body == b"old"
    assert rabbit_pipe.notes.of(LogEvent.BROKER_DISCONNECTED) == []


@pytest.fixture
def poor_user(rabbit: Rabbit) -> Iterator[str]:
    """May read and write Ringback's queues and exchanges, and configure nothing. All stands."""
    declare(rabbit.url)
    rabbit.ctl("add_user", "poor", "poor")
    rabbit.ctl("set_permissions", "poor", "^$", r"^ringback\..*", r"^ringback\..*")
    yield rabbit.url.replace("guest:guest", "poor:poor")
    rabbit.ctl("delete_user", "poor")


async def test_a_user_who_may_configure_nothing_publishes_takes_and_buries(
    rabbit: Rabbit, poor_user: str
) -> None:
    """What stands need not be declared: it is looked at, which takes no rights."""
    notes = Notes()
    publisher, source = RabbitPublisher(poor_user, notes), RabbitSource(poor_user, notes)
    publisher.start()
    source.start()
    await connected(source)
    await eventually("the publisher is connected", publisher.connected, 20)

    await publisher.publish(outgoing("evt_1"))
    await eventually("it to arrive", lambda: source._arrived, 20)
    await source.dead_letter(source._arrived.popleft(), "why not")
    await eventually("the letter", lambda: RabbitDeadLetters(poor_user).count() == 1, 20)
    await source.close()
    await publisher.close()

    declare(poor_user)
    assert not may_check(poor_user)
    assert list(harms(poor_user)) == []
    assert notes.of(LogEvent.BROKER_DISCONNECTED) == []


def test_a_right_that_is_missing_is_named(rabbit: Rabbit, poor_user: str) -> None:
    """Something is to be declared, and this user may not."""
    rabbit.clear()

    with pytest.raises(ExchangeUnavailable, match=r"lacks a right .*ringback\.events"):
        declare(poor_user)
