"""`RINGBACK_DATABASE_URL`, judged and shown as SQLAlchemy takes it apart: what another reader takes for the host may be a password."""

import sqlalchemy as sa

from schemas.errors import UsageError
from store.address import read_address

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


def fault(url: str) -> str | None:
    """What is wrong with it, in words that hold nothing of it."""
    parsed = _parsed(url)
    return _HOW if parsed is None else None


def shown(url: str) -> str:
    """Without its secrets; `***` alone when it cannot be taken apart."""
    parsed = _parsed(url)
    if parsed is None or fault(url) is not None:
        return "***"
    known = {name: value for name, value in parsed.query.items() if name in _NO_SECRETS}
    text = parsed.set(query=known).render_as_string()
    return text if len(known) == len(parsed.query) else f"{text}{'&' if known else '?'}***"


def _parsed(url: str) -> sa.URL | None:
    try:
        return read_address(url)
    except UsageError:
        return None
