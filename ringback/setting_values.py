"""How single settings are written: durations, addresses, networks, lists.

Each `read_…` returns the value of a text, or what it was given when that is no text. It raises
ValueError, which says what was expected. Called by `ringback.settings` and
`ringback.setting_display`.
"""

import datetime as dt
import ipaddress
import re
import socket
from pathlib import Path
from typing import Annotated, NamedTuple
from urllib.parse import urlsplit

from pydantic import BeforeValidator
from pydantic_settings import NoDecode

from exchange.broker_address import broker_addresses
from ringback.mail_server import read_mail_from, read_smtp_url
from schemas.times import format_duration, parse_duration
from schemas.tokens.secrets import signing_key
from schemas.tokens.target_policy import Network, parse_networks
from store.engine import database_url

_ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognised, not bound

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}

# A name, or an IPv4 address.
_HOST = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.|$))+", re.IGNORECASE)
# RFC 3986, section 2, without the @ after user and password.
_WEB_URL = re.compile(r"https?://[A-Za-z0-9\-._~:/?#\[\]!$&'()*+,;=%]+")


class ListenAddress(NamedTuple):
    """An address to listen on."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def reachable(self) -> "ListenAddress":
        """Return the address at which this machine reaches what listens here."""
        return ListenAddress(_ANY_HOST.get(self.host, self.host), self.port)


def read_address(value: object) -> object:
    """Read `host:port`, `[::1]:port`, or `:port` for every interface."""
    if not isinstance(value, str):
        return value
    if "://" in value:
        raise ValueError(f"{value!r} is a URL: write host:port alone, such as 127.0.0.1:8080")
    host, colon, port = value.strip().rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or not int(port) < 65536:
        raise ValueError(f"{value!r} is not host:port such as 127.0.0.1:8080")
    if host == "*":
        raise ValueError(f"{value!r}: for every interface omit the host: :{port}")
    if ":" in host and not _is_bracketed(host):
        raise ValueError(f"{value!r}: an IPv6 address is written in brackets, such as [::1]:8080")
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
    """Return `::`, which accepts IPv4 too, or `0.0.0.0` where the kernel has no IPv6."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return "0.0.0.0"  # noqa: S104 - an omitted host asks for it
    return "::"


def read_public_url(value: object) -> object:
    """Read the URL of the API, to which paths are added. Errors never repeat the text."""
    return _web_url(
        value,
        "a URL such as https://ringback.example.com, without user and password, ? and #",
        may_have_query=False,
    )


def read_issuer(value: object) -> object:
    """Read the issuer of an OpenID Connect provider. Only on this machine it may use http://."""
    expected = "a URL such as https://login.example.com/realms/chat, exactly as the provider has it"
    url = _web_url(value, expected, may_have_query=False)
    parts = urlsplit(url) if isinstance(url, str) else None
    if parts and parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ValueError("use https://: who can change the answers could sign in as anyone")
    return url


def read_page_url(value: object) -> object:
    """Read the URL of a page, or of a section of it. Errors never repeat the text."""
    return _web_url(
        value,
        "a URL such as https://chat.example.com/docs, without user and password",
        may_have_query=True,
    )


def _web_url(value: object, expected: str, *, may_have_query: bool) -> object:
    if not isinstance(value, str):
        return value
    scheme, _, rest = value.strip().partition("://")
    url = f"{scheme.lower()}://{rest}"
    try:
        is_good = bool(_WEB_URL.fullmatch(url)) and bool(
            _HOST.fullmatch(host := urlsplit(url).hostname or "") or ":" in host
        )
        is_good = (
            is_good
            and (urlsplit(url).port or 0) < 65536
            and (may_have_query or not {"?", "#"} & {*url})
        )
    except ValueError:
        is_good = False
    if not is_good:
        raise ValueError(expected)
    return url


def read_duration(value: object) -> object:
    """Read a duration such as `5s` or `30d`."""
    return parse_duration(value) if isinstance(value, str) else value


def read_plain_text(value: object) -> object:
    """Read a text without the blanks around it. Errors never repeat it, as it may be a secret."""
    if isinstance(value, str) and not _is_utf8(value):
        raise ValueError("it is not UTF-8")
    return value.strip() if isinstance(value, str) else value


def read_durations(value: object) -> object:
    """Read durations, separated by commas."""
    return (
        tuple(parse_duration(part) for part in value.split(","))
        if isinstance(value, str)
        else value
    )


def read_networks(value: object) -> object:
    """Read CIDRs, separated by commas; a single address is a network of one."""
    return parse_networks(value.split(",")) if isinstance(value, str) else value


def read_broker_urls(value: object) -> object:
    """Read `amqp://…` or `amqps://…`, separated by semicolons. Errors never repeat the text, as it
    holds a password.
    """
    if isinstance(value, str):
        broker_addresses(value)
        return tuple(part.strip() for part in value.split(";") if part.strip())
    return value


def read_database_url(value: object) -> object:
    """Read a URL of SQLite or PostgreSQL."""
    if not isinstance(value, str):
        return value
    if fault := database_url.fault(value) or _file_fault(database_url.sqlite_path(value)):
        raise ValueError(fault)
    return value.strip()


def _file_fault(path: Path | None) -> str | None:
    """Return why a path of SQLite would not be the file that is meant, or None."""
    if path is None:
        return None
    if path.name in ("", ":memory:"):
        return "a database in memory would forget what it accepted: use sqlite:///PATH"
    if str(path).startswith("~"):
        return f"`~` is not expanded here: write sqlite:///{_at_home(path)}"
    return None


def _at_home(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:  # the home of a user that this machine does not know
        return Path("/home", *path.parts)


def read_secret_keys(value: object) -> object:
    """Read keys, separated by commas, oldest first: the last encrypts."""
    keys = tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value
    if isinstance(keys, tuple) and any(not _is_utf8(key) for key in keys):
        raise ValueError("it is not UTF-8: write keys in ASCII (create one: openssl rand -hex 32)")
    if isinstance(keys, tuple) and any(len(key) < SECRET_KEY_CHARACTERS for key in keys):
        raise ValueError(
            f"each key, separated by commas, needs at least {SECRET_KEY_CHARACTERS} characters"
            " (create one: openssl rand -hex 32)"
        )
    return keys


def _is_utf8(text: str) -> bool:
    """Whether it has no halves of surrogate pairs, which the system makes of other bytes."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def read_signing_secrets(value: object) -> object:
    """Read secrets, separated by commas, oldest first: each signs, so that a receiver can change
    over.
    """
    secrets = tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value
    if isinstance(secrets, tuple):
        for secret in secrets:
            signing_key(secret)
    return secrets


def read_rate_limit(value: object) -> object:
    """Read a number of requests a second, or `off`."""
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
    """Return a value as it would be written in the environment."""
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
"""More: existing keys are refused. Fewer: a thief of the database could guess the key. The command
that is advised prints 64.
"""

AddressValue = Annotated[ListenAddress, NoDecode, BeforeValidator(read_address)]
PublicUrl = Annotated[str, BeforeValidator(read_public_url)]
PageUrl = Annotated[str, BeforeValidator(read_page_url)]
PlainText = Annotated[str, BeforeValidator(read_plain_text)]
IssuerUrl = Annotated[str, BeforeValidator(read_issuer)]
Duration = Annotated[dt.timedelta, BeforeValidator(read_duration)]
Durations = Annotated[tuple[dt.timedelta, ...], NoDecode, BeforeValidator(read_durations)]
Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(read_networks)]
DatabaseUrl = Annotated[str, BeforeValidator(read_database_url)]
BrokerUrls = Annotated[tuple[str, ...], NoDecode, BeforeValidator(read_broker_urls)]
SigningSecrets = Annotated[tuple[str, ...], NoDecode, BeforeValidator(read_signing_secrets)]
SmtpUrl = Annotated[str, BeforeValidator(read_smtp_url)]
MailFrom = Annotated[str, BeforeValidator(read_mail_from)]
RateLimit = Annotated[float | None, NoDecode, BeforeValidator(read_rate_limit)]
SecretKeys = Annotated[tuple[str, ...], NoDecode, BeforeValidator(read_secret_keys)]
