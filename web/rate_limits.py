"""Rate limits: token buckets, and the response headers that describe them. Pure: the clock is
passed in.

A bucket is one number, the moment at which it will be full again (the generic cell rate algorithm):
nothing has to refill it, and a full bucket need not be stored. Each process counts by itself.
Called by `authentication`.
"""

import ipaddress
import math
import threading
from collections import OrderedDict
from typing import NamedTuple

MAX_KEYS = 100_000
"""Buckets in memory: some 20 MB. Smaller: a caller with more addresses than this is forgotten
sooner.
"""

UNKNOWN_TOKENS, UNKNOWN_TOKENS_S = 100, 60
"""How many unknown tokens an address may try, in how many seconds. More: an address that guesses is
answered longer. Fewer: a whole office has to wait because of one mistyped token.
"""

_S, _MS = 10**9, 10**6  # nanoseconds


class Level(NamedTuple):
    """The state of a bucket after a request."""

    left: int
    """How many more requests are allowed now."""
    full_in_ns: int
    """Until the bucket is full again."""
    wait_ns: int
    """Until a request is allowed; 0: this one was."""


class Buckets:
    """Token buckets by key, full at first. Thread-safe.

    A bucket allows `burst` requests, and one more every `interval_ns`. At most `max_keys` are kept.
    """

    def __init__(self, interval_ns: int, burst: int, max_keys: int = MAX_KEYS):
        self._interval_ns, self._depth_ns = interval_ns, interval_ns * burst
        self._max_keys = max_keys
        # Ordered by last use.
        self._full_at_ns: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def wait_ns(self, key: str, now_ns: int) -> int:
        """Return how long until a request is allowed; 0: now. Takes nothing from the bucket."""
        return self._wait_ns(self._full_in_ns(key, now_ns))

    def take(self, key: str, now_ns: int) -> Level:
        """Count a request, if it is allowed."""
        with self._lock:
            full_in_ns = self._full_in_ns(key, now_ns)
            if wait_ns := self._wait_ns(full_in_ns):
                return Level(0, full_in_ns, wait_ns)
            full_in_ns += self._interval_ns
            self._full_at_ns[key] = now_ns + full_in_ns
            self._full_at_ns.move_to_end(key)
            if len(self._full_at_ns) > self._max_keys:
                self._full_at_ns.popitem(last=False)
        return Level((self._depth_ns - full_in_ns) // self._interval_ns, full_in_ns, 0)

    def _full_in_ns(self, key: str, now_ns: int) -> int:
        return max(0, self._full_at_ns.get(key, now_ns) - now_ns)

    def _wait_ns(self, full_in_ns: int) -> int:
        return max(0, full_in_ns + self._interval_ns - self._depth_ns)


class RateLimit:
    """The limit of requests a second per token. A burst may be as large as one second's requests,
    and is at least one request.
    """

    def __init__(self, per_second: float):
        self.per_second = per_second
        burst = max(1, int(per_second))
        self._buckets = Buckets(math.ceil(_S / per_second), burst)
        self._policy = f'"default";q={burst};w={math.ceil(max(1, 1 / per_second))}'

    def take(self, key: str, now_ns: int) -> tuple[Level, list[tuple[str, str]]]:
        """Count a request. Returns the level and the response headers that describe it
        (draft-ietf-httpapi-ratelimit-headers-10).
        """
        level = self._buckets.take(key, now_ns)
        state = f'"default";r={level.left};t={in_seconds(level.full_in_ns)}'
        return level, [("RateLimit-Policy", self._policy), ("RateLimit", state)]


def unknown_token_throttle() -> Buckets:
    """Return new buckets for unknown tokens, by `client_network`."""
    return Buckets(UNKNOWN_TOKENS_S * _S // UNKNOWN_TOKENS, UNKNOWN_TOKENS)


def client_network(address: str) -> str:
    """Return the network that one client controls: an IPv4 address, or the /64 of an IPv6 address,
    in which the client may choose any address.
    """
    if ":" not in address:
        return address
    try:
        return str(ipaddress.IPv6Network((address.partition("%")[0], 64), strict=False))
    except ValueError:
        return address


def in_seconds(wait_ns: int) -> int:
    """Return whole seconds, rounded up from milliseconds and at least 1, as `Retry-After` needs
    them. A remainder below a millisecond does not count.
    """
    return max(1, math.ceil(wait_ns // _MS / 1000))
