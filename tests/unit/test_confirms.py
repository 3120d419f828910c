"""Publishing with confirms, without a broker: a message that was never sent must not be confirmed as
durable, and a confirm that comes late does no harm.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from exchange.rabbit import publisher as rabbit_publisher
from exchange.rabbit.confirms import Confirms, PendingPublish
from exchange.rabbit.publisher import RabbitPublisher
from schemas.errors import ExchangeUnavailable
from tests.kit.notes import Notes
from tests.kit.pipes import outgoing

NOWHERE = "amqp://guest:guest@127.0.0.1/"


class Wire:
    """A channel, and its connection, that take so many messages and fail at the next."""

    is_open = True

    def __init__(self, room: int):
        self.room = room
        self.sent: list[bytes] = []
        self.sent_together: list[int] = []
        self.connection = self

    @contextlib.contextmanager
    def one_write(self) -> Iterator[None]:
        before = len(self.sent)
        yield
        self.sent_together.append(len(self.sent) - before)

    def basic_publish(
        self, _exchange: str, _routing_key: str, body: bytes, *_: object, **__: object
    ) -> None:
        if len(self.sent) == self.room:
            raise OverflowError("it does not fit")
        self.sent.append(body)


class Confirmed:
    """The confirmation of each pending publish: `None` for durable, else the reason why not."""

    def __init__(self) -> None:
        self.by_name: dict[str, str | None] = {}

    def pending(self, name: str) -> PendingPublish:
        return PendingPublish(
            "", "", name.encode(), name, {}, lambda broken: self.by_name.update({name: broken})
        )


@pytest.fixture
def confirms() -> Confirms:
    """On a connection that takes one message."""
    made = Confirms(NOWHERE, "publisher", Notes())
    made.connection.channel, made.ready = Wire(1), True
    return made


@pytest.fixture
def publisher() -> RabbitPublisher:
    """On a connection that takes a hundred messages."""
    made = RabbitPublisher(NOWHERE, Notes())
    made._confirms.connection.channel, made._confirms.ready = Wire(100), True
    return made


def ack(confirms: Confirms, tag: int) -> None:
    confirms._answered(
        SimpleNamespace(method=SimpleNamespace(NAME="Basic.Ack", delivery_tag=tag, multiple=False))
    )


def test_a_message_that_cannot_be_sent_ends_the_connection_for_all_that_wait(
    confirms: Confirms,
) -> None:
    """Its tag is counted and the broker's is not: from there on every confirm would be taken for
    another message's.
    """
    confirmed = Confirmed()

    confirms.publish(
        [confirmed.pending("sent"), confirmed.pending("fails"), confirmed.pending("after")]
    )

    assert not confirms.ready
    assert confirmed.by_name == dict.fromkeys(
        ("sent", "fails", "after"), "a message could not be sent: it does not fit"
    )


def test_a_late_confirm_of_the_connection_given_up_counts_for_no_message(
    confirms: Confirms,
) -> None:
    """The broker may have stored it: its copy does no harm, and a wrong 202 would."""
    confirmed = Confirmed()

    confirms.publish([confirmed.pending("sent"), confirmed.pending("fails")])
    ack(confirms, 1)
    ack(confirms, 2)

    assert None not in confirmed.by_name.values()


async def test_what_is_published_in_one_turn_of_the_loop_is_sent_in_one_write(
    publisher: RabbitPublisher,
) -> None:
    """A system call for each message would cost more than the message."""
    requests = [
        asyncio.create_task(publisher.publish(outgoing(*ids)))
        for ids in (("evt_1",), ("evt_2", "evt_3"), ("evt_4",))
    ]
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    for tag in range(1, 5):
        ack(publisher._confirms, tag)
    await asyncio.gather(*requests)

    assert publisher._confirms.connection.channel.sent_together == [4]


async def test_a_confirm_that_comes_after_its_request_gave_up_makes_room_and_does_no_harm(
    publisher: RabbitPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the window would fill up with what no request waits for."""
    monkeypatch.setattr(rabbit_publisher, "_CONFIRM_TIMEOUT_S", 0.01)
    with pytest.raises(ExchangeUnavailable, match="did not confirm in time"):
        await publisher.publish(outgoing("evt_1", "evt_2"))
    cancelled = asyncio.create_task(publisher.publish(outgoing("evt_3")))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.wait([cancelled])

    confirms = publisher._confirms
    assert confirms.settled_bytes == 0
    for tag in (1, 2, 3):
        ack(confirms, tag)

    assert confirms.ready
    assert confirms.settled_bytes == publisher._enqueued_bytes > 0
