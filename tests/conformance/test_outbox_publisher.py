"""The outbox's writer thread, and the intake that it claims for: what happens between two threads,
step by step.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import cast

import pytest
import sqlalchemy as sa

from exchange.outbox.publisher import GATHER_BYTES, OutboxPublisher, _OutboxBatch
from exchange.port import Outgoing, QueuedMessage
from schemas.errors import ExchangeUnavailable, StoreUnavailable
from schemas.events.events import Event
from schemas.log_events import LogEvent
from schemas.times import UnixMs
from store import tables
from store.engine.database import Connection, Database
from store.events import outbox
from tests.kit.making import an_event
from tests.kit.notes import Notes
from tests.kit.pipes import outgoing
from tests.kit.tables import lay_tables


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Embedded: only there an intake claims for the publisher."""
    made = Database(f"sqlite:///{tmp_path}/ringback.db")
    lay_tables(made)
    yield made
    made.close()


@pytest.fixture
def publisher(database: Database, notes: Notes) -> Iterator[OutboxPublisher]:
    made = OutboxPublisher(database, 1000, notes)
    made.start()
    yield made
    made.close()


def waiting(database: Database) -> int:
    with database.read() as connection:
        return outbox.depth(connection)


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
    publisher: OutboxPublisher, database: Database, notes: Notes, monkeypatch: pytest.MonkeyPatch
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
    publisher: OutboxPublisher, database: Database, notes: Notes
) -> None:
    """Others are written in the same transaction as the one that something is wrong with: none of
    them is refused for it.
    """
    publisher.claimer = FailingClaimer()

    publisher.publish(outgoing("evt_1"))

    assert waiting(database) == 1
    assert "a mistake" in str(notes.of(LogEvent.CLAIM_DEFERRED)[0]["error"])


class ClosesMeanwhile:
    """An event whose publisher is closed while a request thread spells it."""

    def __init__(self, publisher: OutboxPublisher):
        self.publisher = publisher

    def message(self) -> bytes:
        self.publisher.close()
        return an_event().message()


def test_large_batches_are_written_a_few_at_a_time(database: Database, notes: Notes) -> None:
    """The driver holds copies of all that one statement writes."""
    publisher = OutboxPublisher(database, 1000, notes)
    large = [_OutboxBatch(outgoing(f"evt_{n}", text="x" * 200_000)) for n in range(200)]
    for batch in large:
        publisher._queue.put(batch)
    gathered, _ = publisher._gather()

    assert 0 < sum(batch.size_bytes for batch in gathered) < GATHER_BYTES + 300_000


def test_a_publish_that_meets_the_close_is_refused_at_once(publisher: OutboxPublisher) -> None:
    """It would wait for a thread that has ended: the stop would take as long."""
    late = Outgoing(cast("Event", ClosesMeanwhile(publisher)), UnixMs(1))

    with pytest.raises(ExchangeUnavailable, match="closed"):
        publisher.publish([late])


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
    publisher: OutboxPublisher, database: Database
) -> None:
    """Notified before, it could check, find nothing and let younger events pass. Not woken after,
    it would stay closed for a second.
    """
    seen: list[str] = []
    publisher.claimer = WatchingClaimer(database, seen)
    database.subscribe(outbox.NOTIFICATION, lambda: seen.append("woken"))

    publisher.publish(outgoing("evt_1"))

    assert seen[-2:] == ["fell behind by 1", "woken"]


def test_a_silent_database_costs_each_publish_its_own_limit_and_later_ones_none(
    publisher: OutboxPublisher, database: Database
) -> None:
    """Requests that all wait for the same silence would keep every thread of the API; what was
    refused is not stored behind their back.
    """
    with database.write():  # the writer waits for this transaction to end
        for event_id in ("evt_1", "evt_2"):
            with pytest.raises(ExchangeUnavailable, match="does not answer"):
                publisher.publish(
                    outgoing(event_id), silence_s=0.2 if event_id == "evt_2" else 0.05
                )
        handed = publisher._queue.qsize()
        with pytest.raises(ExchangeUnavailable, match="does not answer"):
            publisher.publish(outgoing("evt_3"), silence_s=0.05)
        assert publisher._queue.qsize() == handed

    publisher.publish(outgoing("evt_4"))

    with database.read() as connection:
        stored = b"".join(
            bytes(body) for body in connection.scalars(sa.select(tables.outbox.c.body))
        )
    assert b"evt_1" in stored  # its write had begun
    assert b"evt_4" in stored
    assert b"evt_2" not in stored


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
    publisher = OutboxPublisher(cut, 1000, notes)
    publisher.start()

    publisher.publish(outgoing("evt_1"))

    assert waiting(database) == 1
    publisher.close()
    cut.close()
