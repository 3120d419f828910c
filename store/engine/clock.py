"""The store's clock, by which leases run, without asking it in every transaction.

PostgreSQL is asked once a second; in between our monotonic clock, which nobody sets, counts on from
its answer. SQLite's clock is this machine's, which somebody may set: it is followed, but never in
leaps.
"""

import threading
import time
from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from schemas.times import UnixMs

ASK_EVERY_S = 1.0
"""Longer: a step of the database's clock, such as a fail-over brings, is noticed later. Shorter: a
round trip more often.
"""

SERVER_MS = sa.literal_column(
    "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)", sa.BigInteger
)
"""PostgreSQL's clock at the moment when this is evaluated."""

_NOW = sa.select(SERVER_MS)

MOST_DRIFT = 0.1
"""How much faster or slower than time itself the clock of an embedded store runs while it follows
one that was set. Larger: a jump hastens or delays retries by more than their own jitter. Smaller:
times in lists are wrong for longer after it.
"""


class SteadyClock:
    """Follows the wall clock, without its leaps: a retry that is due in five seconds is so after
    five seconds, within the drift.

    Thread-safe. What is asked of it is milliseconds since 1970; it never goes back.
    """

    def __init__(self, wall_ns: Callable[[], int], since_boot_s: Callable[[], float]):
        self._wall_ns, self._since_boot_s = wall_ns, since_boot_s
        self._lock = threading.Lock()
        self._at_s, self._now_ms = since_boot_s(), wall_ns() / 1e6

    def now_ms(self) -> int:
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
    """Seconds on a clock that nobody sets and that counts on while the machine sleeps, where there
    is one.
    """
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class StoreClock:
    """Thread-safe: threads that ask at once get the same answer or a newer one."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic):
        self._monotonic = monotonic
        self._local = SteadyClock(time.time_ns, since_boot_s)
        self._asked: tuple[float, int] | None = None  # when, and what was answered

    def now(self, connection: Connection) -> UnixMs:
        if connection.dialect.name == "sqlite":
            return UnixMs(self._local.now_ms())
        if self._asked is None or self._monotonic() - self._asked[0] >= ASK_EVERY_S:
            answered_ms = connection.scalar(_NOW) or 0
            self._asked = (self._monotonic(), answered_ms)
        return self.known()

    def known(self) -> UnixMs:
        """By the last answer, without asking; this machine's clock before the first, and where that
        is the store's.
        """
        if self._asked is None:
            return UnixMs(self._local.now_ms())
        at_s, answered_ms = self._asked
        return UnixMs(answered_ms + int((self._monotonic() - at_s) * 1000))
