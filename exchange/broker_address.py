"""Where a broker is and how to log in: `RINGBACK_BROKER_URL`, parsed once for every client.

No library is known here, and nothing is connected. An ambiguous URL is refused with an error that
shows nothing of it: a password with `/`, `?` or `#` in it may end up anywhere in a URL.
"""

import contextlib
import re
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import msgspec

_PORTS = {"amqp": 5672, "amqps": 5671}

HEARTBEAT_S = 15
"""A peer that vanished silently is noticed after this and five seconds more. Longer: it is noticed
later. Shorter: a busy process seems dead.
"""

_HOW = (
    "each address reads amqp://USER:PASSWORD@HOST:PORT/VHOST, and special characters in its parts"
    " are percent-encoded (/ is %2F, @ is %40, : is %3A, ; is %3B, % is %25)"
)
_SEVERAL = (
    "several addresses are separated by ;, and each is written whole, as"
    " amqp://USER:PASSWORD@ONE/;amqp://USER:PASSWORD@TWO/"
)
_HOST = re.compile(r"[\w.-]+|[0-9a-fA-F:.]+(?:%\w+)?")
"""A name or an address. No client finds anything else."""

_LONE_PERCENT = re.compile(r"%(?![0-9a-fA-F]{2})")


class Tls(msgspec.Struct, frozen=True):
    """How the server of an `amqps://` address is verified: always by a certificate authority, and
    always for its name.
    """

    server_name: str
    """The name that its certificate must have."""
    ca_file: str | None = None
    """A file of certificate authorities; None: the system's."""
    cert_file: str | None = None
    """A file with the client's certificate; None: none is sent."""
    key_file: str | None = None
    """A file with the client's key; None: it is in `cert_file`."""

    def context(self) -> ssl.SSLContext:
        """Return a context for connections. Raises OSError for files that cannot be read, or that
        hold no certificates.
        """
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.cert_file is not None:
            context.load_cert_chain(self.cert_file, self.key_file)
        return context


class BrokerAddress(msgspec.Struct, frozen=True):
    """One node of the broker. Its repr shows no secret."""

    host: str
    port: int
    vhost: str
    user: str
    password: str
    tls: Tls | None
    """How to verify it; None for `amqp://`."""
    heartbeat_s: int
    """Seconds between heartbeats."""

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    __repr__ = __str__


def broker_addresses(urls: str) -> tuple[BrokerAddress, ...]:
    """Parse `amqp://…` or `amqps://…`, the nodes of a cluster separated by `;`. Raises ValueError,
    whose text shows nothing of them.
    """
    addresses = tuple(_address(url.strip()) for url in urls.split(";") if url.strip())
    if not addresses:
        raise ValueError(f"it holds no address: {_HOW}")
    return addresses


def without_password(url: str) -> str:
    """Return one address that `broker_addresses` accepts, as it may be shown."""
    parts = urlsplit(url)
    login, at, host = parts.netloc.rpartition("@")
    user = login.partition(":")[0]
    return parts._replace(netloc=f"{user}:***@{host}" if at else host).geturl()


def _address(url: str) -> BrokerAddress:
    if not url.lower().startswith(("amqp://", "amqps://")):
        raise ValueError(
            "each address, separated by ;, starts with amqp:// or amqps://;"
            " a ; in a password is written %3B"
        )
    parts, host, port = _split(url)
    query = _query(parts.query)
    if parts.scheme == "amqp" and not _TLS.isdisjoint(query):
        raise ValueError("certificates are for addresses with amqps://")
    path = _decoded(parts.path.removeprefix("/"))
    return BrokerAddress(
        host=host,
        port=port or _PORTS[parts.scheme],
        vhost=path or "/",
        user="guest" if parts.username is None else _decoded(parts.username),
        password=_password(parts),
        tls=_tls(host, query) if parts.scheme == "amqps" else None,
        heartbeat_s=int(query.get("heartbeat", HEARTBEAT_S)),
    )


def _split(url: str) -> tuple[SplitResult, str, int | None]:
    """Split a URL, unless two parsers may do so differently: where a password holds `/`, one parser
    sees a path begin, another does not.
    """
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        is_certain = (
            "#" not in url
            and "@" not in parts.path + parts.query
            and url.isprintable()
            and " " not in url
        )
        if is_certain and (host := _host(parts)) and parts.port != 0:
            return parts, host, parts.port
    raise ValueError(_SEVERAL if "," in url.rpartition("@")[2].partition("/")[0] else _HOW)


def _host(parts: SplitResult) -> str | None:
    host = unquote(parts.hostname or "")
    with contextlib.suppress(UnicodeError):
        host.encode("idna")  # as connecting does: a label has 1 to 63 characters
        return host if _HOST.fullmatch(host) else None
    return None


def _password(parts: SplitResult) -> str:
    if parts.username is None:
        return "guest"  # RabbitMQ's own user, from this machine alone
    if not parts.password:
        raise ValueError("write :PASSWORD after the user: RabbitMQ requires a password")
    return _decoded(parts.password)


def _decoded(text: str) -> str:
    """Decode percent-encoded text. A lone `%` is refused: one parser takes it as it is, another for
    an escape.
    """
    try:
        decoded = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError(_HOW) from None
    if _LONE_PERCENT.search(text):
        raise ValueError(_HOW)
    return decoded


def _query(text: str) -> Mapping[str, str]:
    parameters = parse_qsl(text, keep_blank_values=True)
    if len(dict(parameters)) < len(parameters) or not dict(parameters).keys() <= _PARAMETERS.keys():
        known = ", ".join(f"{name} ({meaning})" for name, (meaning, _) in _PARAMETERS.items())
        raise ValueError(f"an address takes after ?, each at most once: {known}")
    for name, value in parameters:
        meaning, is_valid = _PARAMETERS[name]
        if not is_valid(value):
            wrong = "there is no such file" if is_valid is _is_file else "invalid value"
            raise ValueError(f"{name} in the address: {wrong}. It is {meaning}")
    return dict(parameters)


def _tls(host: str, query: Mapping[str, str]) -> Tls:
    cert_file, key_file = query.get("certfile"), query.get("keyfile")
    if key_file is not None and cert_file is None:
        raise ValueError("keyfile in the address needs certfile")
    tls = Tls(
        query.get("server_name_indication", host), query.get("cacertfile"), cert_file, key_file
    )
    try:
        tls.context()
    except OSError as error:  # ssl.SSLError is one
        raise ValueError(
            f"cacertfile, certfile or keyfile holds no readable certificate or key: {error}"
        ) from None
    return tls


def _is_file(path: str) -> bool:
    # OSError: its folder may not be read; ValueError: the path has a NUL in it
    with contextlib.suppress(OSError, ValueError):
        return Path(path).is_file()
    return False


def _is_heartbeat(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text) <= 3600


_PARAMETERS: dict[str, tuple[str, Callable[[str], bool]]] = {
    "cacertfile": ("a file of certificate authorities, in place of the system's", _is_file),
    "certfile": ("a file with Ringback's certificate", _is_file),
    "keyfile": ("a file with its key", _is_file),
    "server_name_indication": (
        "the name in the broker's certificate, when it is not the host's",
        bool,
    ),
    "verify": (
        "verify_peer: certificates are always verified",
        lambda value: value == "verify_peer",
    ),
    "heartbeat": ("seconds, 1 to 3600", _is_heartbeat),
}
"""The parameters, named as in RabbitMQ's own URLs (rabbitmq.com/docs/uri-query-parameters), each
with its meaning and what makes a value valid.
"""

_TLS = frozenset(_PARAMETERS) - {"heartbeat"}
