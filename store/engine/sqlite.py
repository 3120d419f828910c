"""Connections to SQLite, and whether they still lead to the file of that name. Called by `Database`
alone.
"""

import sqlite3
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import event

_STATEMENTS_KEPT = 512
"""Prepared statements of a connection: writing many rows has one for each number of rows."""


class SqliteFile:
    """A database that is a file.

    A file that is open stays open whatever becomes of its name. If it was deleted, or replaced by a
    back-up, everything that is written would be gone at the end of the process.
    """

    def __init__(self, url: sa.URL, timeout_s: float):
        self._path = Path(url.database or "")
        self.lost: str | None = None
        """Why nothing can be stored here any more, and what to do; None: it can."""
        self._opened: tuple[int, int] | None = None
        arguments = {
            "timeout": timeout_s,
            "check_same_thread": False,
            "cached_statements": _STATEMENTS_KEPT,
        }
        self.engine = sa.create_engine(url, connect_args=arguments, hide_parameters=True)
        event.listen(self.engine, "connect", self._prepare)

    def check(self) -> None:
        """Set `lost` when the file is no longer in its place.

        Costs a system call: do not call it for every transaction.
        """
        if self._opened is not None and self._identity() != self._opened:
            self.lost = (
                f"the database file {self._path} was replaced or deleted while it was open: stop"
                " Ringback, put the file there again without its companions"
                f" {self._path.name}-wal and -shm, and start it"
            )

    def _prepare(self, connection: sqlite3.Connection, _record: object) -> None:
        # transactions are begun here: pysqlite would begin late and deferred
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")  # 202 means durable: a commit is on disk
        connection.execute("PRAGMA foreign_keys=ON")
        self._opened = self._opened or self._identity()

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino
