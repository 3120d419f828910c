"""Notifications from other processes (PostgreSQL's `LISTEN`), passed to the listeners of this one.

On SQLite there are no other processes. The listener has a PostgreSQL connection and a thread of its
own, because it listens all the time. It reconnects by itself (docs/invariants.md#connections-heal).
The subscribers poll as well, so a lost notification only costs time.
"""

import threading
from collections.abc import Sequence

import psycopg
from psycopg import sql

from schemas.log_events import LogEvent
from schemas.observer import Observer
from store.engine.background import PeriodicThread
from store.engine.database import Database, channel
from store.engine.timed_connection import TimedConnection

_LISTEN_S = 0.5
"""Seconds that one wait for notifications lasts. Longer: a stop is noticed later. Shorter: more
questions to the server.
"""

_RETRY_S = 1.0
"""Seconds until a new connection after a loss. Longer: more work is found by polls alone. Shorter:
more connections that fail while the database restarts.
"""

_POOLER_S = 60.0
"""Seconds until the next check whether a pooler is still in the way. Longer: work is found by polls
for longer after it is gone. Shorter: more connections without use.
"""

CLOSE_LIMIT_S = 2.0
"""How long a stop waits for the thread, which may be connecting. It ends with the process."""


class NotificationListener:
    """Listener for the notifications of other processes. `start` it in each process that calls
    `Database.subscribe`.
    """

    def __init__(
        self, database: Database, observer: Observer, names: Sequence[str] = ("outbox", "due")
    ):
        self._database, self._observer = database, observer
        self._names = {channel(name): name for name in names}
        self._thread = PeriodicThread(
            "notifications",
            self._run,
            every_s=_RETRY_S,
            observer=observer,
            close_timeout_s=CLOSE_LIMIT_S,
        )
        self._reported_pooler = False
        self.listening = threading.Event()
        """Set while notifications arrive."""

    def start(self) -> None:
        """Start to listen on PostgreSQL; do nothing on SQLite."""
        if self._database.dialect == "postgresql":
            self._thread.wake()
            self._thread.start()

    def close(self) -> None:
        """Stop to listen."""
        self._thread.close()

    def _run(self) -> float | None:
        """Listen until the stop or a failure. Return the seconds until the next try."""
        try:
            with self._database.listener() as connection:
                if self._database.behind_pooler:
                    connection.close()  # what it hears is meant for other users of the pooler
                    return self._without_notifications()
                self._listen(connection)
        except psycopg.Error as error:
            self._observer.log(LogEvent.NOTIFICATIONS_LOST, reason=str(error).strip())
        finally:
            self.listening.clear()
        return None

    def _listen(self, connection: TimedConnection) -> None:
        _require_primary(connection)
        for name in self._names:
            connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(name)))
        self.listening.set()
        for name in self._names.values():  # there may have been some before this listened
            self._database.wake(name)
        while not self._thread.stopping:
            for notify in connection.notifies(timeout=_LISTEN_S):
                self._database.wake(self._names[notify.channel])
            _require_primary(connection)

    def _without_notifications(self) -> float:
        if not self._reported_pooler:
            self._reported_pooler = True
            self._observer.log(LogEvent.NOTIFICATIONS_UNAVAILABLE)
        return _POOLER_S


def _require_primary(connection: TimedConnection) -> None:
    """Raise psycopg.OperationalError when the server hangs, or can only be read.

    Silence is the usual state of a listener: only a question reveals such a server. A new
    connection may lead to the one that took its place.
    """
    row = connection.execute("SHOW transaction_read_only").fetchone()
    if row and row[0] == "on":
        raise psycopg.OperationalError(
            "the database can only be read here: no process sends notifications through it"
        )
