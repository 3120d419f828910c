"""A PostgreSQL connection that does not wait for ever. Created by `store.engine.postgres` alone.

The server's own limits (`statement_timeout`) and TCP's (`tcp_user_timeout`) notice a slow statement
and a dead peer. They do not notice a server that is merely silent: one that hangs, while its kernel
goes on acknowledging what it is sent.
"""

from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus

from store.engine.errors import first_line

_Value = TypeVar("_Value")

INTERVAL_S = 0.1
"""Seconds between two checks of a wait for an interrupt: psycopg's own default."""


class TimedConnection(psycopg.Connection[Any]):
    """A connection whose every wait for an answer is bounded.

    It is closed when an answer does not come in time. Connecting has `connect_timeout` instead.
    """

    answer_timeout_s = 6.0
    """Seconds that one wait for an answer may take."""

    def wait(
        self, gen: PQGen[_Value], interval: float = INTERVAL_S, timeout: float | None = None
    ) -> _Value:
        """Wait for the server's answer: every exchange goes through here.

        Raises psycopg.OperationalError.
        """
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, self.answer_timeout_s)
        except psycopg.OperationalError as error:
            if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise
            # the answer may still come, and would be taken for that to the next question
            self.pgconn.finish()
            raise psycopg.OperationalError(
                f"no answer within {self.answer_timeout_s:g} s ({first_line(error)})"
            ) from error
