"""How single settings are written: durations, addresses, networks, lists. Text in, value out;
ValueError says what was expected.

Called by `ringback.settings` alone.
"""

import datetime as dt
import ipaddress
import re
import socket
from typing import Annotated, NamedTuple
from urllib.parse import urlsplit

from pydantic import BeforeValidator
from pydantic_settings import NoDecode

from exchange.broker_address import broker_addresses
from schemas.times import format_duration, parse_duration
from schemas.tokens.secrets import signing_key
from schemas.tokens.target_policy import Network, parse_networks
from store.engine import database_url

_ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognised, not bound


_HOST = re.compile(
    r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.|$))+", re.IGNORECASE
)  # a name, or an IPv4 address
_WEB_URL = re.compile(
    r"https?://[A-Za-z0-9\-._~:/?#\[\]!$&'()*+,;=%]+"
)  # RFC 3986, section 2, without the @ after user and password


class ListenAddress(NamedTuple):
    """Where to listen."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def reachable(self) -> "ListenAddress":
        """Where somebody on this machine finds what listens here."""
        return ListenAddress(_ANY_HOST.get(self.host, self.host), self.port)


def read_address(value: object) -> object:
    """`host:port`, `[::1]:port`, `:port` for every interface."""
    if not isinstance(value, str):
        return value
    if "://" in value:
        raise ValueError(f"{value!r} is a URL: write host:port alone, such as 127.0.0.1:8080")
    host, colon, port = value.strip().rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or not int(port) < 65536:
        raise ValueError(f"{value!r} is not host:port such as 127.0.0.1:8080")
    if host == "*":
        raise ValueError(f"{value!r}: for every interface leave the host out, :{port}")
    if ":" in host and not _is_bracketed(host):
        raise ValueError(f"{value!r}: an IPv6 address stands in brackets, such as [::1]:8080")
    if host and not _is_bracketed(host) and not _HOST.fullmatch(host):
        raise ValueError(
            f"{value!r}: the host is an address, or a name of letters, digits, - and dots"
        )
    return ListenAddress(host.strip("[]") or _every_interface(), int(port))


def _is_bracketed(host: str) -> bool:
    try:
        return bool(
            host.startswith("[") and host.endswith("]") and ipaddress.IPv6Address(host[1:-1])
        )
    except ValueError:
        return False


def _every_interface() -> str:
    """That there is: by `::` one is reached by IPv4 too, where the kernel has both. Asking for an
    address changes nothing.
    """
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return "0.0.0.0"  # noqa: S104 - whoever leaves the host out asks for it
    return "::"


def read_public_url(value: object) -> object:
    """How the API is reached: paths are added to it. Never repeats what it was given."""
    return _web_url(
        value,
        "a URL such as https://ringback.example.com, without user and password, ? and #",
        may_go_on=False,
    )


def read_page_url(value: object) -> object:
    """A page to go to, or a place on it. Never repeats what it was given."""
    return _web_url(
        value,
        "a URL such as https://chat.example.com/docs, without user and password",
        may_go_on=True,
    )


def _web_url(value: object, expected: str, *, may_go_on: bool) -> object:
    if not isinstance(value, str):
        return value
    scheme, _, rest = value.strip().partition("://")
    url = f"{scheme.lower()}://{rest}"
    try:
        is_good = bool(_WEB_URL.fullmatch(url)) and bool(
            _HOST.fullmatch(host := urlsplit(url).hostname or "") or ":" in host
        )
        is_good = (
            is_good and (urlsplit(url).port or 0) < 65536 and (may_go_on or not {"?", "#"} & {*url})
        )
    except ValueError:
        is_good = False
    if not is_good:
        raise ValueError(expected)
    return url


def read_duration(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


def read_durations(value: object) -> object:
    """Separated by commas."""
    return (
        tuple(parse_duration(part) for part in value.split(","))
        if isinstance(value, str)
        else value
    )


def read_networks(value: object) -> object:
    """CIDRs separated by commas; a single address is a network of one."""
    return parse_networks(value.split(",")) if isinstance(value, str) else value


def read_broker_urls(value: object) -> object:
    """`amqp://…` or `amqps://…`, separated by semicolons. Never repeats what it was given: there is
    a password in it.
    """
    if isinstance(value, str):
        broker_addresses(value)
        return tuple(part.strip() for part in value.split(";") if part.strip())
    return value


def read_database_url(value: object) -> object:
    if not isinstance(value, str):
        return value
    if fault := database_url.fault(value):
        raise ValueError(fault)
    return value.strip()


def read_secret_keys(value: object) -> object:
    """Separated by commas, oldest first: the last encrypts."""
    keys = tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value
    if isinstance(keys, tuple) and any("\ud800" <= one <= "\udfff" for key in keys for one in key):
        raise ValueError("it is not UTF-8: write keys in ASCII (make one: openssl rand -hex 32)")
    if isinstance(keys, tuple) and any(len(key) < SECRET_KEY_CHARACTERS for key in keys):
        raise ValueError(
            f"each key, separated by commas, has at least {SECRET_KEY_CHARACTERS} characters (make one: openssl rand -hex 32)"
        )
    return keys


def read_signing_secrets(value: object) -> object:
    """Separated by commas, oldest first: each signs, so that a receiver can change over."""
    secrets = tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value
    if isinstance(secrets, tuple):
        for secret in secrets:
            signing_key(secret)
    return secrets


def read_rate_limit(value: object) -> object:
    """Requests a second, or `off`."""
    if not isinstance(value, str):
        return value
    if value.strip().lower() == "off":
        return None
    try:
        rate = float(value)
    except ValueError:
        rate = 0.0
    if not 0.1 <= rate <= 1_000_000:
        raise ValueError("requests a second, from 0.1 to 1000000, or off")
    return rate


def written(value: object, *, separator: str = ",") -> str:
    """A value as it would be written in the environment."""
    if isinstance(value, dt.timedelta):
        return format_duration(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple) and not isinstance(value, ListenAddress):
        return separator.join(written(part) for part in value)
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else str(value)


SECRET_KEY_CHARACTERS = 16
"""Fewer could be guessed by whoever got hold of the database. What is advised makes 64."""

AddressValue = Annotated[ListenAddress, NoDecode, BeforeValidator(read_address)]
PublicUrl = Annotated[str, BeforeValidator(read_public_url)]
PageUrl = Annotated[str, BeforeValidator(read_page_url)]
Duration = Annotated[dt.timedelta, BeforeValidator(read_duration)]
Durations = Annotated[tuple[dt.timedelta, ...], NoDecode, BeforeValidator(read_durations)]
Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(read_networks)]
DatabaseUrl = Annotated[str, BeforeValidator(read_database_url)]
BrokerUrls = Annotated[tuple[str, ...], NoDecode, BeforeValidator(read_broker_urls)]
SigningSecrets = Annotated[tuple[str, ...], NoDecode, BeforeValidator(read_signing_secrets)]
RateLimit = Annotated[float | None, NoDecode, BeforeValidator(read_rate_limit)]
SecretKeys = Annotated[tuple[str, ...], NoDecode, BeforeValidator(read_secret_keys)]
