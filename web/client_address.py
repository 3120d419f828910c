"""Where a request came from: the peer, or whom a trusted proxy speaks for. Pure but for the environ
that is passed in.

A proxy appends the address that it saw, so the list is read from its end: the first that is no
trusted proxy's is the caller's, and whatever stands before it was said by the caller. Called for
the request log, the operation log and damping.
"""

import ipaddress
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from schemas.texts import from_bytes
from schemas.tokens.target_policy import Address, Network

_FOR = re.compile(r'(?:^|[;,])\s*for=(?:"([^"]*)"|([^;,"\s]*))', re.IGNORECASE)
_MOST_HOPS = 20


def client_address(environ: dict[str, Any], trusted: Sequence[Network]) -> str:
    """An IP address; empty for a peer that has none (a Unix socket) and speaks for nobody."""
    peer = str(environ.get("REMOTE_ADDR") or "")
    if not trusted:
        return peer
    nearest = peer
    for hop in (peer, *_forwarded(environ)):
        address = _address(hop)
        if address is None:
            # a name, `unknown`, or nonsense: whoever is nearer to us is the last that is known
            return nearest
        nearest = str(address)
        if not is_within(address, trusted):
            return nearest
    return nearest


def is_from_proxy(environ: dict[str, Any], trusted: Sequence[Network]) -> bool:
    """Whether the peer may say on whose behalf it asks."""
    address = _address(str(environ.get("REMOTE_ADDR") or ""))
    return address is not None and is_within(address, trusted)


def is_within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def text_of(native: str) -> str:
    """Of a header or a path: PEP 3333 hands bytes on as if they were Latin-1."""
    return native if native.isascii() else from_bytes(bytes_of(native))


def bytes_of(native: str) -> bytes:
    """As they came."""
    return native.encode("latin-1", errors="backslashreplace")


def _forwarded(environ: dict[str, Any]) -> Iterator[str]:
    """The nearest first. `X-Forwarded-For` where there is one: a proxy that speaks it hands a
    caller's `Forwarded` (RFC 7239) on unread.
    """
    if said := environ.get("HTTP_X_FORWARDED_FOR"):
        hops = said.split(",")
    else:
        hops = [quoted or bare for quoted, bare in _FOR.findall(environ.get("HTTP_FORWARDED", ""))]
    yield from (hop.strip() for hop in reversed(hops[-_MOST_HOPS:]))


@lru_cache(4096)
def _address(text: str) -> Address | None:
    """`192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]:4711`."""
    host = (
        text.partition("]")[0][1:]
        if text.startswith("[")
        else text.partition(":")[0]
        if text.count(":") == 1
        else text
    )
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, ipaddress.IPv6Address) else address
