"""Name resolution, apart from libcurl: a name whose servers do not answer must delay only its own
callbacks (docs/decisions/0006-name-resolution.md).

There is one look-up per name at a time, each on a thread of its own. Does not know HTTP and judges
no address. Only the sender calls it, on the event loop's thread.
"""

import asyncio
import contextlib
import functools
import socket
import threading
from collections import deque
from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec

CACHED_S = 30.0
"""Seconds for which addresses are cached. Larger: stale addresses are used longer after a move.
Smaller: more look-ups.
"""

FAILURE_CACHED_S = 2.0
"""Seconds for which a failure is cached. Larger: a name that was just published fails for longer.
Smaller: more queries for names that do not exist.
"""

MAX_LOOK_UPS = 256
"""Look-ups at once, each on a thread. Larger: more memory while names hang. Smaller: fewer hanging
names delay all other look-ups.
"""

_CHECK_SERVER = "Check the name, and the name server that Ringback uses"

LookUp = Callable[[str], tuple[str, ...]]
"""A blocking function that returns the addresses of a name, best first. Raises OSError or
UnicodeError saying what is wrong with the name.
"""


class Resolution(msgspec.Struct, frozen=True, eq=False):
    """The result of one look-up. Equal only to itself, even if the next look-up finds the same."""

    addresses: tuple[str, ...]
    """The addresses, best first; empty after a failure."""

    error: str | None = None
    """Why there are no addresses, and what to do; None after a success."""


def addresses_of(host: str) -> tuple[str, ...]:
    """Return the addresses of a name as the system's resolver finds them. Raises OSError."""
    answers = socket.getaddrinfo(host.encode("ascii"), None, type=socket.SOCK_STREAM)
    # without the zone (%eth0), which libcurl cannot read
    return tuple(str(sockaddr[0]).partition("%")[0] for *_, sockaddr in answers)


@functools.lru_cache(4096)
def host_to_resolve(url: str) -> tuple[str, int] | None:
    """Return the host name of a URL and its port. Return None when no look-up is needed: for an
    address in any spelling, and for `localhost` (RFC 6761).
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    bare = host.removesuffix(".")
    if ":" in host or bare == "localhost" or bare.endswith(".localhost") or _is_number(bare):
        return None
    return host, parts.port or (443 if parts.scheme == "https" else 80)


def _is_number(host: str) -> bool:
    try:
        return bool(socket.inet_aton(host))
    except OSError:
        return False


def _error(host: str, error: Exception) -> str:
    errors = {
        socket.EAI_NONAME: f"the name {host} is not known. Check its spelling, and that it is "
        "published",
        socket.EAI_NODATA: f"the name {host} has no address. Publish one for it",
        socket.EAI_AGAIN: f"no name server answers for {host} at present. Check the name, and the "
        "name server that Ringback uses",
    }
    known = errors.get(error.errno or 0) if isinstance(error, socket.gaierror) else None
    cause = getattr(error, "strerror", None) or error
    return known or f"the name {host} could not be resolved ({cause}). {_CHECK_SERVER}"


class Resolver:
    """The resolver of one event loop, with a cache."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, limit_s: float, look_up: LookUp = addresses_of
    ):
        """Start with an empty cache. A caller waits at most `limit_s` seconds for a name; the
        look-up itself may take longer.
        """
        self._loop, self._limit_s, self._look_up = loop, limit_s, look_up
        self._cache: dict[str, Resolution] = {}
        self._pending: dict[str, asyncio.Future[Resolution]] = {}
        self._queue: deque[str] = deque()
        self._looking_up = 0

    def cached(self, host: str) -> Resolution | None:
        """Return the cached result, or None."""
        return self._cache.get(host)

    async def resolve(self, host: str) -> Resolution:
        """Return the cached result, or look the name up within the limit. Never raises."""
        if cached := self._cache.get(host):
            return cached
        pending = self._pending.get(host) or self._enqueue(host)
        try:
            async with asyncio.timeout(self._limit_s):
                return await asyncio.shield(pending)  # other callers wait for it, too
        except TimeoutError:
            error = f"the name {host} was not resolved within {self._limit_s:g} s. {_CHECK_SERVER}"
            return Resolution((), error)

    def _enqueue(self, host: str) -> asyncio.Future[Resolution]:
        pending = self._pending[host] = self._loop.create_future()
        self._queue.append(host)
        self._look_up_more()
        return pending

    def _look_up_more(self) -> None:
        while self._queue and self._looking_up < MAX_LOOK_UPS:
            self._looking_up += 1
            host = self._queue.popleft()
            try:  # a daemon thread: the end of the process does not wait for a name
                threading.Thread(
                    target=self._run, args=(host,), name=f"look-up {host}", daemon=True
                ).start()
            except RuntimeError as error:
                failed = Resolution((), f"{host} cannot be looked up: {error}")
                self._loop.call_soon(self._finish, host, failed)

    def _run(self, host: str) -> None:
        """Look up one name, on a thread of its own."""
        try:
            resolution = Resolution(self._look_up(host))
        except Exception as error:  # noqa: BLE001 - any error must reach the callers
            resolution = Resolution((), _error(host, error))
        with contextlib.suppress(RuntimeError):  # the loop is closed: no caller waits any more
            self._loop.call_soon_threadsafe(self._finish, host, resolution)

    def _finish(self, host: str, resolution: Resolution) -> None:
        self._looking_up -= 1
        self._cache[host] = resolution
        cached_s = FAILURE_CACHED_S if resolution.error else CACHED_S
        self._loop.call_later(cached_s, self._cache.pop, host)
        self._pending.pop(host).set_result(resolution)
        self._look_up_more()
