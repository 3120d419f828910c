"""Messages of all sizes, as RabbitMQ cuts them into frames and the socket into reads."""

from collections.abc import Iterable

import pika
import pytest

from exchange.rabbit.connection import OneWrite, WholeMessages
from exchange.rabbit.reading import Message
from exchange.topology import ACCEPTED_AT_HEADER, EVENTS_EXCHANGE
from tests.kit.pipes import RabbitPipe, connected, take

SIZES = (0, 1, 600, 600, 4_000, 600, 600, 30_000, 70_000, 131_064, 131_065, 131_072, 200_000)
"""In bytes. A frame has 131,072 at most, eight of them for itself."""
COUNT = 300


def body(number: int) -> bytes:
    return (b"%d " % number * SIZES[number % len(SIZES)])[: SIZES[number % len(SIZES)]]


def properties(number: int) -> pika.BasicProperties:
    headers = {ACCEPTED_AT_HEADER: 1_790_000_000_000 + number} if number % 2 else None
    return pika.BasicProperties(
        delivery_mode=2, content_type="a/b", message_id=f"evt_{number}", headers=headers
    )


def publish(rabbit_pipe: RabbitPipe, numbers: Iterable[int]) -> None:
    with pika.BlockingConnection(pika.URLParameters(rabbit_pipe.rabbit.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for number in numbers:
            channel.basic_publish(EVENTS_EXCHANGE, "a.b", body(number), properties(number))


async def test_messages_of_all_sizes_arrive_as_they_were_sent(
    rabbit_pipe: RabbitPipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most are read at once. Those of several frames, and those that a read has cut, go through
    pika in between.
    """
    read_at_once: list[int] = []
    read_bytes: list[int] = []
    deliver, on_data = WholeMessages.deliver, OneWrite._on_data_available

    def delivered(self: WholeMessages, message: Message) -> bool:
        read_at_once.append(message.delivery_tag)
        return deliver(self, message)

    def received(self: OneWrite, data_in: bytes) -> None:
        read_bytes.append(len(data_in))
        on_data(self, data_in)

    monkeypatch.setattr(WholeMessages, "deliver", delivered)
    monkeypatch.setattr(OneWrite, "_on_data_available", received)
    source = rabbit_pipe.source()
    await connected(source)
    publish(rabbit_pipe, range(COUNT))
    taken = []
    while len(taken) < COUNT:
        [one] = await take(rabbit_pipe, source, 1)
        source.acknowledge([one.receipt])
        taken.append(one)
    await source.close()

    assert [one.message_id for one in taken] == [f"evt_{number}" for number in range(COUNT)]
    assert all(one.body == body(number) for number, one in enumerate(taken))
    assert [one.accepted_at for one in taken] == [
        (properties(number).headers or {}).get(ACCEPTED_AT_HEADER) for number in range(COUNT)
    ]
    assert len(read_at_once) > COUNT / 4
    assert max(read_bytes) > 4096

    publish(rabbit_pipe, [COUNT])
    second = rabbit_pipe.source()
    [last] = await take(rabbit_pipe, second, 1)  # all before it were acknowledged
    assert (last.message_id, last.deliveries) == (f"evt_{COUNT}", 0)
    await second.close()
