"""What a policy of RabbitMQ has a queue give up: it goes to the outbox, each once and nothing
before it is committed.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from exchange.rabbit.publisher import RabbitPublisher
from exchange.rabbit.returned import RabbitReturned
from exchange.rabbit.source import RabbitSource
from exchange.topology import DEAD_EXCHANGE, EVENTS_EXCHANGE, REASON_HEADER
from schemas.log_events import LogEvent
from store.events import outbox
from tests.kit.loop_thread import FromThreads
from tests.kit.making import an_event
from tests.kit.pipes import RabbitPipe, outgoing, take
from tests.kit.waiting import eventually, wait_for


@contextmanager
def taking_in(
    pipe: RabbitPipe, reported: Callable[[str], None] = lambda _reason: None
) -> Iterator[FromThreads[RabbitPublisher]]:
    """As in a worker of the API: a publisher, together with what stores returned messages, on one
    event loop.
    """
    made = FromThreads(
        RabbitPublisher(
            pipe.rabbit.url,
            pipe.notes,
            None,
            RabbitReturned(pipe.rabbit.url, pipe.database, pipe.notes, reported),
        )
    )
    made.start()
    wait_for("the publisher is connected", made.connected)
    try:
        yield made
    finally:
        made.close()


def test_what_expires_is_taken_in_again_by_the_outbox(rabbit_pipe: RabbitPipe) -> None:
    """With no dispatcher there. Each once, and the reason is reported."""
    reported: list[str] = []
    ids = {f"evt_{number}" for number in range(100)}
    with (
        rabbit_pipe.rabbit.policy(message_ttl=300),
        taking_in(rabbit_pipe, reported.append) as publisher,
    ):
        publisher.publish(outgoing(*ids))
        wait_for("all to be in the outbox", lambda: len(rabbit_pipe.kept()) >= len(ids), 40)

    assert sorted(rabbit_pipe.kept()) == sorted((event_id, None) for event_id in ids)
    assert set(reported) == {"expired"}
    with rabbit_pipe.database.read() as connection:
        assert outbox.oldest_accepted_at(connection) == 1_000


def test_an_id_in_a_property_is_kept(rabbit_pipe: RabbitPipe) -> None:
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
        rabbit_pipe.rabbit.publish(
            DEAD_EXCHANGE,
            an_event("evt_dead").message(),
            headers={REASON_HEADER: "the database refuses it"},
        )
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
        await eventually(
            "it to be in the outbox", lambda: rabbit_pipe.kept() == [("evt_often", None)], 40
        )


async def test_what_a_database_that_is_away_cannot_take_waits_at_the_broker(
    rabbit_pipe: RabbitPipe,
) -> None:
    """Nothing is acknowledged before it is committed."""
    with rabbit_pipe.database.write() as connection:
        connection.execute(sa.text("ALTER TABLE outbox RENAME TO away"))
    with rabbit_pipe.rabbit.policy(message_ttl=300), taking_in(rabbit_pipe) as publisher:
        await asyncio.to_thread(publisher.publish, outgoing("evt_1"))
        await eventually(
            "a write to fail", lambda: rabbit_pipe.notes.of(LogEvent.RETURNED_WRITE_FAILED), 40
        )
        with rabbit_pipe.database.write() as connection:
            connection.execute(sa.text("ALTER TABLE away RENAME TO outbox"))
        await eventually(
            "it to be in the outbox", lambda: rabbit_pipe.kept() == [("evt_1", None)], 40
        )
