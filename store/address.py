"""The database's address, taken apart in one place: every connection is made from these parts."""

import re

import sqlalchemy as sa
from sqlalchemy import exc

from schemas.errors import UsageError

_SEVERAL = re.compile(r"^(?P<before>\w+(?:\+\w+)?://(?:[^:/@]*(?::[^@]*)?@)?)(?P<hosts>[^/?@]*,[^/?@]*)(?P<after>[/?].*)?$")
_HOST = re.compile(r"^(?:\[(?P<v6>[^\]]*)\]|(?P<name>[^:]*))(?::(?P<port>\d*))?$")
_USE = "use sqlite:///PATH or postgresql+psycopg://USER:PASSWORD@HOST:PORT/NAME, with %2F, %3A and %40 for / : @ in a password"


def read_address(text: str) -> sa.URL:
    """Several hosts as libpq writes them, `@one:5432,two:5432/`, are taken too. Raises UsageError, which shows nothing of the text."""
    several = _SEVERAL.match(text)
    try:
        url = sa.make_url(several["before"] + (several["after"] or "") if several else text)
        backend = url.get_backend_name()
    except (exc.ArgumentError, ValueError):
        raise UsageError(f"RINGBACK_DATABASE_URL cannot be read: {_USE}") from None
    if backend == "sqlite":
        return url
    if text.count("@") > 1:  # one in a password: what follows it would be taken for the host
        raise UsageError(f"RINGBACK_DATABASE_URL cannot be read: more than one @ is in it: {_USE}")
    if backend not in ("postgresql", "postgres"):
        raise UsageError(f"RINGBACK_DATABASE_URL: {backend} is not supported: {_USE}")
    if backend == "postgres":  # the scheme that libpq knows besides
        url = url.set(drivername="postgresql")
    return url.update_query_dict(_hosts(several["hosts"])) if several else url


def _hosts(given: str) -> dict[str, str]:
    """As libpq's own parameters: `host` and, where any is given, `port`, each with as many parts as there are hosts."""
    parts = [_HOST.match(one) for one in given.split(",")]
    found = [part for part in parts if part]
    if len(found) < len(parts):
        raise UsageError(f"RINGBACK_DATABASE_URL: of several hosts each is HOST or HOST:PORT, separated by commas: {_USE}")
    hosts, ports = [part["v6"] or part["name"] for part in found], [part["port"] or "" for part in found]
    return {"host": ",".join(hosts)} | ({"port": ",".join(ports)} if any(ports) else {})
