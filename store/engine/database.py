"""The database: connections, transactions, and what its errors mean to us.

`Database.read()` and `.write()` give a connection inside a transaction. Every call ends within `timeout_s`: a silent
database is noticed, and raises `StoreUnavailable`. On SQLite one writer at a time, by a lock of ours (its own waits by sleeping).
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
from store.engine.timed_connection import LimitedConnection

__all__ = ["Connection", "Database"]

STORE_TIMEOUT_S = 5.0
"""Longer: a silent database is noticed later, and more stands still with it. Shorter: a busy one is
taken for a dead one.
"""


class Database:
    """One database, by its address, or by one that was taken apart already. Thread-safe; connects
    when first used.
    """

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
        self.engine = (self._pool or self._file).engine  # type: ignore[union-attr]  # it is one of the two
        self._group_commit = GroupCommit(self.engine, timeout_s) if self._file else None
        self._transaction = (
            self._group_commit.transaction if self._group_commit else self.engine.begin
        )
        self._listeners: dict[str, list[Callable[[], None]]] = {}
        self._notified = threading.local()
        self.clock = clock or StoreClock()

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads. Raises StoreUnavailable, StoreRefused."""
        if self._file and self._file.lost:
            raise StoreUnavailable(self._file.lost)
        with translated(), self.engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction, committed at the end of the block. Raises StoreUnavailable, StoreRefused.
        """
        if self._file and self._file.lost:
            raise StoreUnavailable(self._file.lost)
        with translated(), self._transaction() as connection:
            self._notified.names = []
            yield connection
        for name in self._notified.names:
            self.wake(name)

    def now(self, connection: Connection) -> UnixMs:
        """The store's clock: leases of all processes run by it."""
        return self.clock.now(connection)

    def time(self) -> UnixMs:
        """The same, in a transaction of its own. Raises StoreUnavailable."""
        with self.read() as connection:
            return self.now(connection)

    def notify(self, connection: Connection, name: str) -> None:
        """When this transaction commits, wake whoever listens for `name`: in this process, and on
        PostgreSQL in others.
        """
        if self.dialect == "postgresql":
            connection.execute(
                sa.text("SELECT pg_notify(:channel, '')"), {"channel": channel(name)}
            )
        else:
            self._notified.names.append(name)

    def subscribe(self, name: str, listener: Callable[[], None]) -> None:
        """Call `listener`, from whatever thread, after each commit that rang.
        `store.engine.notifications` does so for PostgreSQL.
        """
        self._listeners.setdefault(name, []).append(listener)

    def wake(self, name: str) -> None:
        """Call those who listen for `name` in this process."""
        for listener in self._listeners.get(name, ()):
            listener()

    def listener(self) -> LimitedConnection:
        """A PostgreSQL connection outside the pool, for LISTEN, with the same limits. Raises
        psycopg.Error.
        """
        assert self._postgres is not None, "SQLite has nothing to listen to"
        return self._postgres.connect(autocommit=True)

    @property
    def by_pooler(self) -> bool:
        """Whether a pooler, such as PgBouncer, stands before PostgreSQL: what belongs to a session,
        such as LISTEN, does not work there. Known once something was asked.
        """
        return self._postgres is not None and self._postgres.by_pooler

    def renew(self) -> None:
        """Connect anew before anything else is asked: to another server, perhaps."""
        if self._pool:
            self._pool.renew()

    def look_at_file(self) -> None:
        """Notice when another file was put in the place of SQLite's: from then on nothing is read
        or written. To be called now and then.
        """
        if self._file:
            self._file.look()

    def close(self) -> None:
        if self._group_commit:
            self._group_commit.close()
        self.engine.dispose()


def channel(name: str) -> str:
    """PostgreSQL's name of a ring."""
    return f"ringback_{name}"
