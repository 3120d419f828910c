"""Connections to PostgreSQL: all are created here, from one reading of the address, with the same
limits. Called by `Database` alone.

A pooler such as PgBouncer lends a server's connection to one transaction at a time. Behind it
nothing that belongs to a session can be relied on: prepared statements are not used there, and the
server's own settings bound statements.
"""

import time
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy import event, exc

from store.engine.database_url import DRIVER, parameters, without_hidden
from store.engine.timed_connection import TimedConnection

APPLICATION = "ringback"
"""The name of Ringback's connections in PostgreSQL's pg_stat_activity."""

_GRACE_S = 1.0
"""How much longer than the server, which says why, our side of a connection waits for an answer."""

_READ_ONLY = "25006"  # SQLSTATE
_REFUSED_BY_A_POOLER = "unsupported startup parameter"


class Connector:
    """The factory of connections to one address: the pool's, and those outside of it."""

    def __init__(self, url: sa.URL, timeout_s: float):
        self._answer_timeout_s = timeout_s + _GRACE_S
        self._parameters = _parameters(url, timeout_s)
        self.behind_pooler = False
        """Whether the latest connection led through a pooler. False before the first one."""

    def connect(self, *, autocommit: bool = False) -> TimedConnection:
        """Return a new connection.

        Raises psycopg.Error, whose text holds nothing of the address that must not be shown.
        """
        try:
            connection = self._opened()
        except psycopg.Error as error:
            if (text := without_hidden(str(error), self._parameters)) == str(error):
                raise
            raise type(error)(text) from None
        connection.answer_timeout_s = self._answer_timeout_s
        (process,) = connection.execute("SELECT pg_backend_pid()").fetchone() or (None,)
        # a pooler answers for the server, under a number of its own
        self.behind_pooler = process != connection.info.backend_pid
        if self.behind_pooler:
            connection.prepare_threshold = None
        connection.autocommit = autocommit
        return connection

    def _opened(self) -> TimedConnection:
        try:
            return TimedConnection.connect(**self._parameters, autocommit=True)
        except psycopg.OperationalError as error:
            if _REFUSED_BY_A_POOLER not in str(error):
                raise
        return TimedConnection.connect(
            **{name: value for name, value in self._parameters.items() if name != "options"},
            autocommit=True,
        )


class Pool:
    """A SQLAlchemy engine whose connections can be declared stale.

    A stale connection is replaced before it is used again.
    """

    def __init__(self, url: sa.URL, connector: Connector, pool_size: int, timeout_s: float):
        self.engine = sa.create_engine(
            url.set(drivername=DRIVER),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=timeout_s,
            pool_use_lifo=True,
            hide_parameters=True,  # they hold data of customers and hashes, and errors are logged
        )
        self._fresh_since_s = float("-inf")
        event.listen(self.engine, "do_connect", lambda *_: connector.connect())
        event.listen(
            self.engine, "connect", lambda _, record: record.info.update(made_s=time.monotonic())
        )
        event.listen(self.engine, "checkout", self._require_fresh)
        event.listen(self.engine, "handle_error", _leave_read_only)

    def renew(self) -> None:
        """Declare every connection that was opened before now stale."""
        self._fresh_since_s = time.monotonic()

    def _require_fresh(
        self, _connection: object, record: sa.pool.ConnectionPoolEntry, _proxy: object
    ) -> None:
        if record.info["made_s"] < self._fresh_since_s:
            raise exc.InvalidatePoolError("the pool's connections are being replaced")


def _leave_read_only(context: sa.engine.ExceptionContext) -> None:
    """Have all connections replaced when the server became read-only.

    Such a server keeps its sessions, while a new connection may lead to the new primary.
    """
    if getattr(context.original_exception, "sqlstate", None) == _READ_ONLY:
        context.is_disconnect = True


def _parameters(url: sa.URL, timeout_s: float) -> dict[str, Any]:
    """Return libpq's parameters, with a limit for every wait, the network's included.

    `jit` is off, because compiling takes longer than any statement here. The address overrides
    these defaults, except for the encoding of texts.
    """
    ms = int(timeout_s * 1000)
    given = parameters(url)
    limits = (
        f"-c statement_timeout={ms} -c lock_timeout={ms}"
        f" -c idle_in_transaction_session_timeout={4 * ms} -c jit=off"
    )
    several = {"target_session_attrs": "read-write"} if "," in str(given.get("host", "")) else {}
    return {
        "connect_timeout": max(2, int(timeout_s)),
        "tcp_user_timeout": ms,  # a silent peer: unanswered data ends the connection
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        **several,
        **given,
        "options": " ".join(filter(None, (limits, given.get("options")))),
        "application_name": APPLICATION,  # `store.events.pull` looks for it
        # whatever the database stores: without it one in SQL_ASCII answers bytes
        "client_encoding": "utf8",
    }
