"""Dead letters that the broker does not take: kept in the outbox, where they block nothing."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace

import pika
import pytest
import sqlalchemy as sa
from pika.exceptions import NackError

from exchange.outbox.dead_letters import OutboxDeadLetters
from exchange.port import QueuedMessage
from exchange.rabbit import prefetch
from exchange.rabbit.admin import declare
from exchange.rabbit.confirms import REFUSED, Confirms, PendingPublish
from exchange.rabbit.dead_lettering import DeadLettering
from exchange.rabbit.into_outbox import BATCH_BYTES, row
from exchange.rabbit.source import RabbitSource
from exchange.topology import DEAD_EXCHANGE, DISPATCH_QUEUE, EVENTS_EXCHANGE
from ringback.parts import _broker_gauges
from schemas.log_events import LogEvent
from store.engine import bulk
from store.engine.database import Connection, Database
from store.events import outbox
from tests.kit.notes import Notes
from tests.kit.pipes import RabbitPipe, connected, take
from tests.kit.rabbit import Rabbit
from tests.kit.tables import lay_tables
from tests.kit.waiting import eventually

NOWHERE = "amqp://guest:guest@127.0.0.1:1/"


@pytest.fixture
def pipe(rabbit: Rabbit, tmp_path: Path) -> Iterator[RabbitPipe]:
    database = Database(f"sqlite:///{tmp_path}/ringback.db")
    lay_tables(database)
    made = RabbitPipe(rabbit, database)
    declare(rabbit.url)
    yield made
    made.close()


def publish(rabbit: Rabbit, exchange: str, *bodies: bytes) -> None:
    """Confirmed, each. Raises NackError."""
    with pika.BlockingConnection(pika.URLParameters(rabbit.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for number, body in enumerate(bodies):
            channel.basic_publish(
                exchange,
                "",
                body,
                pika.BasicProperties(delivery_mode=2, message_id=f"bad_{number}"),
            )


@contextmanager
def full_of_dead_letters(rabbit: Rabbit) -> Iterator[None]:
    """The queue of the dead letters takes no more, as under a policy for all queues."""
    rabbit.ctl(
        "set_policy",
        "full",
        "^ringback\\.dead$",
        json.dumps({"max-length": 1}),
        "--apply-to",
        "queues",
    )
    try:
        with suppress(NackError):
            publish(rabbit, DEAD_EXCHANGE, *[b"there before"] * 1000)
            raise AssertionError("it takes everything")
        yield
    finally:
        rabbit.ctl("clear_policy", "full")


def kept(database: Database) -> list[tuple[bytes, str | None, str]]:
    return [
        (letter.body, letter.message_id, letter.reason)
        for letter in OutboxDeadLetters(database).peek(5000)
    ]


def waiting(rabbit: Rabbit) -> int:
    """Events in the queue that no consumer holds."""
    with pika.BlockingConnection(pika.URLParameters(rabbit.url)) as connection:
        return int(
            connection.channel().queue_declare(DISPATCH_QUEUE, passive=True).method.message_count
        )


async def test_dead_letters_that_are_refused_are_kept_and_events_behind_them_come(
    pipe: RabbitPipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backend whose events are all invalid: all the messages that may be in flight would be
    these, for ever.
    """
    monkeypatch.setattr(prefetch, "MOST_MESSAGES", 20)
    bad = [b"bad %d" % number for number in range(50)]
    with full_of_dead_letters(pipe.rabbit):
        publish(pipe.rabbit, EVENTS_EXCHANGE, *bad, b"good")
        source = RabbitSource(pipe.rabbit.url, pipe.notes, pipe.database)
        source.start()
        tasks, good = [], b""
        async with asyncio.timeout(20):
            while not good:
                (message,) = await take(pipe, source, 1)
                if message.body == b"good":
                    good = message.body
                else:
                    tasks.append(asyncio.create_task(source.dead_letter(message, "no event")))
            await asyncio.gather(*tasks)
        await source.close()

    assert sorted(kept(pipe.database)) == sorted(
        (body, f"bad_{number}", "no event") for number, body in enumerate(bad)
    )
    await eventually(
        "only the one that was not acknowledged to be there", lambda: waiting(pipe.rabbit) == 1, 20
    )
    assert pipe.notes.of(LogEvent.BROKER_DISCONNECTED) == []


async def test_a_dead_letter_that_neither_takes_is_kept_by_its_queue(pipe: RabbitPipe) -> None:
    """It becomes a dead letter as soon as one of them is back."""
    with pipe.database.write() as connection:
        connection.execute(sa.text("ALTER TABLE outbox RENAME TO away"))
    publish(pipe.rabbit, EVENTS_EXCHANGE, b"bad")
    with full_of_dead_letters(pipe.rabbit):
        source = RabbitSource(pipe.rabbit.url, pipe.notes, pipe.database)
        source.start()
        (message,) = await take_without_outbox(source)
        task = asyncio.create_task(source.dead_letter(message, "no event"))
        await eventually(
            "a write to fail", lambda: pipe.notes.of(LogEvent.DEAD_LETTER_WRITE_FAILED), 20
        )
        task.cancel()
        await source.close()
        await eventually("it to be back in its queue", lambda: waiting(pipe.rabbit) == 1, 20)

        with pipe.database.write() as connection:
            connection.execute(sa.text("ALTER TABLE away RENAME TO outbox"))
        again = RabbitSource(pipe.rabbit.url, pipe.notes, pipe.database)
        again.start()
        (message,) = await take(pipe, again, 1)
        await asyncio.wait_for(again.dead_letter(message, "no event"), 20)
        await again.close()

    assert kept(pipe.database) == [(b"bad", "bad_0", "no event")]
    assert waiting(pipe.rabbit) == 0


async def take_without_outbox(source: RabbitSource) -> Sequence[QueuedMessage]:
    await connected(source)
    await eventually("it to arrive", lambda: source._arrived, 20)
    return [source._arrived.popleft()]


def a_message(body: bytes) -> QueuedMessage:
    return QueuedMessage(body, None, None, 0, None)


@pytest.fixture
def absent(database: Database) -> DeadLettering:
    """With no broker that answers."""
    return DeadLettering(NOWHERE, Notes(), database)


async def test_what_gathers_is_stored_together_and_no_more_than_fits(
    absent: DeadLettering, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One commit each would be slower than they come; all at once would be copied in memory."""
    add, sizes = outbox.add, []

    def measuring(connection: Connection, rows: Sequence[bulk.Row]) -> None:
        sizes.append(sum(len(one["body"]) for one in rows))
        add(connection, rows)

    monkeypatch.setattr(outbox, "add", measuring)
    large = [b"%03d" % number + b"x" * 250_000 for number in range(40)]
    done = await asyncio.wait_for(
        asyncio.gather(
            *(absent.dead_letter(a_message(body), "no event", lambda: True) for body in large)
        ),
        60,
    )

    assert all(done)
    assert sorted(body for body, _, _ in kept(database)) == large
    assert max(sizes) <= BATCH_BYTES
    assert len(sizes) < 10


async def test_one_that_is_given_up_while_it_waits_costs_no_other(
    absent: DeadLettering, database: Database
) -> None:
    """A stop cancels them in any order."""
    async with absent._writing:
        tasks = [
            asyncio.create_task(
                absent.dead_letter(a_message(b"%d" % number), "no event", lambda: True)
            )
            for number in range(20)
        ]
        await eventually("all to wait for the database", lambda: len(absent._waiting) == 20, 20)
        tasks[0].cancel()
        tasks[5].cancel()
    await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 20)

    assert {b"%d" % number for number in range(20) if number not in (0, 5)} <= {
        body for body, _, _ in kept(database)
    }


async def test_what_is_wanted_no_longer_is_let_go_of(
    absent: DeadLettering, database: Database
) -> None:
    """Its original went back to the broker, and comes again."""
    assert not await absent.dead_letter(a_message(b"bad"), "no event", lambda: False)
    assert kept(database) == []


def test_a_refusal_may_cost_its_dead_letter_only() -> None:
    """The connection, and what else is on its way, goes on."""
    confirms = Confirms(NOWHERE, "dead letters", Notes(), nacks_apart=True)
    confirmed: dict[str, str | None] = {}
    confirms.connection.channel, confirms.ready = _Wire(), True

    confirms.publish(
        [
            PendingPublish(
                "", "", b"", name, {}, lambda broken, name=name: confirmed.update({name: broken})
            )
            for name in "abc"
        ]
    )
    confirms._answered(
        SimpleNamespace(method=SimpleNamespace(NAME="Basic.Nack", delivery_tag=2, multiple=False))
    )
    confirms._answered(
        SimpleNamespace(method=SimpleNamespace(NAME="Basic.Ack", delivery_tag=3, multiple=True))
    )

    assert confirms.ready
    assert confirmed == {"a": None, "b": REFUSED, "c": None}


class _Wire:
    """A channel, and its connection, that take everything."""

    is_open = True

    def __init__(self) -> None:
        self.connection = self

    def one_write(self) -> AbstractContextManager[None]:
        return nullcontext()

    def basic_publish(self, *_: object, **__: object) -> None:
        pass


async def test_a_broker_that_never_confirms_is_given_up(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue that lost most of its nodes neither takes nor refuses. What was offered must not
    gather in memory.
    """
    monkeypatch.setattr("exchange.rabbit.dead_lettering._CONFIRM_TIMEOUT_S", 0.05)
    lettering = DeadLettering(NOWHERE, Notes(), database)
    lettering._confirms.connection.channel, lettering._confirms.ready = _Wire(), True

    assert await asyncio.wait_for(
        lettering.dead_letter(a_message(b"bad"), "no event", lambda: True), 20
    )

    assert kept(database) == [(b"bad", None, "no event")]
    assert not lettering._confirms._waiting


async def test_dead_letters_are_counted_wherever_they_are(pipe: RabbitPipe) -> None:
    """Alerts use that number: otherwise those that the broker refused would not be seen. While one
    place is unknown, so is the sum.
    """
    with pipe.database.write() as connection:
        outbox.add(connection, [row(a_message(b"bad"), "no event")])
    publish(pipe.rabbit, DEAD_EXCHANGE, b"bad", b"bad")
    await eventually(
        "all three",
        lambda: (
            _broker_gauges(pipe.rabbit.url, pipe.database) == {"queue_depth": 0, "dead_letters": 3}
        ),
        20,
    )

    with pipe.database.write() as connection:
        connection.execute(sa.text("ALTER TABLE outbox RENAME TO away"))
    assert _broker_gauges(pipe.rabbit.url, pipe.database) == {"queue_depth": 0}
