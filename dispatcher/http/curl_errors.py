"""Error texts for what libcurl reports: what happened, and what to do. Failures are classified
once, here; used by `transfer`.

The texts are Ringback's own, so that they may go into the log. The library's text may quote the
receiver and is kept apart.
"""

import errno

import msgspec
import pycurl

from schemas.deliveries.deliveries import Outcome


class TransferFailure(msgspec.Struct, frozen=True):
    """The reason why no whole response came."""

    outcome: Outcome
    """How the attempt ended."""

    error: str
    """What happened and what to do, in Ringback's words."""

    raw_detail: str | None = None
    """The words of a library or the receiver, which may hold anything: never logged."""


GROUPS = "*X25519:P-256:P-384:P-521:?X25519MLKEM768"
"""The groups that a TLS handshake offers for its key exchange.

A key share is sent only for the group with `*`, so that the greeting fits into one packet: some
receivers never answer a longer one (docs/decisions/0016-one-packet-greeting.md). A receiver that
prefers the last group, which is safe from quantum computers, asks for it.
"""

_OFFERED = (
    "Offered were TLS 1.2 and 1.3 with the groups X25519, P-256, P-384, P-521 and X25519MLKEM768, "
    "in one packet"
)

_WEIRD_SERVER_REPLY, _TOO_LARGE = 8, 100  # pycurl has no names for these two

_LOG = "Check the receiver's log"
_NAMES = {
    getattr(pycurl, name): name
    for name in dir(pycurl)
    if name.startswith("E_") and isinstance(getattr(pycurl, name), int)
}

_CONNECTING = {
    errno.ECONNREFUSED: "the receiver refuses connections: nothing listens at this address and "
    "port. Check both, and that it runs",
    errno.ECONNRESET: "the receiver reset the connection while it was opened. Check that no "
    "firewall is in the way",
    errno.ETIMEDOUT: "the receiver does not answer at this address. Check it, and that no firewall "
    "is in the way",
    errno.EHOSTUNREACH: "there is no route to the receiver's address. Check it, and that its "
    "network is up",
    errno.ENETUNREACH: "there is no route to the receiver's network from here. Check its address "
    "(IPv4 and IPv6), and this machine's network",
    errno.EADDRNOTAVAIL: "no port is free here for another connection. Lower "
    "RINGBACK_CALLBACK_CONCURRENCY, or widen the range of ports",
    errno.EACCES: "this machine's firewall forbids the connection. Allow it there",
    errno.EPERM: "this machine's firewall forbids the connection. Allow it there",
}
_NO_CONNECTION = "the connection to the receiver failed. Check its address and port"

_UNKNOWN_AUTHORITY = (
    "the receiver's certificate comes from no authority that is known here. Send the whole chain "
    "with it, and use an authority that systems trust"
)
_CERTIFICATES = {  # by OpenSSL's number, `X509_V_ERR_…`
    2: _UNKNOWN_AUTHORITY,
    9: "the receiver's certificate is not valid yet. Check it, and the clocks",
    10: "the receiver's certificate has expired. Renew it",
    18: "the receiver's certificate is self-signed. Use one of an authority that systems trust",
    19: _UNKNOWN_AUTHORITY,
    20: _UNKNOWN_AUTHORITY,
    21: _UNKNOWN_AUTHORITY,
    23: "the receiver's certificate was revoked. Replace it",
    26: "the receiver's certificate is not for servers. Replace it",
    62: "the receiver's certificate is for another name. Use one for the host in the URL",
    64: "the receiver's certificate is for another address. Use one for the host in the URL",
    66: "the key of the receiver's certificate is too short to be safe. Replace it",
    67: "a key of the authority of the receiver's certificate is too short to be safe. Replace the "
    "certificate",
    68: "the receiver's certificate is signed in a way that is no longer safe. Replace it",
}
_BAD_CERTIFICATE = "the receiver's certificate cannot be trusted. Replace it"

_REFUSED = (
    "the receiver refused the TLS handshake: it shares no cipher with Ringback, or wants a "
    "certificate of the caller"
)
_WANTS_CERTIFICATE = "the receiver wants a certificate of the caller, and Ringback has none"
_CLOSED_EARLY = "the receiver closed the connection during the TLS handshake"
_HANDSHAKES = (  # by what OpenSSL's text holds; the first that fits counts
    (
        ("wrong version number", "packet length too long", "http request"),
        "the receiver speaks no TLS at this port. Check the port",
    ),
    (
        ("protocol version", "unsupported protocol", "version too low", "no protocols available"),
        f"the receiver supports no safe version of TLS. Enable TLS 1.2 or 1.3 there. {_OFFERED}",
    ),
    (
        (
            "certificate required",
            "bad certificate",
            "unknown ca",
            "certificate unknown",
            "access denied",
        ),
        f"{_WANTS_CERTIFICATE}. Ask for none there: webhooks are signed",
    ),
    (
        ("unrecognized name",),
        "the receiver knows no host of this name. Check the URL, and its server names",
    ),
    (
        ("too small", "too weak", "legacy renegotiation"),
        "the receiver's TLS is no longer safe. Renew its keys and its software",
    ),
    (
        (
            "handshake failure",
            "no shared cipher",
            "insufficient security",
            "no suitable",
            "illegal parameter",
        ),
        f"{_REFUSED}. Renew its TLS software, or ask for none. {_OFFERED}",
    ),
    (
        ("eof", "reset", "syscall", "zero_return", "closed"),
        f"{_CLOSED_EARLY}. Check that it speaks TLS, and its log. {_OFFERED}",
    ),
)
_NO_HANDSHAKE = f"the TLS handshake with the receiver failed. Check its TLS set-up. {_OFFERED}"

_OTHERS = {
    pycurl.E_UNSUPPORTED_PROTOCOL: (
        Outcome.PROTOCOL,
        "the response is not HTTP/1.1. Check that a web server listens at this port",
    ),
    pycurl.E_URL_MALFORMAT: (Outcome.PROTOCOL, "the callback's URL is invalid. Save it again"),
    pycurl.E_COULDNT_RESOLVE_HOST: (
        Outcome.DNS,
        "the host's name could not be resolved. Check the name",
    ),
    _WEIRD_SERVER_REPLY: (
        Outcome.PROTOCOL,
        f"the head of the answer cannot be read: one of its lines is malformed. {_LOG}",
    ),
    pycurl.E_PARTIAL_FILE: (
        Outcome.PROTOCOL,
        f"the receiver closed the connection before its answer was whole. {_LOG}",
    ),
    pycurl.E_OUT_OF_MEMORY: (
        Outcome.PROTOCOL,
        "the dispatcher has no memory left for the request. Give it more",
    ),
    pycurl.E_GOT_NOTHING: (
        Outcome.PROTOCOL,
        f"the receiver closed the connection without an answer. {_LOG}",
    ),
    pycurl.E_SEND_ERROR: (
        Outcome.CONNECT,
        f"the receiver closed the connection before it had the whole request. {_LOG}",
    ),
    pycurl.E_RECV_ERROR: (
        Outcome.PROTOCOL,
        f"the connection broke before the answer was whole. {_LOG}",
    ),
    pycurl.E_INTERFACE_FAILED: (Outcome.CONNECT, _NO_CONNECTION),
    pycurl.E_SSL_CERTPROBLEM: (Outcome.TLS, _NO_HANDSHAKE),
    pycurl.E_SSL_CIPHER: (
        Outcome.TLS,
        "the TLS library here lacks a group that Ringback offers. Install the required versions",
    ),
    pycurl.E_SSL_CACERT_BADFILE: (
        Outcome.TLS,
        "the file of trusted authorities cannot be read. Check the one that SSL_CERT_FILE names",
    ),
    pycurl.E_SSL_ISSUER_ERROR: (Outcome.TLS, _UNKNOWN_AUTHORITY),
    pycurl.E_SSL_INVALIDCERTSTATUS: (Outcome.TLS, _BAD_CERTIFICATE),
    _TOO_LARGE: (
        Outcome.PROTOCOL,
        "the head of the answer is too large. Limits: 300 KB in all, 100 KB a line, 5,000 lines",
    ),
}
INCOMPLETE_HEAD = TransferFailure(*_OTHERS[pycurl.E_PARTIAL_FILE])
"""The failure of a response whose head was cut off, which libcurl accepts without an error."""

NOT_FINAL = TransferFailure(
    Outcome.PROTOCOL, "the answer has no final status. Answer with one from 200 to 299"
)
"""The failure of a response with an interim status alone, such as 101."""

_BODY_HEADERS = ("Content-Length", "Transfer-Encoding")
"""Names in libcurl's text about a header that it refuses, and that concerns only the body."""


def failure_of(number: int, message: str, os_error: int, certificate: int) -> TransferFailure:
    """Return the failure for libcurl's error `number`. `os_error` is the system's `errno`,
    `certificate` is OpenSSL's verdict on the certificate (0: none).
    """
    raw_detail = message or f"libcurl error {number}, {_NAMES.get(number, 'which is new')}"
    if number == pycurl.E_COULDNT_CONNECT:
        error = _CONNECTING.get(os_error, _NO_CONNECTION)
        return TransferFailure(Outcome.CONNECT, error, raw_detail)
    if number == pycurl.E_PEER_FAILED_VERIFICATION:
        return TransferFailure(Outcome.TLS, _certificate(message, certificate), raw_detail)
    if number == pycurl.E_SSL_CONNECT_ERROR:
        return TransferFailure(Outcome.TLS, _handshake(message), raw_detail)
    # In TLS 1.3 a receiver refuses after the handshake is over for the client.
    if number in (pycurl.E_SEND_ERROR, pycurl.E_RECV_ERROR) and " alert " in message:
        return TransferFailure(Outcome.TLS, _handshake(message), raw_detail)
    if "response headers" in message:  # one of libcurl's limits, whichever
        number = _TOO_LARGE
    unknown = (Outcome.PROTOCOL, f"the request failed in a way that Ringback does not know. {_LOG}")
    outcome, error = _OTHERS.get(number, unknown)
    return TransferFailure(outcome, error, raw_detail)


def timeout_failure(
    *, began: bool, sent: bool, connected: bool, timeout_s: float, connect_timeout_s: float
) -> TransferFailure:
    """Return the failure of a transfer whose time was up, by how far it had come.

    `began`: the response had begun. `sent`: the request was sent. `connected`: TCP was connected.
    """
    if began:
        error = f"the head of the answer began but did not end within {timeout_s:g} s. {_LOG}"
        return TransferFailure(Outcome.TOO_SLOW, error)
    if sent:
        error = f"no answer within {timeout_s:g} s."
        error += " The receiver should answer first and work afterwards"
        return TransferFailure(Outcome.TIMEOUT, error)
    if connected:
        error = f"the TLS handshake did not end within {connect_timeout_s:g} s."
        error += f" Check that the receiver speaks TLS at this port. {_OFFERED}"
        return TransferFailure(Outcome.TLS, error)
    advice = _CONNECTING[errno.ETIMEDOUT].partition(". ")[2]
    return TransferFailure(
        Outcome.CONNECT, f"no connection within {connect_timeout_s:g} s. {advice}"
    )


def concerns_body(number: int, message: str) -> bool:
    """Return whether libcurl refused a header that only says how to read the body, so that the
    response's status is valid.
    """
    return number in (_WEIRD_SERVER_REPLY, pycurl.E_BAD_CONTENT_ENCODING) and any(
        name in message for name in _BODY_HEADERS
    )


def body_failure(number: int, message: str, timeout_s: float) -> TransferFailure:
    """Return what was wrong with the body of a response whose head was complete. The status counts
    all the same.
    """
    if number == pycurl.E_OPERATION_TIMEDOUT:
        error = f"its body did not end within {timeout_s:g} s"
    elif number == pycurl.E_WRITE_ERROR:
        error = "its body came too slowly, and the rest was not read"
    elif number == pycurl.E_PARTIAL_FILE:
        error = "its body ended too early"
    elif concerns_body(number, message):
        error = "its length or encoding cannot be read"
    elif "chunk" in message or number == _WEIRD_SERVER_REPLY:
        error = "the chunks of its body cannot be read"
    elif "eof" in message:
        error = "its connection ended without TLS close_notify, so that its body may be cut short"
    else:
        error = "the connection broke in its body"
    return TransferFailure(Outcome.PROTOCOL, error, message or None)


def _certificate(message: str, certificate: int) -> str:
    if certificate in _CERTIFICATES:
        return _CERTIFICATES[certificate]
    return _CERTIFICATES[62] if "subject name" in message else _BAD_CERTIFICATE


def _handshake(message: str) -> str:
    lowered = message.lower()
    return next(
        (error for parts, error in _HANDSHAKES if any(part in lowered for part in parts)),
        _NO_HANDSHAKE,
    )
