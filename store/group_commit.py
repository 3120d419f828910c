"""SQLite's one writer: threads that meet here share a commit.

A commit waits for the disk, which takes longer than what most transactions do. So whoever finishes while others wait leaves
the transaction open to the next of them, and is told when the last one has committed for all. Each stands by itself: what
one raises undoes only its own work.
"""

import contextlib
import threading
from collections.abc import Generator, Iterator

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection

GROUP_MAX = 4
"""Transactions per commit. More: fewer waits for the disk, but the first waits for more of the others' work."""


class _Group:
    """An open transaction of the database, and how many threads' work it holds."""

    __slots__ = ("committed", "failure", "members")

    def __init__(self) -> None:
        self.members = 0
        self.committed = threading.Event()
        self.failure: exc.SQLAlchemyError | None = None

    def end(self, failure: exc.SQLAlchemyError | None) -> None:
        self.failure = failure
        self.committed.set()


class GroupCommit:
    """Keeps one connection: taking one from the pool each time costs a third of a small transaction."""

    def __init__(self, engine: sa.Engine):
        self._engine = engine
        self._turn = threading.Lock()
        self._counting = threading.Lock()
        self._waiting = 0
        self._connection: Connection | None = None
        self._group: _Group | None = None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Committed, with whoever joined, when this returns. Raises what the block raises, and SQLAlchemy's errors."""
        group = yield from self._in_turn()
        # Whoever left it open did so for a thread that stood in line and must come; each of its statements has a limit.
        group.committed.wait()
        if group.failure is not None:
            raise group.failure

    def close(self) -> None:
        with self._turn:
            self._drop_connection()

    def _in_turn(self) -> Generator[Connection, None, _Group]:
        with self._counting:
            self._waiting += 1
        with self._turn:
            with self._counting:
                self._waiting -= 1
            connection, group = self._begin_or_join()
            try:
                yield connection
                self._keep(connection, group)
            except BaseException:
                self._undo(connection, group)
                raise
            finally:
                self._commit_unless_left_open(connection, group)
            return group

    def _begin_or_join(self) -> tuple[Connection, _Group]:
        if self._connection is None:
            self._connection = self._engine.connect()
        if self._group is None:
            try:
                self._connection.exec_driver_sql("BEGIN IMMEDIATE")
            except BaseException:
                self._drop_connection()
                raise
            self._group = _Group()
        else:
            self._connection.exec_driver_sql("SAVEPOINT member")
        return self._connection, self._group

    def _keep(self, connection: Connection, group: _Group) -> None:
        if group.members:
            connection.exec_driver_sql("RELEASE member")
        group.members += 1

    def _undo(self, connection: Connection, group: _Group) -> None:
        """The work of one. When that fails, as after an error that made SQLite undo everything, the group's is lost."""
        if not group.members:
            self._fail(group, None)
            return
        try:
            connection.exec_driver_sql("ROLLBACK TO member")
            connection.exec_driver_sql("RELEASE member")
        except exc.SQLAlchemyError as error:
            self._fail(group, error)

    def _commit_unless_left_open(self, connection: Connection, group: _Group) -> None:
        if self._group is None or (self._waiting and group.members < GROUP_MAX):
            return
        try:
            connection.commit()
        except exc.SQLAlchemyError as error:
            self._fail(group, error)
        else:
            self._group = None
            group.end(None)

    def _fail(self, group: _Group, error: exc.SQLAlchemyError | None) -> None:
        self._group = None
        self._drop_connection()
        group.end(error)

    def _drop_connection(self) -> None:
        """Undoes what was not committed; the next writer connects anew."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
