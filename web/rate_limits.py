"""How many requests are let through: token buckets, and the header fields that tell a client of its
own. Pure: the clock is passed in.

A bucket is one number, the moment at which it will be full again (the generic cell rate algorithm):
nothing refills it, and one that is full need not be remembered. Counts are those of one process.
Called by `authentication`.
"""

import ipaddress
import math
import threading
from collections import OrderedDict
from typing import NamedTuple

MOST_KEYS = 100_000
"""Buckets that are remembered: some 20 MB. Fewer: a caller who comes from more addresses than that
is forgotten sooner.
"""

UNKNOWN_TOKENS, UNKNOWN_TOKENS_S = 100, 60
"""How many unknown tokens an address may try in how many seconds. More: whoever guesses is answered
longer. Fewer: a customer's whole office is told to wait for one mistyped token.
"""

_S, _MS = 10**9, 10**6  # nanoseconds


class Level(NamedTuple):
    """What a request found: how many more there are just now, when the bucket is full again, and
    how long to wait; 0: let through.
    """

    left: int
    full_in_ns: int
    wait_ns: int


class Buckets:
    """One per key, full at first: `burst` requests, and another every `interval_ns`. Thread-safe.
    """

    def __init__(self, interval_ns: int, burst: int, most: int = MOST_KEYS):
        self._interval_ns, self._depth_ns, self._most = interval_ns, interval_ns * burst, most
        self._full_at_ns: OrderedDict[str, int] = (
            OrderedDict()
        )  # those that were taken from last are last
        self._lock = threading.Lock()

    def wait_ns(self, key: str, now_ns: int) -> int:
        """How long until there is something in it; 0: there is. Takes nothing."""
        return self._wait_ns(self._full_in_ns(key, now_ns))

    def take(self, key: str, now_ns: int) -> Level:
        """One out of it, where there is one."""
        with self._lock:
            full_in_ns = self._full_in_ns(key, now_ns)
            if wait_ns := self._wait_ns(full_in_ns):
                return Level(0, full_in_ns, wait_ns)
            full_in_ns += self._interval_ns
            self._full_at_ns[key] = now_ns + full_in_ns
            self._full_at_ns.move_to_end(key)
            if len(self._full_at_ns) > self._most:
                self._full_at_ns.popitem(last=False)
        return Level((self._depth_ns - full_in_ns) // self._interval_ns, full_in_ns, 0)

    def _full_in_ns(self, key: str, now_ns: int) -> int:
        return max(0, self._full_at_ns.get(key, now_ns) - now_ns)

    def _wait_ns(self, full_in_ns: int) -> int:
        return max(0, full_in_ns + self._interval_ns - self._depth_ns)


class RateLimit:
    """So many requests a second of each token, and at once as many as a second brings, at least
    one.
    """

    def __init__(self, per_second: float):
        self.per_second = per_second
        burst = max(1, int(per_second))
        self._buckets = Buckets(math.ceil(_S / per_second), burst)
        self._policy = f'"default";q={burst};w={math.ceil(max(1, 1 / per_second))}'

    def take(self, key: str, now_ns: int) -> tuple[Level, list[tuple[str, str]]]:
        """With the header fields of the answer (draft-ietf-httpapi-ratelimit-headers-10)."""
        level = self._buckets.take(key, now_ns)
        told = f'"default";r={level.left};t={in_seconds(level.full_in_ns)}'
        return level, [("RateLimit-Policy", self._policy), ("RateLimit", told)]


def damping() -> Buckets:
    """Of unknown tokens, by `one_caller`."""
    return Buckets(UNKNOWN_TOKENS_S * _S // UNKNOWN_TOKENS, UNKNOWN_TOKENS)


def one_caller(address: str) -> str:
    """What somebody has who has this address: of IPv6 the 64 bits of a network, since he may choose
    the others.
    """
    if ":" not in address:
        return address
    try:
        return str(ipaddress.IPv6Network((address.partition("%")[0], 64), strict=False))
    except ValueError:
        return address


def in_seconds(wait_ns: int) -> int:
    """Whole ones, as `Retry-After` wants them, and never 0: the remainder of a division is not
    worth one.
    """
    return max(1, math.ceil(wait_ns // _MS / 1000))
