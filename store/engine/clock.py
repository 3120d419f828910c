"""The store's clock, by which leases run, without asking the database in every transaction.

PostgreSQL is asked once a second. In between, this process's monotonic clock, which cannot be set,
counts on from the answer. SQLite's clock is this machine's, which an administrator may set: it is
followed, but never in leaps.
"""

import threading
import time
from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from schemas.times import UnixMs

ASK_EVERY_S = 1.0
"""Seconds between two questions to the database. Longer: a step of the database's clock, such as a
fail-over brings, is noticed later. Shorter: more round trips.
"""

SERVER_MS = sa.literal_column(
    "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)", sa.BigInteger
)
"""PostgreSQL's clock at the moment when the expression is evaluated, in milliseconds since 1970."""

_NOW = sa.select(SERVER_MS)

MOST_DRIFT = 0.1
"""How much faster or slower than real time the clock of an embedded store runs while it follows a
wall clock that was set. Larger: a jump hastens or delays retries by more than their own jitter.
Smaller: times in lists are wrong for longer after a jump.
"""


class SteadyClock:
    """A clock that follows the wall clock without its leaps, in milliseconds since 1970.

    A retry that is due in five seconds is due after five seconds, within the drift. The clock never
    goes back. Thread-safe.
    """

    def __init__(self, wall_ns: Callable[[], int], since_boot_s: Callable[[], float]):
        self._wall_ns, self._since_boot_s = wall_ns, since_boot_s
        self._lock = threading.Lock()
        self._at_s, self._now_ms = since_boot_s(), wall_ns() / 1e6

    def now_ms(self) -> int:
        """Return the time, having moved towards the wall clock by at most the drift."""
        with self._lock:
            at_s, before_ms = self._at_s, self._now_ms
            self._at_s = self._since_boot_s()
            elapsed_ms = (self._at_s - at_s) * 1000
            behind_ms = self._wall_ns() / 1e6 - (before_ms + elapsed_ms)
            self._now_ms += elapsed_ms + max(
                -MOST_DRIFT * elapsed_ms, min(MOST_DRIFT * elapsed_ms, behind_ms)
            )
            return int(self._now_ms)


def since_boot_s() -> float:
    """Return the seconds on a clock that cannot be set.

    Where the system has such a clock, it also counts on while the machine sleeps.
    """
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class StoreClock:
    """The clock of one store. Thread-safe.

    Threads that ask at the same time get the same answer or a newer one.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic):
        self._monotonic = monotonic
        self._local = SteadyClock(time.time_ns, since_boot_s)
        self._asked: tuple[float, int] | None = None  # when, and what was answered

    def now(self, connection: Connection) -> UnixMs:
        """Return the store's time. Asks PostgreSQL when its last answer is too old."""
        if connection.dialect.name == "sqlite":
            return UnixMs(self._local.now_ms())
        if self._asked is None or self._monotonic() - self._asked[0] >= ASK_EVERY_S:
            answered_ms = connection.scalar(_NOW) or 0
            self._asked = (self._monotonic(), answered_ms)
        return self.known()

    def known(self) -> UnixMs:
        """Return the store's time by the last answer, without asking.

        Before the first answer, and on SQLite, it is this machine's time.
        """
        if self._asked is None:
            return UnixMs(self._local.now_ms())
        at_s, answered_ms = self._asked
        return UnixMs(answered_ms + int((self._monotonic() - at_s) * 1000))
