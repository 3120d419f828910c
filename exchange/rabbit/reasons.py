"""Why a broker cannot be used, in words: what happened, what to do, and in brackets what the
library said.

Reads the errors of pika and py-amqp by what they carry (a reply code, a cause), so that neither is
imported here. Called wherever a connection to the broker fails. Its words are in the log, in
`/readyz` and in `ringback doctor`.
"""

import socket
import ssl
from collections.abc import Iterator

_SETTING = "RINGBACK_BROKER_URL"


def reason(error: BaseException) -> str:
    """Return why, in one line. It has no part of the URL but the host, and the names of user and
    vhost where the broker names them.
    """
    chain = list(_causes(error))
    for cause in reversed(chain):  # the innermost knows best
        if explanation := _explanation(cause):
            return f"{explanation} ({_library_words(cause)})"
    return _library_words(chain[-1])


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield from the outermost error to the first cause. Libraries keep causes differently."""
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
    return next((held for held in error.args if isinstance(held, BaseException)), None)


def _explanation(error: BaseException) -> str | None:
    return _by_code(error) or _by_type(error) or _BY_NAME.get(type(error).__name__)


def _by_code(error: BaseException) -> str | None:
    """Explain RabbitMQ's reply codes (AMQP 0-9-1, 1.1). It uses 403 both for a log-in and for a
    missing right.
    """
    code, text = getattr(error, "reply_code", None), str(getattr(error, "reply_text", ""))
    if code == 403:
        return _NO_LOGIN if "login was refused" in text.lower() else _NO_RIGHT
    if code == 530 and "vhost" in text:
        return _NO_VHOST
    return _BY_CODE.get(code) if isinstance(code, int) else None


def _by_type(error: BaseException) -> str | None:
    return next((words for error_type, words in _BY_TYPE if isinstance(error, error_type)), None)


def _library_words(error: BaseException) -> str:
    """Return what the library says. pika shows a broker's answer as a tuple."""
    code, text = getattr(error, "reply_code", None), getattr(error, "reply_text", None)
    words = f"{code} {text}" if code and text else str(error)
    return " ".join(words.split()) or type(error).__name__


_NO_LOGIN = (
    f"the broker refuses the log-in: check user and password in {_SETTING};"
    " the user guest may connect from the broker's own machine alone"
)

_NO_RIGHT = (
    f"the user of {_SETTING} may not do this: give it the right with rabbitmqctl set_permissions"
)

_NO_VHOST = (
    f"the vhost of {_SETTING} does not exist, or its user has no access to it:"
    " rabbitmqctl add_vhost, set_permissions"
)

_NO_AMQP = (
    f"the server does not speak AMQP 0-9-1: check host and port in {_SETTING}"
    " (amqp:// 5672, amqps:// 5671, not the management port)"
)

_NO_ANSWER = (
    "the broker does not answer in time: it is frozen or overloaded, or a firewall drops packets"
)

_BAD_CERTIFICATE = (
    f"the broker's certificate is not accepted: check the host in {_SETTING} against the"
    " certificate's names and dates, and name its authority with ?cacertfile=FILE"
)

_BY_CODE = {
    320: (
        "an administrator closed the connection, or the broker is stopping:"
        " Ringback reconnects by itself"
    ),
    404: "a queue or exchange is missing: run ringback migrate",
    406: (
        "a queue or exchange exists with other properties than Ringback's:"
        " ringback migrate says what to do"
    ),
    541: "the broker has an internal error: see its log",
}

_BY_TYPE: tuple[tuple[type[BaseException], str], ...] = (
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
        (
            "the connection was reset: the broker was stopped, or a firewall cut it;"
            " Ringback reconnects by itself"
        ),
    ),
    (TimeoutError, _NO_ANSWER),
    (
        OSError,
        (
            f"the connection failed: check host and port in {_SETTING}, and the broker's log;"
            " the server may not speak AMQP"
        ),
    ),
)

_BY_NAME = {
    "ProbableAuthenticationError": _NO_LOGIN,
    "AuthenticationError": _NO_LOGIN,
    "ProbableAccessDeniedError": _NO_VHOST,
    "IncompatibleProtocolError": _NO_AMQP,
    "AMQPConnectorStackTimeout": _NO_ANSWER,
}
