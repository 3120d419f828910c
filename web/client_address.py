"""The address of a request's client: the peer, or the client of a trusted proxy. Pure, apart from
the environ that is passed in.

Each proxy appends the address that it saw, so the list is read from its end. The first address that
is not a trusted proxy's is the client's; the addresses before it are the client's own claim. Called
for the request log, the audit log and the throttling of unknown tokens.
"""

import ipaddress
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from wsgiref.types import WSGIEnvironment

from schemas.texts import from_bytes
from schemas.tokens.target_policy import Address, Network

_FOR = re.compile(r'(?:^|[;,])\s*for=(?:"([^"]*)"|([^;,"\s]*))', re.IGNORECASE)
_MAX_HOPS = 20


def client_address(environ: WSGIEnvironment, trusted: Sequence[Network]) -> str:
    """Return an IP address, or "" for a peer without one (a Unix socket) that forwards none."""
    peer = str(environ.get("REMOTE_ADDR") or "")
    if not trusted:
        return peer
    nearest = peer
    for hop in (peer, *_forwarded(environ)):
        address = _address(hop)
        if address is None:
            # A name, `unknown`, or nonsense: the hop before it is the last known address.
            return nearest
        nearest = str(address)
        if not is_within(address, trusted):
            return nearest
    return nearest


def is_from_proxy(environ: WSGIEnvironment, trusted: Sequence[Network]) -> bool:
    """Whether the peer is a trusted proxy, which may make statements about its clients."""
    address = _address(str(environ.get("REMOTE_ADDR") or ""))
    return address is not None and is_within(address, trusted)


def is_within(address: Address, networks: Sequence[Network]) -> bool:
    """Whether one of the networks contains the address."""
    return any(address in network for network in networks)


def text_of(native: str) -> str:
    """Return a header or path as text. WSGI passes its bytes on as if they were Latin-1 (PEP
    3333).
    """
    return native if native.isascii() else from_bytes(bytes_of(native))


def bytes_of(native: str) -> bytes:
    """Return a header or path as the bytes that were received."""
    return native.encode("latin-1", errors="backslashreplace")


def _forwarded(environ: WSGIEnvironment) -> Iterator[str]:
    """Yield the forwarded addresses, the nearest first. `X-Forwarded-For` wins over `Forwarded`
    (RFC 7239): a proxy that writes it passes a client's own `Forwarded` on unread.
    """
    if forwarded_for := environ.get("HTTP_X_FORWARDED_FOR"):
        hops = forwarded_for.split(",")
    else:
        hops = [quoted or bare for quoted, bare in _FOR.findall(environ.get("HTTP_FORWARDED", ""))]
    yield from (hop.strip() for hop in reversed(hops[-_MAX_HOPS:]))


@lru_cache(4096)
def _address(text: str) -> Address | None:
    """Parse `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1` or `[2001:db8::1]:4711`."""
    if text.startswith("["):
        host = text.partition("]")[0][1:]
    else:
        host = text.partition(":")[0] if text.count(":") == 1 else text
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, ipaddress.IPv6Address) else address
