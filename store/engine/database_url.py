"""The database's address, parsed in one place: every connection is made from its parts, and only
these parts are ever shown.

No part of an address is repeated when it is refused: a password with special characters may end up
in any of them.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import sqlalchemy as sa
from sqlalchemy import exc

from schemas.errors import UsageError

_SEVERAL_HOSTS = re.compile(
    r"^(?P<before>\w+(?:\+\w+)?://(?:[^:/@]*(?::[^@]*)?@)?)"
    r"(?P<hosts>[^/?@]*,[^/?@]*)(?P<after>[/?].*)?$"
)
_HOST = re.compile(r"^(?:\[(?P<v6>[^\]]*)\]|(?P<name>[^:]*))(?::(?P<port>\d*))?$")
_HOW = (
    "use sqlite:///PATH or postgresql+psycopg://USER:PASSWORD@HOST:PORT/NAME, and percent-encode"
    " special characters in its parts (/ is %2F, @ is %40, : is %3A, % is %25)"
)

DRIVER = "postgresql+psycopg"
"""SQLAlchemy's name of PostgreSQL with psycopg."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_NUMBER = re.compile(r"-?[0-9]{1,9}")
_PORT = re.compile(r"[0-9]{0,5}")  # empty: libpq's own

_SHOWN = frozenset(
    [
        "application_name",
        "channel_binding",
        "connect_timeout",
        "gssencmode",
        "host",
        "hostaddr",
        "keepalives",
        "keepalives_idle",
        "load_balance_hosts",
        "options",
        "port",
        "sslcert",
        "sslcrl",
        "sslkey",
        "sslmode",
        "sslnegotiation",
        "sslrootcert",
        "target_session_attrs",
        "tcp_user_timeout",
    ]
)
"""Parameters after `?` that are shown. All others are hidden, `password` and `sslpassword` among
them. Not even their names are shown: where a password holds `&`, what follows reads as a name.
"""

_CHOICES = {
    "channel_binding": ("disable", "prefer", "require"),
    "gssencmode": ("disable", "prefer", "require"),
    "load_balance_hosts": ("disable", "random"),
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslnegotiation": ("postgres", "direct"),
    "target_session_attrs": (
        "any",
        "read-write",
        "read-only",
        "primary",
        "standby",
        "prefer-standby",
    ),
}
"""All values that libpq takes for these parameters. It repeats a value that it does not know, and
these parameters are shown: so they are checked before.
"""

_NUMBERS = (
    "connect_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
)


def read_address(text: str) -> sa.URL:
    """Parse an address. Several hosts may be given as for libpq: `@one:5432,two:5432/`.

    Raises UsageError, which shows nothing of the text.
    """
    text = text.strip()  # `echo … | base64` puts a line's end into a Secret
    if _CONTROL.search(text) or "\0" in unquote(text):
        raise UsageError(f"the address cannot be read: it contains a control character: {_HOW}")
    several = _SEVERAL_HOSTS.match(text)
    try:
        url = sa.make_url(several["before"] + (several["after"] or "") if several else text)
        backend = url.get_backend_name()
    except (exc.ArgumentError, ValueError):
        raise UsageError(f"the address cannot be read: {_HOW}") from None
    if backend == "sqlite":
        return _file_url(url)
    if text.count("@") > 1:  # one in a password: what follows it would be taken for the host
        raise UsageError(f"the address cannot be read: it contains more than one @: {_HOW}")
    if backend not in ("postgresql", "postgres"):
        raise UsageError(f"{backend} is not supported: {_HOW}")
    if backend == "postgres":  # the scheme that libpq knows besides
        url = url.set(drivername="postgresql")
    url = url.update_query_dict(_hosts(several["hosts"])) if several else url
    _require_known({"port": url.port, **parameters(url)})  # SQLAlchemy passes over a port of 0
    return url


def parameters(url: sa.URL) -> dict[str, Any]:
    """Return the parameters of an address for PostgreSQL's libpq. Raises UsageError."""
    url = url.set(drivername=DRIVER)
    try:
        _, given = url.get_dialect()().create_connect_args(url)
    except (exc.ArgumentError, ValueError):  # whose words repeat what may be a part of a password
        raise UsageError(
            f"hosts and ports do not match, or a port is not a number: {_HOW}"
        ) from None
    return dict(given)


def sqlite_path(text: str) -> Path | None:
    """Return the file of an SQLite address, `%20` and the like decoded as for every connection.

    None when it is another database's address.
    """
    url = read_address(text)
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None


def _file_url(url: sa.URL) -> sa.URL:
    if (
        url.drivername not in ("sqlite", "sqlite+pysqlite")
        or url.host
        or url.port
        or url.username
        or url.password
        or url.query
    ):
        raise UsageError(
            f"an SQLite address is sqlite:/// and a path, with nothing after ?: {_HOW}"
        )
    return url


def _require_known(given: Mapping[str, Any]) -> None:
    """Refuse what libpq would refuse: it repeats the names and values that it cannot read."""
    from psycopg import pq  # takes long, and SQLite needs none of it

    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    if not given.keys() <= known or any(isinstance(value, tuple) for value in given.values()):
        raise UsageError(
            "after ? use parameters of PostgreSQL's libpq, such as sslmode=require, each once;"
            f" write & in a password as %26: {_HOW}"
        )
    ports = str("" if given["port"] is None else given["port"]).split(",")
    if not all(_PORT.fullmatch(port) and 0 < int(port or 1) < 65536 for port in ports):
        raise UsageError(f"a port is a number from 1 to 65535: {_HOW}")
    for name, values in _CHOICES.items():
        if given.get(name, values[0]) not in values:
            raise UsageError(f"{name} is one of {', '.join(values)}: {_HOW}")
    for name in _NUMBERS:
        if not _NUMBER.fullmatch(given.get(name, "0")):
            raise UsageError(f"{name} is a whole number: {_HOW}")
    try:
        "".join(map(str, given.values())).encode()
    except UnicodeEncodeError:
        raise UsageError(f"the address cannot be read: it is not UTF-8: {_HOW}") from None


def _hosts(given: str) -> dict[str, str]:
    """Return several hosts as libpq's own parameters, `host` and, where any is given, `port`.

    Each has as many parts as there are hosts.
    """
    parts = [_HOST.match(part) for part in given.split(",")]
    matched = [part for part in parts if part]
    if len(matched) < len(parts):
        raise UsageError(f"write several hosts as HOST or HOST:PORT, separated by commas: {_HOW}")
    hosts = [part["v6"] or part["name"] for part in matched]
    ports = [part["port"] or "" for part in matched]
    return {"host": ",".join(hosts)} | ({"port": ",".join(ports)} if any(ports) else {})


def fault(text: str) -> str | None:
    """Return what is wrong with an address, in words that hold nothing of it; None: nothing is."""
    try:
        read_address(text)
    except UsageError as error:
        return str(error)
    return None


def shown(text: str) -> str:
    """Return an address without its secrets; `***` alone when it cannot be parsed."""
    try:
        parsed = read_address(text)
    except UsageError:
        return "***"
    open_query = {name: value for name, value in parsed.query.items() if name in _SHOWN}
    address = parsed.set(query=open_query).render_as_string()
    if len(open_query) == len(parsed.query):
        return address
    return f"{address}{'&' if open_query else '?'}***"


def without_hidden(text: str, given: Mapping[str, object]) -> str:
    """Return an error text of libpq or a server without the values that `shown` hides.

    Both quote the values of parameters.
    """
    public = {
        str(value) for name, value in given.items() if name in _SHOWN or name in ("user", "dbname")
    }
    hidden = {
        part
        for name, value in given.items()
        if name not in _SHOWN
        for part in (str(value), *str(value).split(","))
    }
    for secret in sorted(hidden - public - {""}, key=len, reverse=True):
        text = text.replace(f'"{secret}"', '"***"')
    return text
