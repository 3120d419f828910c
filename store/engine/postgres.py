"""Connections to PostgreSQL: all of them are made here, from one reading of the address, with the
same limits. Called by `Database` alone.

Behind a pooler such as PgBouncer, which lends a server's connection to each transaction anew,
nothing that belongs to a session can be relied on: prepared statements are not used there, and the
server's own settings bound statements.
"""

import time
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy import event, exc

from store.engine.database_url import DRIVER, parameters, without_hidden
from store.engine.timed_connection import LimitedConnection

APPLICATION = "ringback"
"""How our connections are called in PostgreSQL's pg_stat_activity."""

_GRACE_S = 1.0
"""How much longer than the server, which says why, our side of a connection waits for an answer."""

_READ_ONLY = "25006"  # SQLSTATE
_REFUSED_BY_A_POOLER = "unsupported startup parameter"


class Connector:
    """Makes connections to one address: the pool's, and those that live outside of it."""

    def __init__(self, url: sa.URL, timeout_s: float):
        self._limit_s = timeout_s + _GRACE_S
        self._parameters = _parameters(url, timeout_s)
        self.by_pooler = False
        """Whether a pooler stood between us and the server, the last time that somebody connected.
        """

    def connect(self, *, autocommit: bool = False) -> LimitedConnection:
        """Raises psycopg.Error, whose words hold nothing of the address that must not be shown."""
        try:
            made = self._opened()
        except psycopg.Error as error:
            if (words := without_hidden(str(error), self._parameters)) == str(error):
                raise
            raise type(error)(words) from None
        made.limit_s = self._limit_s
        (process,) = made.execute("SELECT pg_backend_pid()").fetchone() or (None,)
        self.by_pooler = (
            process != made.info.backend_pid
        )  # a pooler answers for the server, under a number of its own
        if self.by_pooler:
            made.prepare_threshold = None
        made.autocommit = autocommit
        return made

    def _opened(self) -> LimitedConnection:
        try:
            return LimitedConnection.connect(**self._parameters, autocommit=True)
        except psycopg.OperationalError as error:
            if _REFUSED_BY_A_POOLER not in str(error):
                raise
        return LimitedConnection.connect(
            **{name: value for name, value in self._parameters.items() if name != "options"},
            autocommit=True,
        )


class Pool:
    """SQLAlchemy's engine, whose connections can be declared stale: each is replaced before it is
    used again.
    """

    def __init__(self, url: sa.URL, connector: Connector, pool_size: int, timeout_s: float):
        self.engine = sa.create_engine(
            url.set(drivername=DRIVER),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=timeout_s,
            pool_use_lifo=True,
        )
        self._fresh_since_s = float("-inf")
        event.listen(self.engine, "do_connect", lambda *_: connector.connect())
        event.listen(
            self.engine, "connect", lambda _, record: record.info.update(made_s=time.monotonic())
        )
        event.listen(self.engine, "checkout", self._require_fresh)
        event.listen(self.engine, "handle_error", _leave_read_only)

    def renew(self) -> None:
        self._fresh_since_s = time.monotonic()

    def _require_fresh(self, _connection: Any, record: Any, _proxy: Any) -> None:
        if record.info["made_s"] < self._fresh_since_s:
            raise exc.InvalidatePoolError("connections are made anew")


def _leave_read_only(context: Any) -> None:
    """A server that became read-only keeps its sessions, while a new connection may lead to the new
    primary: all go over to it.
    """
    if getattr(context.original_exception, "sqlstate", None) == _READ_ONLY:
        context.is_disconnect = True


def _parameters(url: sa.URL, timeout_s: float) -> dict[str, Any]:
    """Every wait has its limit, the network's included. Nothing is compiled: that takes longer than
    any statement of ours.

    What the address says goes before what we would say, but for what a text must be.
    """
    ms = int(timeout_s * 1000)
    given = parameters(url)
    limits = f"-c statement_timeout={ms} -c lock_timeout={ms} -c idle_in_transaction_session_timeout={4 * ms} -c jit=off"
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
        # whatever the database keeps: without it one in SQL_ASCII answers bytes
        "client_encoding": "utf8",
    }
