"""What the broker gave up, taken in again: as what it was, whatever stands beside it, and whatever the database says to its neighbours."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pika
import pytest
import sqlalchemy as sa

from exchange.outbox import OutboxSource
from exchange.outbox_dead import OutboxDeadLetters
from exchange.port import Message
from exchange.rabbit_admin import declare
from exchange.rabbit_publisher import RabbitPublisher
from exchange.rabbit_returned import RabbitReturned
from exchange.taking_in import row
from exchange.topology import EVENTS_EXCHANGE
from schemas.events import MAX_EVENT_BYTES, parse_event
from store import outbox, tables
from store.database import Database
from tests.conftest import lay_tables
from tests.kit.making import an_event, message_body
from tests.kit.pipes import RabbitPipe, outgoing
from tests.kit.rabbit import Rabbit
from tests.kit.waiting import wait_for


@pytest.fixture(params=["sqlite", "postgresql"])
def pipe(request: pytest.FixtureRequest, rabbit: Rabbit, tmp_path: Path) -> Iterator[RabbitPipe]:
    """The broker, all declared, and each database."""
    on_postgres = request.param == "postgresql"
    database = Database(request.getfixturevalue("postgres").fresh_database() if on_postgres else f"sqlite:///{tmp_path}/ringback.db")
    lay_tables(database)
    made = RabbitPipe(rabbit, database)
    declare(rabbit.url)
    yield made
    made.close()


@contextmanager
def policy(rabbit: Rabbit, pattern: str = ".*", **definition: object) -> Iterator[None]:
    """For those queues, those of tests that come later too if it stayed."""
    stated = json.dumps({name.replace("_", "-"): value for name, value in definition.items()})
    rabbit.ctl("set_policy", "of-a-test", pattern, stated, "--apply-to", "queues")
    try:
        yield
    finally:
        rabbit.ctl("clear_policy", "of-a-test")


def publish(rabbit: Rabbit, exchange: str, *bodies: bytes, **properties: Any) -> None:
    """As a backend does: confirmed."""
    with pika.BlockingConnection(pika.URLParameters(rabbit.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for body in bodies:
            channel.basic_publish(exchange, "", body, pika.BasicProperties(delivery_mode=2, **properties), mandatory=True)


@contextmanager
def taking_in(pipe: RabbitPipe, told: Callable[[str], None] = lambda _reason: None) -> Iterator[RabbitPublisher]:
    """As in a worker of the API: a publisher with what takes in again beside it."""
    made = RabbitPublisher(pipe.rabbit.url, pipe.notes, None, RabbitReturned(pipe.rabbit.url, pipe.database, pipe.notes, told))
    made.start()
    wait_for("the publisher is connected", made.connected)
    try:
        yield made
    finally:
        made.close()


def kept(pipe: RabbitPipe) -> list[sa.Row[Any]]:
    """The rows of the outbox, oldest first."""
    with pipe.database.read() as connection:
        return list(connection.execute(sa.select(tables.outbox).order_by(tables.outbox.c.id)))


def taken(database: Database) -> list[Message]:
    """As a dispatcher takes them."""
    with database.write() as connection:
        return OutboxSource(database).take(connection, 1000)


def directly(body: bytes, message_id: str | None = None) -> Message:
    """As it comes off the broker when a backend published it there."""
    return Message(body, None, message_id, 0, None)


def test_what_a_backend_published_itself_is_told_apart_from_what_the_api_took(pipe: RabbitPipe) -> None:
    """The one was measured, and completed, by the API; of the other nobody knows when it was accepted."""
    with policy(pipe.rabbit, message_ttl=300), taking_in(pipe) as publisher:
        publisher.publish(outgoing("evt_api"))
        publish(pipe.rabbit, EVENTS_EXCHANGE, an_event("evt_direct").message())
        wait_for("both to be in the outbox", lambda: len(kept(pipe)) == 2, 40)

    assert {parse_event(one.body).id: one.accepted_at for one in taken(pipe.database)} == {"evt_api": 1_000, "evt_direct": None}


def test_what_was_just_small_enough_still_is_and_what_was_just_too_large_too(database: Database) -> None:
    """An id that stood beside the body moves into it, which must not cost the event; nor may the way make room for what had none."""
    fits = with_size(MAX_EVENT_BYTES)
    too_large = with_size(MAX_EVENT_BYTES + 1)

    with database.write() as connection:
        outbox.add(connection, [row(directly(fits, "evt_fits")), row(directly(too_large, "evt_large"))])
    first, second = taken(database)

    assert parse_event(first.body, message_id=first.message_id, accepted=first.accepted_at is not None).id == "evt_fits"
    assert (second.body, second.accepted_at, second.message_id) == (too_large, None, "evt_large")


def with_size(size_bytes: int) -> bytes:
    """An event without an id, of so many bytes."""

    def body(text: str) -> bytes:
        return message_body("evt_x", text).replace(b'"id": "evt_x", ', b"", 1)

    return body("x" * (size_bytes - len(body(""))))


def test_a_dead_letter_keeps_who_published_it_and_its_id_until_it_is_an_event(database: Database) -> None:
    """After an upgrade it may be one, by the id that only stood beside it. That holds nothing that no column takes."""
    letters = OutboxDeadLetters(database)
    with database.write() as connection:
        outbox.add(connection, [row(directly(b'{"type":"of tomorrow"}', "evt_\0beside"), "unknown type")])
    (shown,) = letters.look(1)
    letters.replay(None, lambda: None)
    (again,) = taken(database)
    with database.write() as connection:
        outbox.bury(connection, again.receipt, "still none")  # type: ignore[arg-type]  # a receipt of the outbox is a row's id

    assert (shown.message_id, shown.accepted_at) == ("evt_\ufffdbeside", None)
    assert (again.message_id, again.accepted_at) == ("evt_\ufffdbeside", None)
    assert [(one.message_id, one.accepted_at, one.reason) for one in letters.look(2)] == [("evt_\ufffdbeside", None, "still none")]
