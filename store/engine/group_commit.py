"""SQLite's one writer: threads that write at the same time share a commit.

A commit waits for the disk, which takes longer than most transactions do. So a thread that finishes
while others wait leaves the transaction open to the next of them, and is notified when the last one
has committed for all. Each thread's work stands by itself: an exception undoes only its own work.
However a thread's turn ends, the group is then committed, rolled back, or left to the next thread.
"""

import contextlib
import threading
from collections.abc import Generator, Iterator

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection

from schemas.errors import StoreUnavailable
from store.engine.errors import first_line

GROUP_MAX = 4
"""Transactions per commit. More: fewer waits for the disk, but the first waits for more of the
others' work.
"""


class _Group:
    """An open transaction of the database, and how many threads' work it holds."""

    __slots__ = ("_ended", "_failure", "members")

    def __init__(self) -> None:
        self.members = 0
        self._ended = threading.Event()
        self._failure: BaseException | None = None

    def end(self, failure: BaseException | None) -> None:
        self._failure = failure
        self._ended.set()

    def wait(self, timeout_s: float) -> None:
        """Wait for the commit.

        Raises StoreUnavailable: it is not known whose fault it was, so each thread may try again.
        """
        if not self._ended.wait(timeout_s):
            raise StoreUnavailable("the commit takes too long: it may have happened or not")
        if self._failure is not None:
            raise StoreUnavailable(
                f"the commit failed: {_reason(self._failure)}"
            ) from self._failure


class GroupCommit:
    """The writer of one SQLite database. Thread-safe.

    It keeps one connection: taking one from the pool each time costs a third of a small
    transaction.
    """

    def __init__(self, engine: sa.Engine, timeout_s: float):
        self._engine, self._timeout_s = engine, timeout_s
        self._lock = threading.Condition(threading.Lock())  # guards the next two
        self._waiting = 0
        self._is_writing = False
        self._connection: Connection | None = None
        self._group: _Group | None = None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Give a connection for one thread's work, committed when the block has ended.

        Raises what the block raises, SQLAlchemy's errors, StoreUnavailable.
        """
        if not self._acquire():
            raise StoreUnavailable("the database is locked by another writer")
        group = yield from self._as_member()
        group.wait(GROUP_MAX * self._timeout_s)

    def close(self) -> None:
        """Commit and disconnect.

        A thread that still writes keeps the connection, and closes it at its end.
        """
        if self._acquire():
            try:
                self._commit()
                self._drop_connection()
            finally:
                self._release()

    def _acquire(self) -> bool:
        with self._lock:
            self._waiting += 1
            try:
                is_free = self._lock.wait_for(lambda: not self._is_writing, self._timeout_s)
            finally:
                self._waiting -= 1
            if is_free:
                self._is_writing = True
            return is_free

    def _as_member(self) -> Generator[Connection, None, _Group]:
        try:
            connection, group = self._begin_or_join()
            try:
                yield connection
                self._keep(connection, group)
            except BaseException:
                self._undo(connection, group)
                raise
            return group
        finally:
            self._commit_or_leave_open()

    def _begin_or_join(self) -> tuple[Connection, _Group]:
        if self._connection is None:
            self._connection = self._engine.connect()
        group = self._group or _Group()
        try:
            self._connection.exec_driver_sql(
                "SAVEPOINT member" if self._group else "BEGIN IMMEDIATE"
            )
        except BaseException as error:
            self._fail(group, error)
            raise
        self._group = group
        return self._connection, group

    def _keep(self, connection: Connection, group: _Group) -> None:
        if group.members:
            connection.exec_driver_sql("RELEASE member")
        _require_open(connection)
        group.members += 1

    def _undo(self, connection: Connection, group: _Group) -> None:
        """Undo one thread's work.

        When that fails, as after an error that made SQLite undo everything, the whole group fails.
        """
        if not group.members:
            self._fail(group, None)
            return
        try:
            connection.exec_driver_sql("ROLLBACK TO member")
            connection.exec_driver_sql("RELEASE member")
        except BaseException as error:
            self._fail(group, error)
            # an Exception is reported to the other members; this one raises what ended its block
            if not isinstance(error, Exception):
                raise

    def _commit_or_leave_open(self) -> None:
        """Commit, unless another thread waits that can join the group.

        A thread that waits finds the lock free, even when its timeout passes at this moment.
        """
        with self._lock:
            if self._group is not None and self._waiting and self._group.members < GROUP_MAX:
                self._free()
                return
        try:
            self._commit()
        finally:
            self._release()

    def _commit(self) -> None:
        """Commit the group. Every member, the caller among them, learns of a failure."""
        group, connection = self._group, self._connection
        if group is None or connection is None:
            return
        try:
            _require_open(connection)
            connection.commit()
        except BaseException as error:
            self._fail(group, error)
            if not isinstance(error, Exception):
                raise
        else:
            self._group = None
            group.end(None)

    def _fail(self, group: _Group, error: BaseException | None) -> None:
        self._group = None
        try:
            self._drop_connection(error)
        finally:
            group.end(error)

    def _drop_connection(self, error: BaseException | None = None) -> None:
        """Undo what was not committed, and disconnect. The next writer connects again."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if error is not None:
            # after a failed commit SQLAlchemy gives back a transaction that is still open: all
            # writers would wait for it
            connection.invalidate(error)
        connection.close()

    def _release(self) -> None:
        with self._lock:
            self._free()

    def _free(self) -> None:
        self._is_writing = False
        self._lock.notify()


def _require_open(connection: Connection) -> None:
    """Raise StoreUnavailable when SQLite has rolled back by itself.

    It does so after some errors (a full disk). A commit of nothing would then succeed.
    """
    driver = connection.connection.dbapi_connection
    if not driver.in_transaction:  # type: ignore[union-attr]  # the driver is sqlite3
        raise StoreUnavailable("the database rolled back the transaction")


def _reason(failure: BaseException) -> str:
    return first_line(failure.orig if isinstance(failure, exc.DBAPIError) else failure)
