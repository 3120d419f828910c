"""Publishing with confirms, where pika itself fails: a message that was never sent must not be
confirmed as durable.
"""

import contextlib
from types import SimpleNamespace

import pytest

from exchange.rabbit.confirms import Confirms, PendingPublish
from tests.kit.notes import Notes


class Wire:
    """A channel, and its connection, that take so many messages and fail at the next."""

    is_open = True

    def __init__(self, room: int):
        self.room = room
        self.sent: list[bytes] = []
        self.connection = self

    def one_write(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

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
    made = Confirms("amqp://guest:guest@127.0.0.1/", "publisher", Notes())
    made.connection.channel, made.ready = Wire(1), True
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
