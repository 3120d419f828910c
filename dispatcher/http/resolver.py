"""Finds the addresses of host names, apart from libcurl: a name that nobody answers for must delay
nobody but its own callbacks.

One look-up per name at a time, each on a thread of its own. Knows nothing of HTTP and judges no
address. Only the sender calls it, on the event loop's thread. Why so:
docs/decisions/0006-name-resolution.md.
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

KEPT_S = 30.0
"""How long found addresses are used. Larger: a receiver that moves is called in vain for longer;
smaller: more look-ups.
"""

FAILURE_KEPT_S = 2.0
"""How long a failure is. Larger: a name that was just made fails for longer; smaller: more
questions about names that do not exist.
"""

MAX_LOOK_UPS = 256
"""At once, each a thread. Larger: more memory while names hang; smaller: fewer such names and every
other waits behind them.
"""

LookUp = Callable[[str], tuple[str, ...]]
"""The addresses of a name, best first; blocks, and raises OSError or UnicodeError saying what is
wrong with the name.
"""


class Found(msgspec.Struct, frozen=True, eq=False):
    """What one look-up came to: addresses, or in words why there are none. Equal only to itself,
    also when the next finds the same.
    """

    addresses: tuple[str, ...]
    error: str | None = None


def addresses_of(host: str) -> tuple[str, ...]:
    """Ask the system, whichever way it is set up to find names."""
    answers = socket.getaddrinfo(host.encode("ascii"), None, type=socket.SOCK_STREAM)
    return tuple(
        str(sockaddr[0]).partition("%")[0] for *_, sockaddr in answers
    )  # a zone (%eth0) is nothing that libcurl can read


@functools.lru_cache(4096)
def name_in(url: str) -> tuple[str, int] | None:
    """The name to be found, and the port; None where there is none: an address in any spelling, or
    `localhost` (RFC 6761).
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


def _words(host: str, error: Exception) -> str:
    what = {
        socket.EAI_NONAME: f"the name {host} is not known. Check its spelling, and that it is published",
        socket.EAI_NODATA: f"the name {host} has no address. Publish one for it",
        socket.EAI_AGAIN: f"no name server answers for {host} just now. Check the name, and our name server",
    }
    known = what.get(error.errno or 0) if isinstance(error, socket.gaierror) else None
    return (
        known
        or f"the name {host} could not be resolved ({getattr(error, 'strerror', None) or error}). Check it, and our name server"
    )


class Resolver:
    """Belongs to one event loop. `limit_s` is how long anybody waits for a name; the look-up itself
    may take longer.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, limit_s: float, look_up: LookUp = addresses_of
    ):
        self._loop, self._limit_s, self._look_up = loop, limit_s, look_up
        self._known: dict[str, Found] = {}
        self._sought: dict[str, asyncio.Future[Found]] = {}
        self._queue: deque[str] = deque()
        self._looking_up = 0

    def known(self, host: str) -> Found | None:
        """What was found a short time ago."""
        return self._known.get(host)

    async def find(self, host: str) -> Found:
        """What is known or found within the limit; never raises."""
        if known := self._known.get(host):
            return known
        sought = self._sought.get(host) or self._seek(host)
        try:
            async with asyncio.timeout(self._limit_s):
                return await asyncio.shield(sought)  # others wait for it, too
        except TimeoutError:
            return Found(
                (),
                f"the name {host} was not resolved within {self._limit_s:g} s. Check the name, and our name server",
            )

    def _seek(self, host: str) -> asyncio.Future[Found]:
        sought = self._sought[host] = self._loop.create_future()
        self._queue.append(host)
        self._look_up_more()
        return sought

    def _look_up_more(self) -> None:
        while self._queue and self._looking_up < MAX_LOOK_UPS:
            self._looking_up += 1
            host = self._queue.popleft()
            try:  # a daemon: at the end of the process nobody waits for a name
                threading.Thread(
                    target=self._run, args=(host,), name=f"look-up {host}", daemon=True
                ).start()
            except RuntimeError as error:
                self._loop.call_soon(
                    self._keep, host, Found((), f"{host} cannot be looked up: {error}")
                )

    def _run(self, host: str) -> None:
        """On its own thread."""
        try:
            found = Found(self._look_up(host))
        except Exception as error:  # noqa: BLE001 - whatever it is, who waits must hear of it
            found = Found((), _words(host, error))
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._keep, host, found)

    def _keep(self, host: str, found: Found) -> None:
        self._looking_up -= 1
        self._known[host] = found
        self._loop.call_later(FAILURE_KEPT_S if found.error else KEPT_S, self._known.pop, host)
        self._sought.pop(host).set_result(found)
        self._look_up_more()
