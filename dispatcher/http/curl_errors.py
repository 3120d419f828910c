"""What libcurl reports, in words: what happened, and what can be done about it. Classified once,
here; used by `transfer`.

The words are ours, so that they may go into the log. What stands behind them, the library's own
text, may quote the receiver.
"""

import errno

import msgspec
import pycurl

from schemas.deliveries.deliveries import Outcome


class Trouble(msgspec.Struct, frozen=True):
    """Why no whole answer came. `behind`: the words of a library or a receiver, which may hold
    anything.
    """

    outcome: Outcome
    words: str
    behind: str | None = None


GROUPS = "*X25519:P-256:P-384:P-521:?X25519MLKEM768"
"""What a TLS handshake offers for its key exchange. `*`: only of this a share is sent at once, so
that the greeting fits into one packet: some receivers never answer a longer one. A receiver that
prefers the last, which is safe from quantum computers, asks for it.
"""

_OFFERED = "Offered were TLS 1.2 and 1.3 with the groups X25519, P-256, P-384, P-521 and X25519MLKEM768, in one packet"

_WEIRD_SERVER_REPLY, _TOO_LARGE = 8, 100  # pycurl has no names for these two

_LOG = "Look into the receiver's log"
_NAMES = {
    getattr(pycurl, name): name
    for name in dir(pycurl)
    if name.startswith("E_") and isinstance(getattr(pycurl, name), int)
}

_CONNECTING = {
    errno.ECONNREFUSED: "the receiver refuses connections: nothing listens at this address and port. Check both, and that it runs",
    errno.ECONNRESET: "the receiver reset the connection while it was made. Check that no firewall is in the way",
    errno.ETIMEDOUT: "the receiver does not answer at this address. Check it, and that no firewall is in the way",
    errno.EHOSTUNREACH: "there is no way to the receiver's address. Check it, and that its network is up",
    errno.ENETUNREACH: "there is no way to the receiver's network from here. Check its address (IPv4 and IPv6), and our network",
    errno.EADDRNOTAVAIL: "no port is free here for another connection. Lower RINGBACK_CALLBACK_CONCURRENCY, or widen the range of ports",
    errno.EACCES: "this machine's firewall forbids the connection. Allow it there",
    errno.EPERM: "this machine's firewall forbids the connection. Allow it there",
}
_NO_CONNECTION = "no connection to the receiver could be made. Check its address and port"

_UNKNOWN_AUTHORITY = (
    "the receiver's certificate comes from no authority that is known here. Send the whole chain with it, and use an authority that "
    "systems trust"
)
_CERTIFICATES = {  # by OpenSSL's number, `X509_V_ERR_…`
    2: _UNKNOWN_AUTHORITY,
    9: "the receiver's certificate is not valid yet. Check it, and the clocks",
    10: "the receiver's certificate has expired. Renew it",
    18: "the receiver's certificate is signed by itself. Use one of an authority that systems trust",
    19: _UNKNOWN_AUTHORITY,
    20: _UNKNOWN_AUTHORITY,
    21: _UNKNOWN_AUTHORITY,
    23: "the receiver's certificate was revoked. Replace it",
    26: "the receiver's certificate is not for servers. Replace it",
    62: "the receiver's certificate is for another name. Use one for the host in the URL",
    64: "the receiver's certificate is for another address. Use one for the host in the URL",
    66: "the key of the receiver's certificate is too short to be safe. Replace it",
    67: "a key of the authority of the receiver's certificate is too short to be safe. Replace the certificate",
    68: "the receiver's certificate is signed in a way that is no longer safe. Replace it",
}
_BAD_CERTIFICATE = "the receiver's certificate cannot be trusted. Replace it"

_REFUSED = "the receiver refused the TLS handshake: nothing to encrypt with is common, or it wants a certificate of the caller"
_HANDSHAKES = (  # by what OpenSSL's text holds; the first that fits counts
    (
        ("wrong version number", "packet length too long", "http request"),
        "the receiver speaks no TLS at this port. Check the port",
    ),
    (
        ("protocol version", "unsupported protocol", "version too low", "no protocols available"),
        f"the receiver knows no version of TLS that is still safe. Enable TLS 1.2 or 1.3 there. {_OFFERED}",
    ),
    (
        (
            "certificate required",
            "bad certificate",
            "unknown ca",
            "certificate unknown",
            "access denied",
        ),
        "the receiver wants a certificate of the caller, and Ringback has none. Ask for none there: webhooks are signed",
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
        f"the receiver closed the connection in the middle of the TLS handshake. Check that it speaks TLS, and its log. {_OFFERED}",
    ),
)
_NO_HANDSHAKE = f"the TLS handshake with the receiver failed. Check its TLS set-up. {_OFFERED}"

_OTHERS = {
    pycurl.E_UNSUPPORTED_PROTOCOL: (
        Outcome.PROTOCOL,
        "what came back is no answer of HTTP/1.1. Check that a web server listens at this port",
    ),
    pycurl.E_URL_MALFORMAT: (Outcome.PROTOCOL, "the callback's URL cannot be read. Save it anew"),
    pycurl.E_COULDNT_RESOLVE_HOST: (
        Outcome.DNS,
        "the host's name could not be resolved. Check the name",
    ),
    _WEIRD_SERVER_REPLY: (
        Outcome.PROTOCOL,
        f"the head of the answer cannot be read: a line of it is malformed. {_LOG}",
    ),
    pycurl.E_PARTIAL_FILE: (
        Outcome.PROTOCOL,
        f"the receiver closed the connection before its answer was whole. {_LOG}",
    ),
    pycurl.E_OUT_OF_MEMORY: (
        Outcome.PROTOCOL,
        "there is no memory left here for the request. Give the dispatcher more",
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
        "the TLS library here lacks what we offer. Install the versions that Ringback names",
    ),
    pycurl.E_SSL_CACERT_BADFILE: (
        Outcome.TLS,
        "the file of trusted authorities cannot be read here. Check what SSL_CERT_FILE names",
    ),
    pycurl.E_SSL_ISSUER_ERROR: (Outcome.TLS, _UNKNOWN_AUTHORITY),
    pycurl.E_SSL_INVALIDCERTSTATUS: (Outcome.TLS, _BAD_CERTIFICATE),
    _TOO_LARGE: (
        Outcome.PROTOCOL,
        "the head of the answer is too large. Send less: 300 KB in all, 100 KB a line, 5,000 lines",
    ),
}
NOT_WHOLE = Trouble(*_OTHERS[pycurl.E_PARTIAL_FILE])
"""Told also where libcurl is content: a head that is cut off, it takes for all there is."""

NOT_FINAL = Trouble(
    Outcome.PROTOCOL, "the answer has no final status. Answer with one from 200 to 299"
)
"""As after 101, which offers another protocol than ours."""

_OF_THE_BODY = ("Content-Length", "Transfer-Encoding")
"""In libcurl's words on a header that it refuses, and reads no further: it is about the body alone.
"""


def trouble(number: int, message: str, os_error: int, certificate: int) -> Trouble:
    """Of libcurl's error `number`; `os_error` is the system's, `certificate` OpenSSL's verdict on
    one (0: none).
    """
    behind = message or f"libcurl error {number}, {_NAMES.get(number, 'which is new')}"
    if number == pycurl.E_COULDNT_CONNECT:
        return Trouble(Outcome.CONNECT, _CONNECTING.get(os_error, _NO_CONNECTION), behind)
    if number == pycurl.E_PEER_FAILED_VERIFICATION:
        return Trouble(Outcome.TLS, _certificate(message, certificate), behind)
    if number == pycurl.E_SSL_CONNECT_ERROR:
        return Trouble(Outcome.TLS, _handshake(message), behind)
    if (
        number in (pycurl.E_SEND_ERROR, pycurl.E_RECV_ERROR) and " alert " in message
    ):  # TLS 1.3: it refuses after our side is done
        return Trouble(Outcome.TLS, _handshake(message), behind)
    if "response headers" in message:  # whichever of its limits it was
        number = _TOO_LARGE
    outcome, words = _OTHERS.get(
        number, (Outcome.PROTOCOL, f"the request failed in a way that is new to Ringback. {_LOG}")
    )
    return Trouble(outcome, words, behind)


def late(
    *, began: bool, asked: bool, connected: bool, timeout_s: float, connect_timeout_s: float
) -> Trouble:
    """How far it came before time was up."""
    if began:
        return Trouble(
            Outcome.TOO_SLOW,
            f"the head of the answer began but did not end within {timeout_s:g} s. {_LOG}",
        )
    if asked:
        return Trouble(
            Outcome.TIMEOUT,
            f"no answer within {timeout_s:g} s. The receiver should answer first and work afterwards",
        )
    if connected:
        words = f"the TLS handshake did not end within {connect_timeout_s:g} s. Check that the receiver speaks TLS at this port. {_OFFERED}"
        return Trouble(Outcome.TLS, words)
    return Trouble(
        Outcome.CONNECT,
        f"no connection within {connect_timeout_s:g} s. {_CONNECTING[errno.ETIMEDOUT].partition('. ')[2]}",
    )


def is_of_the_body(number: int, message: str) -> bool:
    """Whether a header was refused that says how the body is to be read: the answer's status does
    not depend on it.
    """
    return number in (_WEIRD_SERVER_REPLY, pycurl.E_BAD_CONTENT_ENCODING) and any(
        name in message for name in _OF_THE_BODY
    )


def flaw(number: int, message: str, timeout_s: float) -> Trouble:
    """What was wrong with the rest of an answer whose head came whole. Its status counts all the
    same.
    """
    if number == pycurl.E_OPERATION_TIMEDOUT:
        words = f"its body did not end within {timeout_s:g} s"
    elif number == pycurl.E_WRITE_ERROR:
        words = "its body came too slowly, and was not waited for"
    elif number == pycurl.E_PARTIAL_FILE:
        words = "its body ended too early"
    elif is_of_the_body(number, message):
        words = "its length or encoding cannot be read"
    elif "chunk" in message or number == _WEIRD_SERVER_REPLY:
        words = "the chunks of its body cannot be read"
    elif "eof" in message:
        words = "its connection ended without TLS's goodbye, so that its body may be cut short"
    else:
        words = "the connection broke in its body"
    return Trouble(Outcome.PROTOCOL, words, message or None)


def _certificate(message: str, certificate: int) -> str:
    if certificate in _CERTIFICATES:
        return _CERTIFICATES[certificate]
    return _CERTIFICATES[62] if "subject name" in message else _BAD_CERTIFICATE


def _handshake(message: str) -> str:
    lowered = message.lower()
    return next(
        (words for parts, words in _HANDSHAKES if any(part in lowered for part in parts)),
        _NO_HANDSHAKE,
    )
