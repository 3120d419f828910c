"""The ear that measures how long messages are held: read wrongly, it would hear nothing and be
content.
"""

import pika
import pytest

from tests.chaos.holding import HoldTimes
from tests.chaos.proxy import FaultProxy
from tests.kit.rabbit import Rabbit
from tests.kit.waiting import wait_for

QUEUE = "test.held"
HELD_S = 0.3


def test_it_hears_how_long_a_message_was_held(rabbit: Rabbit) -> None:
    """On a real connection, among everything else that AMQP says there; a body in several frames is
    no obstacle.
    """
    ear = HoldTimes()
    with FaultProxy(rabbit.port, ear) as proxy:
        parameters = pika.URLParameters(f"amqp://guest:guest@127.0.0.1:{proxy.port}/")
        with pika.BlockingConnection(parameters) as connection:
            channel = connection.channel()
            channel.queue_declare(QUEUE)
            for body in (b"", b"x" * 300_000):
                channel.basic_publish("", QUEUE, body)
            held = [method for method, _, _ in (next(channel.consume(QUEUE)) for _ in range(2))]

            channel.basic_ack(held[1].delivery_tag)
            wait_for("the first acknowledgement to be heard", lambda: ear.longest_s > 0)
            assert ear.longest_s < HELD_S
            connection.sleep(HELD_S)
            channel.basic_ack(held[0].delivery_tag)
            wait_for("the second one", lambda: ear.longest_s >= HELD_S)

            ear.reset()
            assert ear.longest_s == pytest.approx(0)
            channel.queue_delete(QUEUE)
