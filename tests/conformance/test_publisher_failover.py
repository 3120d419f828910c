"""Publishing while the broker dies, freezes, loses its queue or was never there: every event is
stored, every answer quick.
"""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from exchange.failover import CONFIRM_TIMEOUT_S, FailoverPublisher
from exchange.outbox.publisher import OutboxPublisher
from exchange.rabbit import publisher as rabbit_publisher
from exchange.rabbit.publisher import RabbitPublisher
from exchange.rabbit.source import RabbitSource
from exchange.topology import DISPATCH_QUEUE
from schemas.errors import ExchangeUnavailable
from schemas.log_events import LogEvent
from store import tables
from store.engine.database import Database
from store.events import outbox
from tests.conformance.test_rabbit_source import on_the_broker
from tests.kit.loop_thread import FromThreads
from tests.kit.notes import Notes
from tests.kit.pipes import RabbitPipe, outgoing, settle, take
from tests.kit.rabbit import Rabbit
from tests.kit.tables import lay_tables
from tests.kit.waiting import free_port, wait_for

SLOW_S = 5.0
"""Far beyond what an answer may take, so that a busy test machine is not taken for a hanging
publisher.
"""


class Way:
    """A failover publisher with its broker and its outbox."""

    def __init__(self, url: str, database: Database):
        self.database, self.notes = database, Notes()
        self.publisher = FromThreads(
            FailoverPublisher(
                RabbitPublisher(url, self.notes),
                OutboxPublisher(database, 10_000, self.notes),
                self.notes,
            )
        )
        self.publisher.start()

    def publish(self, *event_ids: str) -> None:
        started_s = time.monotonic()
        self.publisher.publish(outgoing(*event_ids))
        assert time.monotonic() - started_s < SLOW_S

    def in_outbox(self) -> int:
        with self.database.read() as connection:
            return outbox.depth(connection)

    def by_broker(self, event_id: str = "evt_more") -> bool:
        """Publish one more: whether it went by the broker."""
        before = self.in_outbox()
        self.publish(event_id)
        return self.in_outbox() == before

    def close(self) -> None:
        self.publisher.close()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(f"sqlite:///{tmp_path}/ringback.db")
    lay_tables(made)
    yield made
    made.close()


@pytest.fixture
def way(rabbit: Rabbit, database: Database) -> Iterator[Way]:
    """Publishing by the broker, which is well."""
    made = Way(rabbit.url, database)
    wait_for("publishing uses the broker", made.by_broker)
    yield made
    made.close()


def test_with_no_broker_the_start_does_not_wait_and_events_are_stored(database: Database) -> None:
    """A deployment in any order comes up."""
    way = Way(f"amqp://guest:guest@127.0.0.1:{free_port()}/", database)

    way.publish("evt_1", "evt_2")

    assert way.in_outbox() == 2
    assert not way.publisher.connected()
    way.close()


async def test_a_killed_broker_is_survived_by_both_sides_without_a_restart(
    way: Way, rabbit: Rabbit
) -> None:
    """The outage that other senders answer with 500, or wait out, or never recover from."""
    pipe = RabbitPipe(rabbit, way.database)
    source = RabbitSource(rabbit.url, way.notes)
    source.start()
    held = await take(pipe, source, 1)

    rabbit.kill()
    stored = way.in_outbox()
    for number in range(20):
        way.publish(f"evt_out_{number}")
    assert way.in_outbox() == stored + 20
    await asyncio.to_thread(rabbit.start)
    await asyncio.to_thread(
        wait_for, "publishing uses the broker again", lambda: way.by_broker("evt_back"), 40
    )

    missing = {one.event.message() for one in outgoing("evt_more", "evt_back")}
    while missing:
        missing -= {message.body for message in await take(pipe, source, 1)}
    await settle(pipe, source, held)  # of a channel that died: dropped, and no error
    await source.close()


def test_a_frozen_broker_costs_the_first_requests_half_a_second_and_later_ones_nothing(
    way: Way, rabbit: Rabbit
) -> None:
    """Silence is noticed by what is not confirmed, long before TCP or heartbeats would say so."""
    stored = way.in_outbox()
    rabbit.freeze()

    started_s = time.monotonic()
    way.publish("evt_1")
    first_s = time.monotonic() - started_s
    for number in range(100):
        way.publish(f"evt_silent_{number}")

    assert first_s >= CONFIRM_TIMEOUT_S
    assert way.in_outbox() == stored + 101
    assert [note["reason"] for note in way.notes.of(LogEvent.PUBLISHING_VIA_OUTBOX)] == [
        "it has confirmed nothing for 0.5 s"
    ]
    rabbit.thaw()
    wait_for("publishing uses the broker again", way.by_broker, 40)


def test_a_message_without_a_queue_comes_back_and_the_queue_is_declared_again(
    way: Way, rabbit: Rabbit
) -> None:
    """Confirmed into nothing is the silent loss (docs/invariants.md#confirmed-means-routed)."""
    stored = way.in_outbox()

    on_the_broker(rabbit, lambda channel: channel.queue_delete(DISPATCH_QUEUE))
    way.publish("evt_1")

    assert way.in_outbox() == stored + 1
    wait_for("publishing uses the broker again", way.by_broker, 40)
    assert "NO_ROUTE" in str(way.notes.of(LogEvent.PUBLISHING_VIA_OUTBOX)[0]["reason"])


def test_a_broker_short_of_memory_is_gone_around(way: Way, rabbit: Rabbit) -> None:
    """It stops reading from publishers, and would confirm nothing for as long as that lasts."""
    stored = way.in_outbox()
    rabbit.ctl("set_vm_memory_high_watermark", "0.00001")

    way.publish("evt_1")
    way.publish("evt_2")

    assert way.in_outbox() == stored + 2
    assert "blocked" in str(way.notes.of(LogEvent.BROKER_DISCONNECTED)[0]["reason"])
    rabbit.ctl("set_vm_memory_high_watermark", "0.4")
    wait_for("publishing uses the broker again", way.by_broker, 40)


def test_a_full_window_is_said_and_not_gone_around(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Back-pressure reaches the API as 503. The outbox is no way around a broker that is merely too
    slow (docs/invariants.md#everything-is-bounded).
    """
    stored = way.in_outbox()
    monkeypatch.setattr(rabbit_publisher, "WINDOW_BYTES", 1)

    with pytest.raises(ExchangeUnavailable, match="too many messages"):
        way.publish("evt_1")

    monkeypatch.undo()
    assert way.by_broker()
    assert way.in_outbox() == stored


def test_with_neither_broker_nor_database_the_publisher_says_so(database: Database) -> None:
    """202 is never answered for what was not stored (docs/invariants.md#accepted-is-durable)."""
    way = Way(f"amqp://guest:guest@127.0.0.1:{free_port()}/", database)
    tables.outbox.drop(database.engine)

    with pytest.raises(ExchangeUnavailable, match="outbox"):
        way.publish("evt_1")

    way.close()


def test_a_full_outbox_refuses_and_takes_again_when_rows_have_gone(database: Database) -> None:
    """The outbox is bounded, in rows that wait: all or nothing of one request is stored
    (docs/invariants.md#unsure-is-not-lost).
    """
    publisher = FromThreads(OutboxPublisher(database, 3, Notes()))
    publisher.start()
    publisher.publish(outgoing("evt_1", "evt_2"))

    with pytest.raises(ExchangeUnavailable, match="full"):
        publisher.publish(outgoing("evt_3", "evt_4"))
    publisher.publish(outgoing("evt_5"))
    with database.write() as connection:
        connection.execute(sa.delete(tables.outbox))

    def taken_again() -> bool:
        try:
            publisher.publish(outgoing("evt_6"))
        except ExchangeUnavailable:
            return False
        return True

    wait_for("it is counted again", taken_again)
    publisher.close()


def test_a_broker_behind_an_open_circuit_is_better_than_a_refusal(way: Way) -> None:
    """While one message probes a new connection the others go around it; with the database away
    they would be refused for nothing.
    """
    generation = way.publisher.inner._primary.generation
    assert generation is not None
    way.publisher.inner._circuit.failed(generation, time.monotonic())

    with way.database.write():  # no one else can write: the outbox is silent
        way.publish("evt_1")
