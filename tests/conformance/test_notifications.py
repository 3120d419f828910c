"""Rings between processes on PostgreSQL: two databases here are as good as two processes."""

import threading
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from schemas.log_events import LogEvent
from store.engine.database import Database
from store.engine.notifications import NotificationListener
from tests.kit.notes import Notes
from tests.kit.postgres import Postgres
from tests.kit.waiting import wait_for


@pytest.fixture
def url(postgres: Postgres) -> str:
    return postgres.fresh_database()


@pytest.fixture
def listening(url: str) -> Iterator[tuple[NotificationListener, threading.Event, Notes]]:
    """A process that listens, and what is set when it is woken."""
    database, woken, notes = Database(url), threading.Event(), Notes()
    database.subscribe("outbox", woken.set)
    notifications = NotificationListener(database, notes)
    notifications.start()
    assert notifications.listening.wait(20)
    wait_for("the first wake, for what was missed before", woken.is_set)
    woken.clear()
    yield notifications, woken, notes
    notifications.close()
    database.close()


@pytest.fixture
def other(url: str) -> Iterator[Database]:
    database = Database(url)
    yield database
    database.close()


def notify(database: Database, name: str = "outbox") -> None:
    with database.write() as connection:
        database.notify(connection, name)


def test_a_commit_wakes_who_listens_elsewhere(
    listening: tuple[NotificationListener, threading.Event, Notes], other: Database
) -> None:
    """An API process commits, a dispatcher takes."""
    _, woken, _ = listening

    notify(other)

    assert woken.wait(20)


def test_another_name_wakes_no_listener(
    listening: tuple[NotificationListener, threading.Event, Notes], other: Database
) -> None:
    """Due rows are no business of the outbox's taker."""
    _, woken, _ = listening
    due = threading.Event()
    listening[0]._database.subscribe("due", due.set)

    notify(other, "due")

    assert due.wait(20)
    assert not woken.is_set()


def test_a_lost_connection_heals_and_wakes_for_what_was_missed(
    listening: tuple[NotificationListener, threading.Event, Notes], other: Database
) -> None:
    """PostgreSQL restarts, and no process has to (docs/invariants.md#connections-heal)."""
    _, woken, notes = listening

    with other.read() as connection:
        end = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> "
            "pg_backend_pid() AND query LIKE 'LISTEN%'"
        )
        connection.execute(sa.text(end))

    wait_for("the loss is noted", lambda: notes.of(LogEvent.NOTIFICATIONS_LOST))
    assert woken.wait(20)
    woken.clear()
    notify(other)
    assert woken.wait(20)


def test_a_server_that_hangs_is_noticed(postgres: Postgres) -> None:
    """Silence is what a listener hears most of the time: it has to ask."""
    database, notes = Database(postgres.fresh_database(), timeout_s=1), Notes()
    notifications = NotificationListener(database, notes)
    notifications.start()
    assert notifications.listening.wait(20)

    with postgres.frozen():
        wait_for("the loss is noted", lambda: notes.of(LogEvent.NOTIFICATIONS_LOST), 20)

    assert notifications.listening.wait(20)
    notifications.close()
    database.close()


def test_a_server_that_takes_no_writes_any_more_is_left(postgres: Postgres) -> None:
    """After a fail-over that cuts no session it would hear nothing for ever."""
    database, notes = Database(postgres.fresh_database()), Notes()
    notifications = NotificationListener(database, notes)
    notifications.start()
    assert notifications.listening.wait(20)

    with postgres.read_only():
        wait_for("the loss is noted", lambda: notes.of(LogEvent.NOTIFICATIONS_LOST), 20)
        assert "only be read" in str(notes.of(LogEvent.NOTIFICATIONS_LOST)[0]["reason"])

    assert notifications.listening.wait(20)
    notifications.close()
    database.close()


def test_a_stop_does_not_wait_for_a_server_that_hangs(postgres: Postgres) -> None:
    """The thread ends with the process."""
    database = Database(postgres.fresh_database(), timeout_s=30)
    notifications = NotificationListener(database, Notes())
    notifications.start()
    assert notifications.listening.wait(20)

    with postgres.frozen():
        notifications.close()
        assert notifications._thread.is_alive(), "it was not waited for"

    notifications._thread.join(20)
    assert not notifications._thread.is_alive()
    database.close()
