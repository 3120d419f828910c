"""Why an attempt failed: in words that say what happened and what to do, with the library's own
behind them for the record.
"""

import contextlib
import datetime as dt
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pycurl
import pytest
import trustme

from dispatcher.http.curl_errors import failure_of
from dispatcher.http.messages import HttpResponse
from schemas.deliveries.deliveries import Outcome
from schemas.tokens.target_policy import TargetPolicy, parse_networks
from tests.kit.posting import Posting, answer_of
from tests.kit.waiting import free_port

ONE_PACKET = 1400
"""What of a segment is left to TLS in most networks, tunnels included."""

NOW = dt.datetime.now(dt.UTC)


class Authorities:
    """A trusted authority, and an unknown one."""

    def __init__(self, folder: Path):
        self.trusted, self.unknown = trustme.CA(), trustme.CA()
        self.ca_file = str(folder / "ca.pem")
        self.trusted.cert_pem.write_to_path(self.ca_file)

    def context(
        self, host: str = "localhost", *, known: bool = True, days: tuple[int, int] = (-1, 9)
    ) -> ssl.SSLContext:
        """The context of a server whose certificate is valid between these days,
        counted from now.
        """
        first, last = (NOW + dt.timedelta(days=day) for day in days)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority = self.trusted if known else self.unknown
        authority.issue_cert(host, not_before=first, not_after=last).configure_cert(context)
        return context


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> Authorities:
    return Authorities(tmp_path_factory.mktemp("authorities"))


@contextlib.contextmanager
def serving(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """On a thread, one connection after the other: asyncio's servers keep TLS's alerts to
    themselves.
    """
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(10)
                    talk(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield int(server.getsockname()[1])
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(10)


def over(
    context: ssl.SSLContext, hear: Callable[[bytes], object] = bool
) -> Callable[[socket.socket], None]:
    """A receiver that answers 200; what it was sent is for `hear`."""

    def talk(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            hear(secured.recv(65_536))
            secured.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    return talk


async def told_by(
    talk: Callable[[socket.socket], None], authorities: Authorities, host: str = "localhost"
) -> HttpResponse:
    with serving(talk) as port:
        return await answer_of(f"https://{host}:{port}/", ca_file=authorities.ca_file, timeout_s=5)


CERTIFICATES: dict[str, Callable[[Authorities], ssl.SSLContext]] = {
    "has expired. Renew it": lambda at: at.context(days=(-9, -1)),
    "is not valid yet": lambda at: at.context(days=(1, 9)),
    "is for another name. Use one for the host": lambda at: at.context("other.example"),
    "comes from no authority that is known here. Send the whole chain": lambda at: at.context(
        known=False
    ),
}


@pytest.mark.parametrize("words", CERTIFICATES)
async def test_a_certificate_that_cannot_be_trusted_is_reported_with_what_to_do(
    words: str, authorities: Authorities
) -> None:
    """Each has a remedy of its own. Nothing is sent to who cannot prove who they are."""
    received = bytearray()
    answer = await told_by(over(CERTIFICATES[words](authorities), received.extend), authorities)

    assert answer.failure is Outcome.TLS
    assert (answer.error or "").startswith("the receiver's certificate ")
    assert words in (answer.error or "")
    assert "SSL" in (answer.raw_detail or "")
    assert not received


def old(context: ssl.SSLContext) -> ssl.SSLContext:
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.maximum_version = context.minimum_version = ssl.TLSVersion(0x0302)  # TLS 1.1
    return context


def distrustful(context: ssl.SSLContext) -> ssl.SSLContext:
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def choosy(context: ssl.SSLContext) -> ssl.SSLContext:
    context.sni_callback = lambda *_: ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
    return context


HANDSHAKES: dict[str, Callable[[ssl.SSLContext], ssl.SSLContext]] = {
    "Enable TLS 1.2 or 1.3 there. Offered were TLS 1.2 and 1.3": old,
    "wants a certificate of the caller": distrustful,
    "knows no host of this name": choosy,
}


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
@pytest.mark.parametrize("words", HANDSHAKES)
async def test_a_handshake_that_is_refused_is_reported_with_what_to_do(
    words: str, authorities: Authorities
) -> None:
    """By the alert that the receiver sends."""
    answer = await told_by(over(HANDSHAKES[words](authorities.context())), authorities)

    assert answer.failure is Outcome.TLS
    assert words in (answer.error or "")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"", "during the TLS handshake"),
        (b"SSH-2.0-OpenSSH\r\n", "speaks no TLS at this port"),
        (b"HTTP/1.1 400 x\r\n\r\n", "speaks no TLS"),
    ],
)
async def test_a_port_without_tls_is_reported_with_what_to_do(
    said: bytes, words: str, authorities: Authorities
) -> None:
    """A URL with the wrong port, or with https:// too many."""

    def talk(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(said)

    answer = await told_by(talk, authorities)

    assert answer.failure is Outcome.TLS
    assert words in (answer.error or "")


async def test_a_greeting_that_is_never_answered_is_reported_with_what_was_offered(
    authorities: Authorities,
) -> None:
    """Some receivers, and boxes before them, drop what they do not understand."""
    done = threading.Event()
    answer = await told_by(lambda connection: done.wait(3) or connection.close(), authorities)
    done.set()

    assert answer.failure is Outcome.TLS
    assert "Offered were TLS 1.2 and 1.3 with the groups X25519" in (answer.error or "")


async def test_a_greeting_fits_into_one_packet(authorities: Authorities) -> None:
    """With a share for the keys of tomorrow it would not, and some receivers never answer what
    comes in two.
    """
    greetings: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        greetings.append(connection.recv(65_536))

    host = ".".join(["a" * 60] * 4)
    with (
        serving(talk) as port,
        Posting(ca_file=authorities.ca_file, look_up=lambda _: ("127.0.0.1",)) as posting,
    ):
        await posting.post(f"https://{host}:{port}/")

    (greeting,) = greetings
    assert len(greeting) == 5 + int.from_bytes(greeting[3:5]), "it is whole"
    assert len(greeting) < ONE_PACKET
    assert b"\x11\xec" in greeting, (
        "the group X25519MLKEM768 (0x11ec) is offered all the same, to who asks for a share"
    )


async def test_without_a_connection_the_reason_says_what_to_check() -> None:
    """Refused, and no way there: the address that a callback names is only a claim."""
    everywhere = TargetPolicy(parse_networks(["0.0.0.0/0", "::/0"]))
    refused = await answer_of(f"http://127.0.0.1:{free_port()}/")
    nowhere = await answer_of("http://255.255.255.255/", everywhere)

    assert [(one.failure, one.status_code) for one in (refused, nowhere)] == [
        (Outcome.CONNECT, None)
    ] * 2
    assert (refused.error or "").startswith(
        "the receiver refuses connections: nothing listens at this address and port. "
    )
    assert "Could not connect" in (refused.raw_detail or "")
    assert "Check" in (nowhere.error or "")


_NUMBERS = sorted(
    {getattr(pycurl, name) for name in dir(pycurl) if name.startswith("E_")} - {0, -1}
    | {100, 101, 4711}
)


@pytest.mark.parametrize(
    "message",
    [
        "",
        "error:0A000126:SSL routines::unexpected eof while reading, errno 0",
        "tlsv13 alert certificate required",
    ],
)
@pytest.mark.parametrize("number", [one for one in _NUMBERS if isinstance(one, int)])
def test_every_error_of_the_library_has_words_of_ours(number: int, message: str) -> None:
    """`libcurl error 100` alone does not help; it comes after the words."""
    found = failure_of(number, message, 0, 0)

    assert not re.search(r"libcurl|errno|0A000126|error \d", found.error)
    assert ". " in found.error, "what happened, and what to do"
    assert found.raw_detail == message or str(number) in (found.raw_detail or "")


async def test_a_name_that_is_not_known_is_reported_with_what_to_do() -> None:
    """`.invalid` never resolves (RFC 6761)."""
    answer = await answer_of("http://no-such-host.invalid/")

    assert answer.failure is Outcome.DNS
    assert "no-such-host.invalid" in (answer.error or "")
    assert "Check" in (answer.error or "")
