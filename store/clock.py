"""The store's clock, by which leases run, without asking it in every transaction.

PostgreSQL is asked once a second; in between our monotonic clock, which nobody sets, counts on from its answer. SQLite's
clock is this machine's.
"""

import time
from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from schemas.times import UnixMs

ASK_EVERY_S = 1.0
"""Longer: a step of the database's clock, such as a fail-over brings, is noticed later. Shorter: a round trip more often."""

_NOW = sa.text("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)")


class StoreClock:
    """Thread-safe: threads that ask at once get the same answer or a newer one."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic):
        self._monotonic = monotonic
        self._asked: tuple[float, int] | None = None  # when, and what was answered

    def now(self, connection: Connection) -> UnixMs:
        if connection.dialect.name == "sqlite":
            return UnixMs(time.time_ns() // 1_000_000)
        at_s, answered_ms = self._asked or (float("-inf"), 0)
        now_s = self._monotonic()
        if now_s - at_s >= ASK_EVERY_S:
            answered_ms = connection.scalar(_NOW) or 0
            at_s = self._monotonic()
            self._asked = (at_s, answered_ms)
            now_s = at_s
        return UnixMs(answered_ms + int((now_s - at_s) * 1000))
