"""The exchange in tests: both adapters behind one interface, and an observer that remembers what
was reported to it.
"""

import asyncio
import datetime as dt
import time
from collections.abc import Sequence
from typing import Any, Protocol

import pika
import sqlalchemy as sa

from exchange.outbox.publisher import OutboxPublisher
from exchange.outbox.source import OutboxSource
from exchange.port import Outgoing, QueuedMessage, Source
from exchange.rabbit.publisher import RabbitPublisher
from exchange.rabbit.source import RabbitSource
from exchange.topology import DEAD_QUEUE, REASON_HEADER
from schemas.events.events import parse_event
from schemas.observer import NullObserver
from schemas.times import UnixMs
from store import tables
from store.engine.database import Database
from store.engine.notifications import NotificationListener
from tests.kit.loop_thread import FromThreads
from tests.kit.making import an_event
from tests.kit.notes import Notes
from tests.kit.rabbit import Rabbit
from tests.kit.waiting import eventually, wait_for


class InMilliseconds(dt.datetime):
    """A header value that some backend's library writes and that Python's calendar ends before:
    AMQP counts in seconds.
    """

    def utctimetuple(self) -> time.struct_time:
        return time.struct_time((1970, 1, 1, 0, 0, round(self.timestamp() * 1000), 0, 0, 0))


UNREADABLE = InMilliseconds(2026, 11, 22, tzinfo=dt.UTC)


class Pipe(Protocol):
    """One adapter with its service, for the conformance suite."""

    database: Database

    def publisher(self) -> FromThreads[Any]:
        """Started, and connected, on an event loop of its own."""

    def source(self) -> Source:
        """Started, on the running loop."""

    def forget_holders(self) -> None:
        """Act as if the process that held messages had died long ago."""

    def dead_letters(self) -> list[tuple[bytes, str]]:
        """Body and reason, oldest first."""

    def close(self) -> None: ...


class RabbitPipe:
    def __init__(self, rabbit: Rabbit, database: Database):
        self.rabbit, self.database, self.notes = rabbit, database, Notes()

    def publisher(self) -> FromThreads[RabbitPublisher]:
        made = FromThreads(RabbitPublisher(self.rabbit.url, self.notes))
        made.start()
        wait_for("the publisher is connected", made.connected)
        return made

    def source(self) -> RabbitSource:
        made = RabbitSource(self.rabbit.url, self.notes)
        made.start()
        return made

    def forget_holders(self) -> None:
        """Its channel was closed: the broker knows."""

    def kept(self) -> list[tuple[str, str | None]]:
        """Ids of what stands in the outbox meanwhile, and why it is dead."""
        with self.database.read() as connection:
            rows = connection.execute(
                sa.select(tables.outbox.c.body, tables.outbox.c.reason).order_by(tables.outbox.c.id)
            ).all()
        return [(parse_event(bytes(row.body)).id, row.reason) for row in rows]

    def dead_letters(self) -> list[tuple[bytes, str]]:
        with pika.BlockingConnection(pika.URLParameters(self.rabbit.url)) as connection:
            channel = connection.channel()
            got = iter(lambda: channel.basic_get(DEAD_QUEUE, auto_ack=True), (None, None, None))
            return [(body, properties.headers[REASON_HEADER]) for _, properties, body in got]

    def close(self) -> None:
        self.database.close()


class OutboxPipe:
    """The outbox on PostgreSQL with notifications, as processes have it: the consumer is another
    process than the publisher.
    """

    def __init__(self, database: Database):
        self.database = database
        self.notifications = NotificationListener(database, NullObserver())
        self.notifications.start()
        if database.dialect == "postgresql":
            assert self.notifications.listening.wait(20)

    def publisher(self) -> FromThreads[OutboxPublisher]:
        made = FromThreads(OutboxPublisher(self.database, 10_000, NullObserver()))
        made.start()
        return made

    def source(self) -> OutboxSource:
        made = OutboxSource(self.database)
        made.start()
        return made

    def forget_holders(self) -> None:
        with self.database.write() as connection:
            connection.execute(sa.update(tables.outbox).values(leased_until=1))

    def dead_letters(self) -> list[tuple[bytes, str]]:
        chosen = sa.select(tables.outbox.c.body, tables.outbox.c.reason).where(
            tables.outbox.c.reason.is_not(None)
        )
        with self.database.read() as connection:
            return [
                (bytes(row.body), row.reason)
                for row in connection.execute(chosen.order_by(tables.outbox.c.id))
            ]

    def close(self) -> None:
        self.notifications.close()
        self.database.close()


def outgoing(*event_ids: str, text: str = "hello") -> list[Outgoing]:
    return [Outgoing(an_event(event_id, text), UnixMs(1_000)) for event_id in event_ids]


async def take(pipe: Pipe, source: Source, count: int) -> list[QueuedMessage]:
    """Exactly so many messages, in the order they came."""
    taken: list[QueuedMessage] = []

    async def some() -> list[QueuedMessage]:
        await source.wait()
        return await asyncio.to_thread(take_now, pipe, source, count - len(taken))

    async with asyncio.timeout(20):
        while len(taken) < count:
            taken += await some()
    return taken


async def settle(pipe: Pipe, source: Source, messages: Sequence[QueuedMessage]) -> None:
    """Forget them in a transaction and acknowledge after its commit, as a dispatcher does."""
    receipts = [message.receipt for message in messages]
    await asyncio.to_thread(_forget, pipe.database, source, receipts)
    source.acknowledge(receipts)


async def connected(source: Source) -> None:
    await eventually("the source is connected", source.connected, 20)


def take_now(pipe: Pipe, source: Source, limit: int = 10) -> list[QueuedMessage]:
    """What is there already, in a transaction of its own."""
    with pipe.database.write() as connection:
        return source.fetch(connection, limit)


def _forget(database: Database, source: Source, receipts: Sequence[object]) -> None:
    with database.write() as connection:
        source.delete(connection, receipts)
