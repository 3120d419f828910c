"""The policy for callbacks: which addresses may be called, which URLs and headers may be saved.

Pure: no DNS, no sockets. The sender calls `address_refusal` for every address before it connects,
and that is the check that counts (docs/invariants.md#addresses-are-judged-at-connect). `url_fault`
and `header_faults` give an early answer to the person who saves a callback. Every refusal says what
to do.
"""

import functools
import ipaddress
import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from schemas.errors import Fault
from schemas.texts import shortened

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_URL_LENGTH = 2048
"""Characters of a callback's URL. Larger: every process holds more in memory."""

MAX_HEADERS = 20
"""Headers of a callback. Larger: every process holds more in memory."""

MAX_HEADER_VALUE_BYTES = 4096
"""Bytes of a header's value. Larger: receivers refuse requests whose headers are too large."""


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Read CIDRs such as `127.0.0.0/8`, or single addresses. Raises ValueError for a wrong one."""
    return tuple(_parse_network(text.strip()) for text in texts)


def _parse_network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(
            f"{shortened(text)!r} is not a network such as 10.1.0.0/16 or fd00::/8 ({error})"
        ) from None


# `ipaddress.is_global` allows too much (multicast, 6to4, NAT64, a cloud's metadata service), hence
# these lists.
_DENIED = parse_networks(
    [
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
        "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        "168.63.129.16/32", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
    ]
)  # fmt: skip
# all addresses that have been allocated for use on the internet
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
_LOCALHOST = (ipaddress.IPv4Address("127.0.0.1"), ipaddress.IPv6Address("::1"))

_URL_CHARACTERS = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]*")  # RFC 3986, section 2
_TARGET = re.compile(r"[/?]")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


@dataclass(frozen=True, slots=True)
class TargetPolicy:
    """What the operator allows in addition to public addresses and TLS."""

    allow: tuple[Network, ...] = ()
    """Networks that may be called although they are not public."""

    allow_http: bool = False
    """Whether callbacks may use `http://`."""

    def address_refusal(self, address: str | Address) -> str | None:
        """Return why an address may not be called, or None. An IPv4 address inside an IPv6 address
        is judged as an IPv4 address.
        """
        ip = _unwrapped(ipaddress.ip_address(address))
        if self._is_allowed(ip) or _is_public(ip):
            return None
        return (
            f"{ip} is not a public address: callbacks reach it only if RINGBACK_ALLOW_TARGETS"
            " lists it"
        )

    def url_fault(self, url: str) -> str | None:
        """Return why a callback URL cannot be saved, or None. A name is not looked up: its
        addresses are judged at each connection.
        """
        if fault := _spelling_fault(url):
            return fault
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:  # its text may repeat a part of a password
            return "the URL cannot be read: check its host and its port, a number up to 65535"
        if fault := _parts_fault(parts, port):
            return fault
        return self._host_fault(
            parts.scheme, parts.hostname or "", is_bracketed=parts.netloc.startswith("[")
        )

    def _host_fault(self, scheme: str, host: str, *, is_bracketed: bool) -> str | None:
        try:
            addresses = _addresses(host, is_bracketed=is_bracketed)
        except ValueError as error:
            return str(error)
        refusals = [self.address_refusal(ip) for ip in addresses]
        if refusals and all(refusals):
            return refusals[0]
        if (
            scheme == "https"
            or self.allow_http
            or any(ip.is_loopback and self._is_allowed(ip) for ip in addresses)
        ):
            return None
        return "http:// is not allowed: use https://, or set RINGBACK_ALLOW_HTTP=true"

    def _is_allowed(self, ip: Address) -> bool:
        return any(ip in network for network in self.allow)


@functools.lru_cache(4096)
def target_in(url: str) -> str:
    """Return the request target of a saved URL: path and query exactly as they were saved."""
    rest = url.partition("://")[2].partition("#")[0]
    match = _TARGET.search(rest)
    target = rest[match.start() :] if match else ""
    return target if target.startswith("/") else f"/{target}"


def _unwrapped(ip: Address) -> Address:
    return ip.ipv4_mapped or ip if isinstance(ip, ipaddress.IPv6Address) else ip


def _is_public(ip: Address) -> bool:
    if ip.version == 6 and ip not in _PUBLIC_V6:
        return False
    return not any(ip in network for network in _DENIED)


def _spelling_fault(url: str) -> str | None:
    if len(url) > MAX_URL_LENGTH:
        return f"the URL is longer than {MAX_URL_LENGTH} characters: shorten it"
    if "#" in url:
        return "the URL has a fragment (#…), which is never sent: remove it"
    match = _URL_CHARACTERS.match(url)
    assert match is not None, "the pattern matches the empty text"
    rest = url[match.end() :]
    if not rest:
        return None
    if rest[0].isspace() or not rest[0].isprintable():
        return (
            f"the URL holds white space or a control character ({rest[0]!a}): remove it, or write"
            " it percent-encoded, such as %20"
        )
    return (
        f"the URL holds the character {rest[0]}: write a name in its ASCII form (xn--…), anything"
        " else percent-encoded"
    )


def _parts_fault(parts: SplitResult, port: int | None) -> str | None:
    if parts.scheme not in ("http", "https"):
        return "the URL must begin with https:// (or http://)"
    if not parts.hostname:
        return "the URL names no host: write it as https://host/path"
    if "@" in parts.netloc:
        return "the URL holds credentials: send them in a header of the callback instead"
    if port == 0:
        return "the port must be between 1 and 65535"
    return None


def _addresses(host: str, *, is_bracketed: bool) -> tuple[Address, ...]:
    """Return the addresses that `host` spells; none for a name. Raises ValueError saying what is
    wrong with the host.
    """
    if is_bracketed:
        return (_bracketed(host),)
    host = host.removesuffix(".")
    if host == "localhost":
        return _LOCALHOST
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        return (_numeric(host),)
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in host.split(".")):
        raise ValueError(f"{shortened(host)!r} is not a host name")
    return ()


def _bracketed(host: str) -> Address:
    if "%" in host:
        raise ValueError("an address must not name a zone (%…): it means nothing elsewhere")
    return _unwrapped(ipaddress.IPv6Address(host))


def _numeric(host: str) -> Address:
    """Read an IPv4 address in any form that resolvers accept: 127.1, 0x7f.0.0.1, 0177.0.0.1,
    2130706433.
    """
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        raise ValueError(f"{shortened(host)!r} is neither an address nor a name") from None


HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, section 5.6.2
HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?")
_RESERVED_NAMES = frozenset(
    {
        "content-type", "content-length", "host", "user-agent", "connection",
        "transfer-encoding", "expect", "te", "trailer", "upgrade", "keep-alive",
    }
)  # fmt: skip
_RESERVED_PREFIXES = ("webhook-", "ringback-", "proxy-")


def header_faults(headers: Mapping[str, str], at: str = "/headers") -> list[Fault]:
    """Return what is wrong with a callback's headers; `at` is the pointer to them. Faults never
    show a value, because values are secrets.
    """
    faults = (
        [Fault(f"a callback has at most {MAX_HEADERS} headers", at)]
        if len(headers) > MAX_HEADERS
        else []
    )
    seen: set[str] = set()
    for name, value in headers.items():
        if fault := _name_fault(name, seen) or _value_fault(value):
            faults.append(Fault(fault, f"{at}/{name.replace('~', '~0').replace('/', '~1')}"))
        seen.add(name.lower())
    return faults


def _name_fault(name: str, seen: set[str]) -> str | None:
    lowered = name.lower()
    if not HEADER_NAME.fullmatch(name):
        return "a header name is made of letters, digits and -"
    if lowered in _RESERVED_NAMES or lowered.startswith(_RESERVED_PREFIXES):
        return f"{lowered} is set by Ringback: choose another name"
    return (
        f"{lowered} is given twice: names do not differ by upper and lower case"
        if lowered in seen
        else None
    )


def _value_fault(value: str) -> str | None:
    if len(value) > MAX_HEADER_VALUE_BYTES:
        return f"a header value holds at most {MAX_HEADER_VALUE_BYTES} bytes"
    return (
        None
        if HEADER_VALUE.fullmatch(value)
        else "a header value is visible ASCII, with spaces only inside"
    )
