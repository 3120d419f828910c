"""A PostgreSQL connection that does not wait for ever. Made by `Database` alone.

The server's own limits (`statement_timeout`) and TCP's (`tcp_user_timeout`) notice a slow statement
and a dead peer, but not a server that is merely silent: one that hangs, with a kernel that goes on
acknowledging what it is sent.
"""

from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus

from store.engine.errors import first_line

_Value = TypeVar("_Value")

INTERVAL_S = 0.1  # psycopg's own: how often a wait looks up


class LimitedConnection(psycopg.Connection[Any]):
    """`limit_s` bounds each wait for an answer; connecting has `connect_timeout`. What had no
    answer by then is closed.
    """

    limit_s = 6.0

    def wait(
        self, gen: PQGen[_Value], interval: float = INTERVAL_S, timeout: float | None = None
    ) -> _Value:
        """Every exchange with the server goes through here. Raises psycopg.OperationalError."""
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, self.limit_s)
        except psycopg.OperationalError as error:
            if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise
            # the answer may still come, and would be taken for that to the next question
            self.pgconn.finish()
            raise psycopg.OperationalError(
                f"no answer within {self.limit_s:g} s ({first_line(error)})"
            ) from error
