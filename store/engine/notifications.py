"""Hears what other processes ring (`NOTIFY`) and wakes whoever listens here. On SQLite there are no
others.

A thread with a PostgreSQL connection of its own, because it listens all the time. It heals by
itself; whoever relies on it polls as well, so a lost ring only costs time.
"""

import threading
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from schemas.log_events import LogEvent
from schemas.observer import Observer
from store.engine.database import Database, channel

_LISTEN_S = 0.5
"""How long one wait for rings lasts: how soon a stop is noticed."""

_RETRY_S = 1.0

_POOLER_S = 60.0
"""How long rings are done without before another look whether a pooler is still in the way."""

CLOSE_LIMIT_S = 2.0
"""How long a stop waits for the thread, which may be connecting. It ends with the process."""


class NotificationListener:
    """`start` it where `Database.on_ring` is used on PostgreSQL."""

    def __init__(
        self, database: Database, observer: Observer, names: Sequence[str] = ("outbox", "due")
    ):
        self._database, self._observer = database, observer
        self._names = {channel(name): name for name in names}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ringback-doorbell", daemon=True)
        self._told = False  # of a pooler
        self.listening = threading.Event()
        """Set while rings are heard."""

    def start(self) -> None:
        if self._database.dialect == "postgresql":
            self._thread.start()

    def close(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_LIMIT_S)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._listen()
            except psycopg.Error as error:
                self._observer.log(LogEvent.NOTIFICATIONS_LOST, reason=str(error).strip())
                self._stopped.wait(_RETRY_S)
            finally:
                self.listening.clear()

    def _listen(self) -> None:
        with self._database.listener() as connection:
            if self._database.by_pooler:
                self._do_without(connection)
                return
            _require_a_primary(connection)
            for one in self._names:
                connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(one)))
            self.listening.set()
            for name in self._names.values():  # somebody may have rung while nobody listened
                self._database.wake(name)
            while not self._stopped.is_set():
                for notify in connection.notifies(timeout=_LISTEN_S):
                    self._database.wake(self._names[notify.channel])
                _require_a_primary(connection)

    def _do_without(self, connection: psycopg.Connection[Any]) -> None:
        """A pooler lends its server's connections to whoever comes: what is heard on one is not for
        us.
        """
        connection.close()
        if not self._told:
            self._told = True
            self._observer.log(LogEvent.NOTIFICATIONS_UNAVAILABLE)
        self._stopped.wait(_POOLER_S)


def _require_a_primary(connection: psycopg.Connection[Any]) -> None:
    """Silence is the usual state of a listener: only a question tells a server that hangs, or that
    nobody writes to any more. Raises psycopg.OperationalError: a new connection may lead to the one
    that took its place.
    """
    row = connection.execute("SHOW transaction_read_only").fetchone()
    if row and row[0] == "on":
        raise psycopg.OperationalError("the database can only be read here: nobody rings")
