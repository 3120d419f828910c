"""SQLite's one writer: threads that meet here share a commit.

A commit waits for the disk, which takes longer than what most transactions do. So whoever finishes
while others wait leaves the transaction open to the next of them, and is told when the last one has
committed for all. Each stands by itself: what one raises undoes only its own work. However a turn
ends, the group is then committed, undone, or another's turn to end.
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

    def outcome(self, limit_s: float) -> None:
        """Wait for the commit. Raises StoreUnavailable: whose fault it was is not known, so each
        may try again.
        """
        if not self._ended.wait(limit_s):
            raise StoreUnavailable("the commit takes too long: it may have happened or not")
        if self._failure is not None:
            raise StoreUnavailable(
                f"the commit failed: {_reason(self._failure)}"
            ) from self._failure


class GroupCommit:
    """Keeps one connection: taking one from the pool each time costs a third of a small
    transaction.
    """

    def __init__(self, engine: sa.Engine, timeout_s: float):
        self._engine, self._timeout_s = engine, timeout_s
        self._line = threading.Condition(threading.Lock())  # guards the next two
        self._waiting = 0
        self._taken = False
        self._connection: Connection | None = None
        self._group: _Group | None = None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Committed, with whoever joined, when this returns. Raises what the block raises,
        SQLAlchemy's errors, StoreUnavailable.
        """
        if not self._take_turn():
            raise StoreUnavailable("another writer keeps the database")
        group = yield from self._in_turn()
        group.outcome(GROUP_MAX * self._timeout_s)

    def close(self) -> None:
        """One who still writes keeps the connection, and closes it by ending."""
        if self._take_turn():
            try:
                self._commit()
                self._drop_connection()
            finally:
                self._pass_on()

    def _take_turn(self) -> bool:
        with self._line:
            self._waiting += 1
            try:
                free = self._line.wait_for(lambda: not self._taken, self._timeout_s)
            finally:
                self._waiting -= 1
            if free:
                self._taken = True
            return free

    def _in_turn(self) -> Generator[Connection, None, _Group]:
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
            self._end_turn()

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
        """The work of one. When that fails, as after an error that made SQLite undo everything, the
        group's is lost.
        """
        if not group.members:
            self._fail(group, None)
            return
        try:
            connection.exec_driver_sql("ROLLBACK TO member")
            connection.exec_driver_sql("RELEASE member")
        except BaseException as error:
            self._fail(group, error)
            if not isinstance(
                error, Exception
            ):  # else what ended the turn is raised, and the others are told of this
                raise

    def _end_turn(self) -> None:
        """Leave the group open to who waits: one who does will find the turn free, even as its
        patience ends.
        """
        with self._line:
            if self._group is not None and self._waiting and self._group.members < GROUP_MAX:
                self._free()
                return
        try:
            self._commit()
        finally:
            self._pass_on()

    def _commit(self) -> None:
        """Its failure is told to every member, of which the caller is one."""
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
        """Undoes what was not committed; the next writer connects anew."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if (
            error is not None
        ):  # after a failed commit SQLAlchemy gives back a transaction that is still open: all writers would wait for it
            connection.invalidate(error)
        connection.close()

    def _pass_on(self) -> None:
        with self._line:
            self._free()

    def _free(self) -> None:
        self._taken = False
        self._line.notify()


def _require_open(connection: Connection) -> None:
    """After some errors (a full disk) SQLite undoes all by itself, and a commit of nothing
    succeeds. Raises StoreUnavailable.
    """
    if not connection.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr]  # the driver is sqlite3
        raise StoreUnavailable("the database gave this transaction up")


def _reason(failure: BaseException) -> str:
    return first_line(failure.orig if isinstance(failure, exc.DBAPIError) else failure)
