"""The database: connections, transactions, and what its errors mean to us.

`Database.read()` and `.write()` give a connection inside a transaction. Every call ends within
`timeout_s`: a silent database is noticed, and raises `StoreUnavailable`. On SQLite one thread
writes at a time, by a lock in this process, because SQLite's own lock waits by sleeping.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from schemas.errors import StoreUnavailable
from schemas.times import UnixMs
from store.engine.clock import StoreClock
from store.engine.database_url import read_address
from store.engine.errors import translated
from store.engine.group_commit import GroupCommit
from store.engine.postgres import Connector, Pool
from store.engine.sqlite import SqliteFile
from store.engine.timed_connection import TimedConnection

__all__ = ["Connection", "Database"]

STORE_TIMEOUT_S = 5.0
"""Seconds that a call may take. Longer: a silent database is noticed later, and more work waits for
it. Shorter: a busy database is mistaken for a dead one.
"""


class Database:
    """One database, by its address. Thread-safe; connects when first used."""

    def __init__(
        self,
        url: str | sa.URL,
        *,
        pool_size: int = 8,
        timeout_s: float = STORE_TIMEOUT_S,
        clock: StoreClock | None = None,
    ):
        self.url = read_address(url) if isinstance(url, str) else url
        self.timeout_s = timeout_s
        self.dialect = self.url.get_backend_name()
        self._postgres = Connector(self.url, timeout_s) if self.dialect == "postgresql" else None
        self._pool = (
            Pool(self.url, self._postgres, pool_size, timeout_s) if self._postgres else None
        )
        self._file = None if self._pool else SqliteFile(self.url, timeout_s)
        backend = self._pool or self._file
        assert backend is not None
        self.engine = backend.engine
        self._group_commit = GroupCommit(self.engine, timeout_s) if self._file else None
        self._transaction = (
            self._group_commit.transaction if self._group_commit else self.engine.begin
        )
        self._listeners: dict[str, list[Callable[[], None]]] = {}
        self._notified = threading.local()
        self.clock = clock or StoreClock()

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection in a transaction that only reads.

        Raises StoreUnavailable, StoreRefused.
        """
        self._require_file()
        with translated(), self.engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """Give a connection in a transaction that is committed at the end of the block.

        Raises StoreUnavailable, StoreRefused.
        """
        self._require_file()
        with translated(), self._transaction() as connection:
            self._notified.names = []
            yield connection
        for name in self._notified.names:
            self.wake(name)

    def now(self, connection: Connection) -> UnixMs:
        """Return the store's time, by which the leases of all processes run."""
        return self.clock.now(connection)

    def time(self) -> UnixMs:
        """Return the store's time, in a transaction of its own. Raises StoreUnavailable."""
        with self.read() as connection:
            return self.now(connection)

    def notify(self, connection: Connection, name: str) -> None:
        """Have the listeners for `name` called when this transaction commits.

        Those of this process and, on PostgreSQL, of other processes.
        """
        if self.dialect == "postgresql":
            connection.execute(
                sa.text("SELECT pg_notify(:channel, '')"), {"channel": channel(name)}
            )
        else:
            self._notified.names.append(name)

    def subscribe(self, name: str, listener: Callable[[], None]) -> None:
        """Call `listener`, in any thread, after each commit of a transaction that notified `name`.

        On PostgreSQL it needs a `store.engine.notifications.NotificationListener`.
        """
        self._listeners.setdefault(name, []).append(listener)

    def wake(self, name: str) -> None:
        """Call the listeners for `name` in this process."""
        for listener in self._listeners.get(name, ()):
            listener()

    def listener(self) -> TimedConnection:
        """Return a PostgreSQL connection outside the pool, for LISTEN, with the same limits.

        Raises psycopg.Error.
        """
        assert self._postgres is not None, "SQLite has nothing to listen to"
        return self._postgres.connect(autocommit=True)

    @property
    def behind_pooler(self) -> bool:
        """Whether PostgreSQL is behind a pooler, such as PgBouncer. Known after the first connect.

        What belongs to a session, such as LISTEN, does not work there.
        """
        return self._postgres is not None and self._postgres.behind_pooler

    def renew(self) -> None:
        """Replace every connection before it is used again, perhaps by one to another server."""
        if self._pool:
            self._pool.renew()

    def check_file(self) -> None:
        """Check that SQLite's file is still in its place. To be called now and then.

        When it was replaced or deleted, nothing is read or written from then on.
        """
        if self._file:
            self._file.check()

    def close(self) -> None:
        """Close the connections. A thread that still writes on SQLite closes its own at its end."""
        if self._group_commit:
            self._group_commit.close()
        self.engine.dispose()

    def _require_file(self) -> None:
        if self._file and self._file.lost:
            raise StoreUnavailable(self._file.lost)


def channel(name: str) -> str:
    """Return PostgreSQL's channel for notifications of `name`."""
    return f"ringback_{name}"
