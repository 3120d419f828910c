"""What only the broker's side has: generations of channels, pausing, draining, messages of backends
themselves, several addresses.
"""

import asyncio
import datetime as dt
from collections.abc import Callable
from typing import cast

import pika
import pytest

from exchange.rabbit import admin as rabbit_admin
from exchange.rabbit.prefetch import FIRST, MOST_BYTES
from exchange.rabbit.publisher import RabbitPublisher
from exchange.rabbit.source import RabbitSource
from exchange.topology import ACCEPTED_AT_HEADER, DEAD_QUEUE, DISPATCH_QUEUE, EVENTS_EXCHANGE
from schemas.errors import ExchangeUnavailable, UsageError
from schemas.events.events import MAX_EVENT_BYTES
from store.engine.database import Connection
from tests.kit.loop_thread import FromThreads
from tests.kit.notes import Notes
from tests.kit.pipes import UNREADABLE, RabbitPipe, connected, outgoing, take
from tests.kit.rabbit import Rabbit
from tests.kit.waiting import eventually, free_port, wait_for

NO_TRANSACTION = cast("Connection", None)


async def publish(rabbit_pipe: RabbitPipe, *event_ids: str) -> None:
    publisher = rabbit_pipe.publisher()
    await asyncio.to_thread(publisher.publish, outgoing(*event_ids))
    publisher.close()


def on_the_broker(rabbit: Rabbit, do: Callable) -> object:
    """What `do(channel)` answers, on a channel of a backend's own."""
    with pika.BlockingConnection(pika.URLParameters(rabbit.url)) as connection:
        return do(connection.channel())


def unread(rabbit: Rabbit) -> int:
    """Messages that wait in the queue, without those that a consumer holds."""
    return on_the_broker(
        rabbit,
        lambda channel: channel.queue_declare(DISPATCH_QUEUE, passive=True).method.message_count,
    )


async def test_a_message_that_a_backend_published_itself_is_distinguished(
    rabbit_pipe: RabbitPipe,
) -> None:
    """It has no time of acceptance, and its id may be a property (docs/backends.md)."""
    source = rabbit_pipe.source()
    await connected(source)

    properties = pika.BasicProperties(delivery_mode=2, message_id="evt_own")
    on_the_broker(
        rabbit_pipe.rabbit,
        lambda channel: channel.basic_publish(EVENTS_EXCHANGE, "any.thing", b"{}", properties),
    )
    [taken] = await take(rabbit_pipe, source, 1)

    assert (taken.body, taken.accepted_at, taken.message_id) == (b"{}", None, "evt_own")
    await source.close()


@pytest.mark.parametrize("message_id", ["café", b"\xff\xfe"])
@pytest.mark.parametrize(
    "accepted_at",
    [None, "yesterday", 2**62, -(2**62), {"a": [1]}, dt.datetime(2026, 1, 1, tzinfo=dt.UTC)],
)
async def test_properties_are_taken_for_what_they_are_or_for_nothing(
    rabbit_pipe: RabbitPipe, message_id: str | bytes, accepted_at: object
) -> None:
    """AMQP knows many types, and names need not be UTF-8: one such message must not end every
    dispatcher.
    """
    source = rabbit_pipe.source()
    await connected(source)

    headers = {ACCEPTED_AT_HEADER: accepted_at, "x-delivery-count": "many"}
    properties = pika.BasicProperties(message_id=message_id, headers=headers)
    on_the_broker(
        rabbit_pipe.rabbit,
        lambda channel: channel.basic_publish(EVENTS_EXCHANGE, "any.thing", b"{}", properties),
    )
    [taken] = await take(rabbit_pipe, source, 1)

    expected = message_id if isinstance(message_id, str) else None
    assert (taken.message_id, taken.accepted_at, taken.deliveries) == (expected, None, 0)
    await source.close()


async def test_headers_that_cannot_be_read_stop_neither_their_message_nor_the_next(
    rabbit_pipe: RabbitPipe,
) -> None:
    """It would come first again on each new connection, for ever."""
    source = rabbit_pipe.source()
    await connected(source)

    properties = pika.BasicProperties(
        message_id="evt_own", content_type="application/json", headers={"sent": UNREADABLE}
    )
    on_the_broker(
        rabbit_pipe.rabbit,
        lambda channel: channel.basic_publish(EVENTS_EXCHANGE, "any.thing", b"{}", properties),
    )
    await publish(rabbit_pipe, "evt_next")

    assert [one.message_id for one in await take(rabbit_pipe, source, 2)] == ["evt_own", "evt_next"]
    await source.close()


async def test_what_comes_again_is_counted(rabbit_pipe: RabbitPipe) -> None:
    """Poison is recognised by this count."""
    await publish(rabbit_pipe, "evt_1")
    source = rabbit_pipe.source()
    await take(rabbit_pipe, source, 1)
    await source.close()

    second = rabbit_pipe.source()
    [again] = await take(rabbit_pipe, second, 1)

    assert again.deliveries == 1
    await second.close()


async def publish_many(
    rabbit_pipe: RabbitPipe, prefix: str, count: int, size_bytes: int
) -> list[str]:
    """Events of about that size; their ids, in order."""
    ids = [f"{prefix}_{number:04}" for number in range(count)]
    publisher = rabbit_pipe.publisher()
    for first in range(0, count, 100):
        await asyncio.to_thread(
            publisher.publish, outgoing(*ids[first : first + 100], text="x" * size_bytes)
        )
    publisher.close()
    return ids


async def take_all(rabbit_pipe: RabbitPipe, source: RabbitSource, count: int) -> list[str]:
    """The ids of so many, each acknowledged once it is taken."""
    ids: list[str] = []
    while len(ids) < count:
        (one,) = await take(rabbit_pipe, source, 1)
        source.acknowledge([one.receipt])
        ids.append(one.message_id or "")
    return ids


def held_bytes(source: RabbitSource) -> int:
    return sum(len(message.body) for message in source._arrived)


async def test_small_messages_arrive_far_ahead_of_need_and_in_their_order(
    rabbit_pipe: RabbitPipe,
) -> None:
    """The pipeline would run dry between acknowledgements otherwise; nothing is sent back when the
    window grows.
    """
    ids = await publish_many(rabbit_pipe, "small", 700, 10)
    source = rabbit_pipe.source()

    messages = await take(rabbit_pipe, source, 700)

    assert [one.message_id for one in messages] == ids
    assert {one.deliveries for one in messages} == {0}
    await source.close()


async def test_of_large_messages_no_more_arrives_than_fits_and_all_come_in_the_end(
    rabbit_pipe: RabbitPipe,
) -> None:
    """Two thousand of the largest are half a gigabyte
    (docs/invariants.md#everything-is-bounded).
    """
    ids = await publish_many(rabbit_pipe, "large", 300, 200_000)
    source = rabbit_pipe.source()
    await eventually("as many as were asked for", lambda: len(source._arrived) == FIRST)
    assert unread(rabbit_pipe.rabbit) == 300 - FIRST

    assert await take_all(rabbit_pipe, source, 300) == ids
    await source.close()


async def test_large_messages_behind_small_ones_are_stopped_before_they_fill_the_memory(
    rabbit_pipe: RabbitPipe,
) -> None:
    """The prefetch was chosen for the small ones. What was on its way goes back,
    and comes again.
    """
    small = await publish_many(rabbit_pipe, "small", 300, 10)
    source = rabbit_pipe.source()
    await eventually("the small ones", lambda: len(source._arrived) == 300)
    large = await publish_many(rabbit_pipe, "large", 400, 200_000)
    await eventually("the limit", lambda: source._consumer is None)
    assert MOST_BYTES < held_bytes(source) < MOST_BYTES + MAX_EVENT_BYTES

    assert sorted(await take_all(rabbit_pipe, source, 700)) == sorted(small + large)
    assert unread(rabbit_pipe.rabbit) == 0
    await source.close()


async def test_a_receipt_of_an_earlier_channel_acknowledges_nothing(
    rabbit_pipe: RabbitPipe,
) -> None:
    """On the new channel the same tag is another message: it would be lost
    (docs/invariants.md#acks-belong-to-their-channel).
    """
    await publish(rabbit_pipe, "evt_1", "evt_2")
    source = rabbit_pipe.source()
    before = await take(rabbit_pipe, source, 2)

    source.pause()
    source.resume()
    again = await take(rabbit_pipe, source, 2)
    source.acknowledge([message.receipt for message in before])
    source.put_back(before)

    assert source.fetch(NO_TRANSACTION, 10) == []
    await source.close()

    second = rabbit_pipe.source()
    assert len(await take(rabbit_pipe, second, 2)) == len(again)
    await second.close()


async def test_a_paused_source_holds_nothing_and_takes_up_again(rabbit_pipe: RabbitPipe) -> None:
    """While the store is unavailable for long, another dispatcher may reach it
    (docs/invariants.md#an-unavailable-store-stops-sending).
    """
    await publish(rabbit_pipe, "evt_1", "evt_2")
    source = rabbit_pipe.source()
    await take(rabbit_pipe, source, 1)

    source.pause()
    source.pause()
    await eventually("both are back in the queue", lambda: unread(rabbit_pipe.rabbit) == 2)
    await asyncio.wait_for(
        source.wait(), 20
    )  # it does not wait for messages: the store is to be looked at
    source.resume()

    assert len(await take(rabbit_pipe, source, 2)) == 2
    assert source.connected()
    await source.close()


class ClosingChannel:
    """pika's, once the broker has ended it: it is there until its loop says so."""

    is_open = False

    def basic_consume(self, *_: object) -> None:
        raise pika.exceptions.ChannelWrongStateError("closed")


async def test_taking_up_again_leaves_a_closed_channel_alone() -> None:
    """The store and the broker may come back at the same moment; the next channel consumes by
    itself.
    """
    source = RabbitSource("amqp://guest:guest@127.0.0.1/", Notes())
    source.pause()
    source._connection.channel = ClosingChannel()

    source.resume()

    assert source._wanted


async def test_dead_lettering_is_tried_until_it_is_confirmed(rabbit_pipe: RabbitPipe) -> None:
    """The original is acknowledged only then: a message that is no event must not vanish either
    (docs/invariants.md#poison-is-contained).
    """
    await publish(rabbit_pipe, "evt_bad")
    source = rabbit_pipe.source()
    [bad] = await take(rabbit_pipe, source, 1)
    on_the_broker(rabbit_pipe.rabbit, lambda channel: channel.queue_delete(DEAD_QUEUE))

    await asyncio.wait_for(source.dead_letter(bad, "no event"), 20)
    await source.close()

    assert rabbit_pipe.dead_letters() == [(bad.body, "no event")]
    assert unread(rabbit_pipe.rabbit) == 0


async def test_the_next_address_is_tried_when_one_does_not_answer(rabbit_pipe: RabbitPipe) -> None:
    """A cluster is several addresses, and any of them may be down."""
    url = f"amqp://guest:guest@127.0.0.1:{free_port()}/;{rabbit_pipe.rabbit.url}"
    publisher, source = RabbitPublisher(url, Notes()), RabbitSource(url, Notes())
    publisher.start()
    source.start()

    await eventually("the publisher is connected", publisher.connected)
    await publisher.publish(outgoing("evt_1"))

    assert len(await take(rabbit_pipe, source, 1)) == 1
    await source.close()
    await publisher.close()


def test_the_topology_is_declared_alike_by_every_process(rabbit: Rabbit) -> None:
    """RabbitMQ closes a channel that declares a queue again with other arguments."""
    url = f"amqp://guest:guest@127.0.0.1:{free_port()}/;{rabbit.url}"
    rabbit_admin.declare(url)
    rabbit_admin.declare(url)

    publisher = FromThreads(RabbitPublisher(rabbit.url, Notes()))
    publisher.start()
    wait_for("the publisher is connected", publisher.connected)
    publisher.publish(outgoing("evt_1", "evt_2"))
    publisher.close()

    wait_for("both are counted", lambda: rabbit_admin.depths(url) == rabbit_admin.Depths(2, 0))


def test_looking_at_an_absent_broker_says_so() -> None:
    """`migrate` and `doctor` put it into one line."""
    with pytest.raises(ExchangeUnavailable, match="cannot reach the broker"):
        rabbit_admin.declare(f"amqp://guest:guest@127.0.0.1:{free_port()}/")


@pytest.mark.parametrize("url", ["", ";", "amqp://host:port/", "http://host/"])
def test_an_address_that_cannot_be_one_stops_the_start_without_its_password(url: str) -> None:
    """One line that names the setting."""
    with pytest.raises(UsageError, match="RINGBACK_BROKER_URL"):
        RabbitPublisher(url, Notes())
