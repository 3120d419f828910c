"""The outbox's writer thread, and the intake that it claims for: what happens between two threads,
step by step.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa

from exchange.outbox import publisher as outbox_publisher
from exchange.outbox.publisher import GATHER_BYTES, OutboxPublisher, _OutboxBatch
from exchange.port import QueuedMessage
from schemas.errors import ExchangeUnavailable, StoreUnavailable
from schemas.log_events import LogEvent
from store import tables
from store.engine.database import Connection, Database
from store.events import outbox
from tests.kit.loop_thread import FromThreads, LoopThread
from tests.kit.notes import Notes
from tests.kit.pipes import outgoing
from tests.kit.tables import lay_tables
from tests.kit.waiting import eventually, wait_for


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Embedded: only there an intake claims for the publisher."""
    made = Database(f"sqlite:///{tmp_path}/ringback.db")
    lay_tables(made)
    yield made
    made.close()


@pytest.fixture
def publisher(database: Database, notes: Notes) -> Iterator[FromThreads[OutboxPublisher]]:
    made = FromThreads(OutboxPublisher(database, 1000, notes))
    made.start()
    yield made
    made.close()


def waiting(database: Database) -> int:
    with database.read() as connection:
        return outbox.depth(connection)


def bodies(database: Database) -> bytes:
    """All that is stored, one after another."""
    with database.read() as connection:
        return b"".join(bytes(body) for body in connection.scalars(sa.select(tables.outbox.c.body)))


class FailingClaimer:
    """An intake with a mistake in it."""

    def is_open(self) -> bool:
        return True

    def fell_behind(self) -> None:
        """Not asked here."""

    def claim(
        self, _connection: Connection, _messages: Sequence[QueuedMessage]
    ) -> Callable[[], None]:
        raise ZeroDivisionError("a mistake")


def test_a_mistake_in_the_writer_costs_one_answer_and_not_all_that_follow(
    publisher: FromThreads[OutboxPublisher],
    database: Database,
    notes: Notes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The thread must live on: without it every POST would wait without effect while all looks
    ready.
    """
    monkeypatch.setattr(outbox, "add", lambda _connection, _rows: 1 / 0)
    with pytest.raises(ExchangeUnavailable, match="could not be written"):
        publisher.publish(outgoing("evt_1"))

    monkeypatch.undo()
    publisher.publish(outgoing("evt_2"))

    assert waiting(database) == 1
    assert "ZeroDivisionError" in str(notes.of(LogEvent.OUTBOX_WRITE_FAILED)[0]["error"])


def test_what_cannot_be_claimed_at_once_waits_in_the_outbox(
    publisher: FromThreads[OutboxPublisher], database: Database, notes: Notes
) -> None:
    """Others are written in the same transaction as the one that something is wrong with: none of
    them is refused for it.
    """
    publisher.inner.claimer = FailingClaimer()

    publisher.publish(outgoing("evt_1"))

    assert waiting(database) == 1
    assert "a mistake" in str(notes.of(LogEvent.CLAIM_DEFERRED)[0]["error"])


def test_large_batches_are_written_a_few_at_a_time(database: Database, notes: Notes) -> None:
    """The driver holds copies of all that one statement writes."""
    publisher = OutboxPublisher(database, 1000, notes)
    large = [_OutboxBatch(outgoing(f"evt_{n}", text="x" * 200_000)) for n in range(200)]
    for batch in large:
        publisher._queue.put(batch)
    gathered, _ = publisher._gather()

    assert 0 < sum(batch.size_bytes for batch in gathered) < GATHER_BYTES + 300_000


async def test_a_publish_that_meets_the_close_is_refused_at_once(
    database: Database, notes: Notes
) -> None:
    """It would wait for a thread that has ended: the stop would take as long. What came before is
    written.
    """
    publisher = OutboxPublisher(database, 1000, notes)
    publisher.start()
    with database.write():  # the writer waits for this transaction to end
        before = asyncio.create_task(publisher.publish(outgoing("evt_1")))
        await eventually("its write begins", lambda: publisher._write_due_s)
        closing = asyncio.create_task(publisher.close())
        await asyncio.sleep(0)

        with pytest.raises(ExchangeUnavailable, match="closed"):
            await publisher.publish(outgoing("evt_2"))

    await before
    await closing
    assert waiting(database) == 1


class WatchingClaimer:
    """An intake that has no room, and writes down what waits when it is notified that something
    does.
    """

    def __init__(self, database: Database, seen: list[str]):
        self.database, self.seen = database, seen

    def is_open(self) -> bool:
        return False

    def fell_behind(self) -> None:
        self.seen.append(f"fell behind by {waiting(self.database)}")

    def claim(
        self, _connection: Connection, _messages: Sequence[QueuedMessage]
    ) -> Callable[[], None]:
        raise AssertionError("it is not open")


def test_the_intake_is_notified_of_a_row_when_it_can_take_it_and_woken_after_that(
    publisher: FromThreads[OutboxPublisher], database: Database
) -> None:
    """Notified before, it could check, find nothing and let younger events pass. Not woken after,
    it would stay closed for a second.
    """
    seen: list[str] = []
    publisher.inner.claimer = WatchingClaimer(database, seen)
    database.subscribe(outbox.NOTIFICATION, lambda: seen.append("woken"))

    publisher.publish(outgoing("evt_1"))

    assert seen[-2:] == ["fell behind by 1", "woken"]


def test_a_silent_database_costs_each_publish_its_own_limit_and_later_ones_none(
    publisher: FromThreads[OutboxPublisher], database: Database
) -> None:
    """Requests that all wait for the same silence would gather without end; what was refused is not
    stored behind their back.
    """
    with database.write():  # the writer waits for this transaction to end
        for event_id in ("evt_1", "evt_2"):
            with pytest.raises(ExchangeUnavailable, match="does not answer"):
                publisher.publish(
                    outgoing(event_id), silence_s=0.2 if event_id == "evt_2" else 0.05
                )
        handed = publisher.inner._queue.qsize()
        with pytest.raises(ExchangeUnavailable, match="does not answer"):
            publisher.publish(outgoing("evt_3"), silence_s=0.05)
        assert publisher.inner._queue.qsize() == handed

    publisher.publish(outgoing("evt_4"))

    stored = bodies(database)
    assert b"evt_1" in stored  # its write had begun
    assert b"evt_4" in stored
    assert b"evt_2" not in stored


@pytest.fixture
async def here(database: Database, notes: Notes) -> AsyncIterator[OutboxPublisher]:
    """On the test's own event loop."""
    made = OutboxPublisher(database, 1000, notes)
    made.start()
    yield made
    await made.close()


async def test_what_a_cancelled_request_published_is_not_written_after_it(
    here: OutboxPublisher, database: Database
) -> None:
    """Its client is gone and sends again: each try would be written while the database is busy."""
    with database.write():  # the writer waits for this transaction to end
        first = asyncio.create_task(here.publish(outgoing("evt_1")))
        await eventually("its write begins", lambda: here._write_due_s)
        second = asyncio.create_task(here.publish(outgoing("evt_2")))
        await asyncio.sleep(0)
        assert here._queue.qsize() == 1
        second.cancel()
        await asyncio.wait([second])

    await first
    await here.publish(outgoing("evt_3"))

    assert second.cancelled()
    stored = bodies(database)
    assert b"evt_1" in stored
    assert b"evt_3" in stored
    assert b"evt_2" not in stored


async def test_all_that_one_transaction_wrote_is_answered_by_one_call_on_the_loop(
    here: OutboxPublisher, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call from a thread is a system call that wakes the loop."""
    answered: list[int] = []
    settle = outbox_publisher._settle

    def counting(batches: Sequence[_OutboxBatch], failure: str | None) -> None:
        answered.append(len(batches))
        settle(batches, failure)

    monkeypatch.setattr(outbox_publisher, "_settle", counting)
    with database.write():  # the writer waits for this transaction to end
        first = asyncio.create_task(here.publish(outgoing("evt_first")))
        await eventually("its write begins", lambda: here._write_due_s)
        others = [asyncio.create_task(here.publish(outgoing(f"evt_{n}"))) for n in range(50)]
        await asyncio.sleep(0)

    await asyncio.gather(first, *others)

    assert answered == [1, 50]


def test_a_loop_that_was_closed_does_not_end_the_writer(database: Database, notes: Notes) -> None:
    """A process that stops in a hurry must not end with a trace; the rows are committed."""
    loop, publisher = LoopThread(), OutboxPublisher(database, 1000, notes)
    loop.run(publisher.start)
    with database.write():  # the writer waits for this transaction to end
        asyncio.run_coroutine_threadsafe(publisher.publish(outgoing("evt_1")), loop.loop)
        wait_for("its write begins", lambda: publisher._write_due_s)
        loop.close()

    wait_for("the write ends", lambda: publisher._write_due_s is None)
    assert waiting(database) == 1
    assert publisher._thread.is_alive()
    publisher._queue.put(None)
    publisher._thread.join(10)
    assert not publisher._thread.is_alive()


class CutOnce(Database):
    """The next transaction meets a connection that was cut."""

    cut = True

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        if self.cut:
            self.cut = False
            raise StoreUnavailable("server closed the connection unexpectedly")
        with super().write() as connection:
            yield connection


def test_a_connection_that_was_cut_refuses_no_publish(database: Database, notes: Notes) -> None:
    """It is only found out by using it, and the database behind it may be well."""
    cut = CutOnce(database.url.render_as_string())
    publisher = FromThreads(OutboxPublisher(cut, 1000, notes))
    publisher.start()

    publisher.publish(outgoing("evt_1"))

    assert waiting(database) == 1
    publisher.close()
    cut.close()
