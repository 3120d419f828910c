"""The database's address, taken apart in one place: every connection is made from these parts, and only of these anything is shown."""

import re

import sqlalchemy as sa
from sqlalchemy import exc

from schemas.errors import UsageError

_SEVERAL = re.compile(r"^(?P<before>\w+(?:\+\w+)?://(?:[^:/@]*(?::[^@]*)?@)?)(?P<hosts>[^/?@]*,[^/?@]*)(?P<after>[/?].*)?$")
_HOST = re.compile(r"^(?:\[(?P<v6>[^\]]*)\]|(?P<name>[^:]*))(?::(?P<port>\d*))?$")
_HOW = (
    "use sqlite:///PATH or postgresql+psycopg://USER:PASSWORD@HOST:PORT/NAME, and percent-encode special characters in its parts"
    " (/ is %2F, @ is %40, : is %3A, % is %25)"
)

_NO_SECRETS = frozenset(
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
"""Parameters after `?` that are shown. Others are not, `password` and `sslpassword` among them, not even by name: where a password holds
`&`, what follows reads as a name."""


def read_address(text: str) -> sa.URL:
    """Several hosts as libpq writes them, `@one:5432,two:5432/`, are taken too. Raises UsageError, which shows nothing of the text."""
    several = _SEVERAL.match(text)
    try:
        url = sa.make_url(several["before"] + (several["after"] or "") if several else text)
        backend = url.get_backend_name()
    except (exc.ArgumentError, ValueError):
        raise UsageError(f"the address cannot be read: {_HOW}") from None
    if backend == "sqlite":
        return url
    if text.count("@") > 1:  # one in a password: what follows it would be taken for the host
        raise UsageError(f"the address cannot be read, as more than one @ is in it: {_HOW}")
    if backend not in ("postgresql", "postgres"):
        raise UsageError(f"{backend} is not supported: {_HOW}")
    if backend == "postgres":  # the scheme that libpq knows besides
        url = url.set(drivername="postgresql")
    return url.update_query_dict(_hosts(several["hosts"])) if several else url


def _hosts(given: str) -> dict[str, str]:
    """As libpq's own parameters: `host` and, where any is given, `port`, each with as many parts as there are hosts."""
    parts = [_HOST.match(one) for one in given.split(",")]
    found = [part for part in parts if part]
    if len(found) < len(parts):
        raise UsageError(f"of several hosts each is HOST or HOST:PORT, separated by commas: {_HOW}")
    hosts, ports = [part["v6"] or part["name"] for part in found], [part["port"] or "" for part in found]
    return {"host": ",".join(hosts)} | ({"port": ",".join(ports)} if any(ports) else {})


def fault(text: str) -> str | None:
    """What is wrong with it, in words that hold nothing of it."""
    try:
        read_address(text)
    except UsageError as error:
        return str(error)
    return None


def shown(text: str) -> str:
    """Without its secrets; `***` alone when it cannot be taken apart."""
    try:
        parsed = read_address(text)
    except UsageError:
        return "***"
    known = {name: value for name, value in parsed.query.items() if name in _NO_SECRETS}
    found = parsed.set(query=known).render_as_string()
    return found if len(known) == len(parsed.query) else f"{found}{'&' if known else '?'}***"
