"""The mail server as settings name it: `smtp://USER:PASSWORD@HOST:PORT`, or `smtps://…`. Errors never
repeat the text, which may hold a password.
"""

from email.utils import parseaddr
from urllib.parse import unquote, urlsplit

from dispatcher.mail_sender import MailServer
from schemas.emails import email_fault

_PORTS = {"smtp": 587, "smtps": 465}
_EXPECTED = "smtp://USER:PASSWORD@HOST:PORT or smtps://…; user, password and port may be left out"


def mail_server(url: str) -> MailServer:
    """Return the server of a URL. Raises ValueError."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError):
        raise ValueError(_EXPECTED) from None
    if not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(_EXPECTED)
    return MailServer(
        host=parts.hostname,
        port=port,
        tls_from_the_start=parts.scheme == "smtps",
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )


def read_smtp_url(value: object) -> object:
    """Check the URL of the mail server."""
    if isinstance(value, str):
        mail_server(value)
    return value


def read_mail_from(value: object) -> object:
    """Check the sender of mail: an address, perhaps with a name before it."""
    if isinstance(value, str):
        _, address = parseaddr(value)
        if email_fault(address) or not value.isascii() or "\n" in value:
            raise ValueError("an address such as Ringback <ringback@example.com>")
    return value
