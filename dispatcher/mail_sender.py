"""Sending mail by SMTP, with the standard library. The only place that speaks SMTP.

One connection for a few mails: they are few, and mail servers limit connections.
"""

import smtplib
import ssl
from collections.abc import Callable, Sequence
from email.message import EmailMessage
from email.utils import formatdate
from typing import NamedTuple

from schemas.mail import Mail

_TIMEOUT_S = 20.0
"""How long the mail server may take for each answer. Longer: a silent one keeps more mail waiting.
Shorter: servers that check senders first seem to be away.
"""


_NOT_TRIED = "the mail server was too slow, or this process was stopping"


_ACCEPT_TIMEOUT_S = 60.0
"""The same once connected. Servers that look into a mail before they accept it are slow: shorter, and
such a mail counts as failed and is sent again.
"""


class MailServer(NamedTuple):
    """Where mail is handed in."""

    host: str
    port: int
    tls_from_the_start: bool
    user: str | None
    password: str | None

    def __repr__(self) -> str:
        """Return the server without its password."""
        return f"MailServer({self.host}:{self.port})"


class MailSender:
    """Hands mail in at one server. Blocks: called in a thread."""

    def __init__(self, server: MailServer, sender: str):
        """`sender`: the address in From, such as `Ringback <ringback@example.com>`."""
        self._server, self._sender = server, sender

    def send(self, mails: Sequence[Mail], is_over: Callable[[], bool]) -> list[str | None]:
        """Send mails until `is_over`. Return why each failed, or None. A connection that one mail
        costs is made again for the next.
        """
        results: list[str | None] = []
        connection: smtplib.SMTP | None = None
        try:
            for mail in mails:
                if is_over():
                    break
                connection = connection or self._connect()
                results.append(self._hand_in(connection, mail))
                connection = connection if connection.sock else None
        except (OSError, smtplib.SMTPException) as error:  # no connection
            results += [_in_words(error)] * (len(mails) - len(results))
        if connection:
            _leave(connection)
        return results + [_NOT_TRIED] * (len(mails) - len(results))

    def _connect(self) -> smtplib.SMTP:
        server = self._server
        context = ssl.create_default_context()
        if server.tls_from_the_start:
            connection: smtplib.SMTP = smtplib.SMTP_SSL(
                server.host, server.port, timeout=_TIMEOUT_S, context=context
            )
        else:
            connection = smtplib.SMTP(server.host, server.port, timeout=_TIMEOUT_S)
        try:
            self._begin(connection, context)
        except BaseException:
            connection.close()
            raise
        assert connection.sock is not None, "it is connected"
        connection.sock.settimeout(_ACCEPT_TIMEOUT_S)
        return connection

    def _begin(self, connection: smtplib.SMTP, context: ssl.SSLContext) -> None:
        """Encrypt where the server offers it, and always before a password."""
        server = self._server
        connection.ehlo()
        if not server.tls_from_the_start and connection.has_extn("starttls"):
            connection.starttls(context=context)
            connection.ehlo()
        elif server.user and not server.tls_from_the_start:
            raise smtplib.SMTPNotSupportedError(
                "the server offers no STARTTLS, and a password is sent encrypted only"
            )
        if server.user:
            connection.login(server.user, server.password or "")

    def _hand_in(self, connection: smtplib.SMTP, mail: Mail) -> str | None:
        try:
            connection.send_message(_message(mail, self._sender))
        except (smtplib.SMTPException, ValueError) as error:
            return _in_words(error)
        except OSError as error:  # its answer may come later, and would be taken for another
            connection.close()
            return _in_words(error)
        return None


def _leave(connection: smtplib.SMTP) -> None:
    """End a connection. What was handed in stays handed in, however the server says goodbye."""
    try:
        connection.quit()
    except (OSError, smtplib.SMTPException):
        connection.close()


def _message(mail: Mail, sender: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = sender
    message["To"] = mail.recipient
    message["Subject"] = " ".join(mail.subject.split())  # a line break would begin another header
    message["Date"] = formatdate(mail.created_at / 1000)
    # always the same: a mail that was accepted and sent again shows as one
    domain = sender.rpartition("@")[2].strip("> ")
    message["Message-ID"] = f"<ringback-{mail.id}-{mail.created_at}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday notice comes back
    message.set_content(mail.body)
    return message


def _in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:500]
