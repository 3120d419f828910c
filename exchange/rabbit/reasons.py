"""Why a broker cannot be used, in words: what happened, what to do, and behind it what the library
said.

Reads pika's and py-amqp's errors by what they carry (a reply code, a cause), so that neither is
imported here. Called wherever a connection to the broker fails: its words reach the log, `/readyz`
and `doctor`.
"""

import socket
import ssl
from collections.abc import Iterator

_SETTING = "RINGBACK_BROKER_URL"


def reason(error: BaseException) -> str:
    """One line. Holds no part of the URL but the host and the names of user and vhost, where the
    broker says them.
    """
    chain = list(_causes(error))
    for one in reversed(chain):  # the innermost knows best
        if told := _told(one):
            return f"{told} ({_library_words(one)})"
    return _library_words(chain[-1])


def _causes(error: BaseException) -> Iterator[BaseException]:
    """From the outermost to the first cause; libraries keep it in different places."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        tried = getattr(current, "exceptions", None)
        held = tried[-1] if tried else getattr(current, "exception", None)
        current = (
            held if isinstance(held, BaseException) else _held_in_args(current) or current.__cause__
        )


def _held_in_args(error: BaseException) -> BaseException | None:
    return next((one for one in error.args if isinstance(one, BaseException)), None)


def _told(error: BaseException) -> str | None:
    return _told_by_code(error) or _told_by_type(error) or _TOLD_BY_NAME.get(type(error).__name__)


def _told_by_code(error: BaseException) -> str | None:
    """RabbitMQ's reply codes (AMQP 0-9-1, section 1.1): it uses 403 both for a log-in and for a
    missing right.
    """
    code, text = getattr(error, "reply_code", None), str(getattr(error, "reply_text", ""))
    if code == 403:
        refused_login = "login was refused" in text.lower()
        return (
            _NO_LOGIN
            if refused_login
            else f"the user of {_SETTING} may not do this: give it the right with rabbitmqctl set_permissions"
        )
    if code == 530 and "vhost" in text:
        return f"the vhost of {_SETTING} is not there, or its user has no access to it: rabbitmqctl add_vhost, set_permissions"
    return _TOLD_BY_CODE.get(code) if isinstance(code, int) else None


def _told_by_type(error: BaseException) -> str | None:
    return next((told for kind, told in _TOLD_BY_TYPE if isinstance(error, kind)), None)


def _library_words(error: BaseException) -> str:
    """pika shows a broker's answer as a tuple."""
    code, text = getattr(error, "reply_code", None), getattr(error, "reply_text", None)
    words = f"{code} {text}" if code and text else str(error)
    return " ".join(words.split()) or type(error).__name__


_NO_LOGIN = f"the broker refuses the log-in: check user and password in {_SETTING}; the user guest may connect from the broker's own machine alone"

_NO_AMQP = f"what answers there does not speak AMQP 0-9-1: check host and port in {_SETTING} (amqp:// 5672, amqps:// 5671, not the management port)"

_BAD_CERTIFICATE = (
    f"the broker's certificate is not accepted: check the host in {_SETTING} against the certificate's names and dates, and name its"
    " authority with ?cacertfile=FILE"
)

_TOLD_BY_CODE = {
    320: "an administrator closed the connection, or the broker is stopping: it is connected again by itself",
    404: "a queue or exchange is not there: run ringback migrate",
    406: "a queue or exchange is there with other properties than ours: ringback migrate says what to do",
    541: "the broker has an internal error: see its log",
}

_TOLD_BY_TYPE: tuple[tuple[type[BaseException], str], ...] = (
    (ssl.SSLCertVerificationError, _BAD_CERTIFICATE),
    (
        ssl.SSLError,
        "TLS cannot be agreed with the broker: check that its port speaks TLS (amqps:// 5671)",
    ),
    (
        socket.gaierror,
        f"the broker's host name cannot be found: check {_SETTING} and the name service",
    ),
    (
        ConnectionRefusedError,
        f"nothing listens there: start the broker, or check host and port in {_SETTING}",
    ),
    (
        ConnectionResetError,
        "the connection was reset: the broker was stopped, or a firewall cut it; it is connected again by itself",
    ),
    (
        TimeoutError,
        "the broker does not answer in time: it is frozen or overloaded, or a firewall drops what is sent",
    ),
    (
        OSError,
        f"the connection failed: check host and port in {_SETTING}, and the broker's log; what answers there may not speak AMQP",
    ),
)

_TOLD_BY_NAME = {
    "ProbableAuthenticationError": _NO_LOGIN,
    "AuthenticationError": _NO_LOGIN,
    "ProbableAccessDeniedError": f"the vhost of {_SETTING} is not there, or its user has no access to it: rabbitmqctl add_vhost, set_permissions",
    "IncompatibleProtocolError": _NO_AMQP,
    "AMQPConnectorStackTimeout": "the broker does not answer in time: it is frozen or overloaded, or a firewall drops what is sent",
}
