"""Sends one HTTP request and says what came back. Knows neither deliveries nor retries: `verdict` judges, `dispatch` calls.

No redirects, proxies, cookies or decompression; HTTP/1.1 over kept connections. Every address is judged when it is about to be
connected to, whatever the name or spelling that led there. A connection that was allowed stays so: the policy never changes.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Sequence

import msgspec
import pycurl

from dispatcher.curl_loop import CurlLoop
from dispatcher.trust import system_bundle
from schemas.deliveries import Outcome
from schemas.targets import TargetPolicy

KEPT_BODY_BYTES = 1024
"""How much of an answer's body is remembered. Larger: more to read for people, and a larger log."""

READ_BODY_BYTES = 65_536
"""Where an answer's body is cut off, and its connection closed. Larger: an endless body costs more; smaller: chatty receivers
lose their kept connection. Headers need no limit of ours: libcurl gives up at 300 KiB."""

IDLE_CONNECTIONS = 256
"""Kept open for the next request. Larger: more descriptors; smaller: more handshakes once more callbacks than that are busy."""

CONNECTION_LIFETIME_S = 600
"""After which a busy connection is not used again. Larger: a receiver that moved is found later; smaller: more handshakes."""

_NO_SOCKET: int = pycurl.SOCKET_BAD
_CONNECT = frozenset({pycurl.E_COULDNT_CONNECT, pycurl.E_SEND_ERROR, pycurl.E_INTERFACE_FAILED})
_TLS = frozenset(
    {
        pycurl.E_SSL_CONNECT_ERROR, pycurl.E_PEER_FAILED_VERIFICATION, pycurl.E_SSL_CERTPROBLEM, pycurl.E_SSL_CIPHER,
        pycurl.E_SSL_CACERT_BADFILE, pycurl.E_SSL_ISSUER_ERROR, pycurl.E_SSL_INVALIDCERTSTATUS,
    }
)  # fmt: skip


class Request(msgspec.Struct, frozen=True):
    """A POST. `headers` are whole lines, `name: value`; the body goes out byte for byte."""

    url: str
    headers: Sequence[str]
    body: bytes


class Answer(msgspec.Struct, frozen=True):
    """What came of a request, timed from `post`.

    `failure` is None when a whole HTTP answer came (whatever its status) and else says why none did, `error` in words.
    `status_code` may be there beside a failure: the answer began. `retry_after` and `location` are the headers, not read for 2xx.
    `mistake` is what went wrong on our side while the answer was read; it counts as a failure too.
    """

    status_code: int | None
    retry_after: str | None
    body: bytes
    failure: Outcome | None
    error: str | None
    duration_s: float
    location: str | None = None
    mistake: Exception | None = None


OnAnswer = Callable[[Answer], None]


class Sender:
    """Belongs to one event loop and is only used on its thread. Limits are per request; lanes limit how many there are."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        policy: TargetPolicy,
        *,
        timeout_s: float,
        connect_timeout_s: float,
        ca_file: str | None = None,
        max_idle_connections: int = IDLE_CONNECTIONS,
    ):
        """`ca_file` replaces the system's certificate authorities; raises UsageError when there are none."""
        self._policy = policy
        self._timeout_s, self._connect_timeout_s = timeout_s, connect_timeout_s
        self._ca_file = ca_file or system_bundle()
        self._loop = CurlLoop(loop, max_idle_connections)
        self._idle: list[_Transfer] = []

    @property
    def in_flight(self) -> int:
        return self._loop.in_flight

    def post(self, request: Request, on_answer: OnAnswer) -> None:
        """Send it; `on_answer` is called once, later, on the loop's thread, and may post again."""
        transfer = self._idle.pop() if self._idle else self._new_transfer()
        transfer.begin(request, on_answer)
        self._loop.start(transfer.curl, transfer.end)

    def close(self) -> None:
        """Abort what is in flight; nobody is told. Not to be called from within `on_answer`."""
        self._loop.close()
        for transfer in self._idle:
            transfer.curl.close()
        self._idle.clear()

    def _new_transfer(self) -> "_Transfer":
        limits = (self._timeout_s, self._connect_timeout_s)
        return _Transfer(_new_curl(*limits, self._ca_file), self._policy, limits, self._idle)


class _Transfer:
    """One libcurl handle and what it hears, used again and again: making one costs more than a request."""

    __slots__ = ("_body", "_head", "_idle", "_limits", "_obstacles", "_on_answer", "_policy", "_reached", "_read", "_started_s", "curl")

    def __init__(self, curl: pycurl.Curl, policy: TargetPolicy, limits: tuple[float, float], idle: list["_Transfer"]):
        self.curl, self._policy, self._limits, self._idle = curl, policy, limits, idle
        self._head: list[bytes] = []
        curl.setopt(pycurl.HEADERFUNCTION, self._head.append)  # the cheapest there is: lines are only looked at when needed
        curl.setopt(pycurl.WRITEFUNCTION, self._hear)
        curl.setopt(pycurl.OPENSOCKETFUNCTION, self._open)

    def begin(self, request: Request, on_answer: OnAnswer) -> None:
        self._on_answer = on_answer
        self._body, self._read = b"", 0
        self._obstacles: list[tuple[Outcome, str]] = []
        self._reached = False
        self._head.clear()
        curl = self.curl
        curl.setopt(pycurl.URL, request.url)
        curl.setopt(pycurl.HTTPHEADER, [*request.headers, "expect:"])  # without a value: not sent. It would cost a round trip
        curl.setopt(pycurl.POSTFIELDS, request.body)
        self._started_s = time.monotonic()

    def end(self, number: int, message: str) -> None:
        try:
            answer = self._heard(number, message)
        except Exception as error:  # noqa: BLE001 - who waits for the answer must hear of it, or waits for ever
            answer = self._failed(0, Outcome.PROTOCOL, "the answer could not be read", error)
        on_answer = self._on_answer
        self._idle.append(self)
        on_answer(answer)

    def _heard(self, number: int, message: str) -> Answer:
        if number == pycurl.E_FAILED_INIT:  # what the handle could tell is still about the request before
            return self._failed(0, Outcome.PROTOCOL, message)
        status = int(self.curl.getinfo(pycurl.RESPONSE_CODE))
        if number == 0 or (number == pycurl.E_WRITE_ERROR and self._read > READ_BODY_BYTES):
            return self._answer(status)
        return self._failed(status, *self._classified(number, message, status))

    def _answer(self, status: int) -> Answer:
        duration_s = time.monotonic() - self._started_s
        if 200 <= status < 300:
            return Answer(status, None, self._body, None, None, duration_s)
        return Answer(status, self._field(b"retry-after"), self._body, None, None, duration_s, self._field(b"location"))

    def _failed(self, status: int, failure: Outcome, error: str, mistake: Exception | None = None) -> Answer:
        duration_s = time.monotonic() - self._started_s
        return Answer(status or None, None, self._body, failure, error, duration_s, mistake=mistake)

    def _classified(self, number: int, message: str, status: int) -> tuple[Outcome, str]:
        if number == pycurl.E_OPERATION_TIMEDOUT:
            return self._late(status)
        if self._obstacles and not self._reached:
            return self._obstacles[0]
        if number == pycurl.E_COULDNT_RESOLVE_HOST:
            return Outcome.DNS, message
        if number in _TLS:
            return Outcome.TLS, message
        if number in _CONNECT:
            return Outcome.CONNECT, message
        return Outcome.PROTOCOL, message or f"libcurl error {number}"

    def _late(self, status: int) -> tuple[Outcome, str]:
        """How far it came before time was up."""
        timeout_s, connect_timeout_s = self._limits
        if status:
            return Outcome.TOO_SLOW, f"the answer began (HTTP {status}) but did not end within {timeout_s:g} s"
        if self.curl.getinfo(pycurl.REQUEST_SIZE) > 0:
            return Outcome.TIMEOUT, f"no answer within {timeout_s:g} s"
        if self.curl.getinfo(pycurl.CONNECT_TIME) > 0:
            return Outcome.TLS, f"the TLS handshake did not end within {connect_timeout_s:g} s"
        if self._reached:
            return Outcome.CONNECT, f"no connection within {connect_timeout_s:g} s"
        return Outcome.DNS, f"the name was not resolved within {connect_timeout_s:g} s"

    def _field(self, name: bytes) -> str | None:
        """A header of the answer itself: interim answers (1xx), each with its own status line, came before it."""
        for line in reversed(self._head):
            if line.startswith(b"HTTP/"):
                return None
            key, _, value = line.partition(b":")
            if key.strip().lower() == name:
                return value.strip().decode("latin-1")
        return None

    def _hear(self, chunk: bytes) -> int:
        """Keep the beginning, read on to the limit; there, refusing a chunk makes libcurl end the transfer."""
        if len(self._body) < KEPT_BODY_BYTES:
            self._body += chunk[: KEPT_BODY_BYTES - len(self._body)]
        self._read += len(chunk)
        return len(chunk) if self._read <= READ_BODY_BYTES else -1

    def _open(self, _purpose: int, address: pycurl.CurlSockAddr) -> "socket.socket | int":
        """libcurl is about to connect to this very address: the last moment to refuse, and the one that cannot be fooled."""
        if address.family not in (socket.AF_INET, socket.AF_INET6):
            return self._unopened(Outcome.BLOCKED, "only IPv4 and IPv6 addresses are called")
        if refusal := self._policy.address_refusal(str(address.addr[0])):
            return self._unopened(Outcome.BLOCKED, refusal)
        try:
            opened = _Handed(address.family, address.socktype, address.protocol)
        except OSError as error:
            return self._unopened(Outcome.CONNECT, f"no socket can be opened: {error.strerror}")
        self._reached = True
        return opened

    def _unopened(self, failure: Outcome, words: str) -> int:
        self._obstacles.append((failure, words))
        return _NO_SOCKET


class _Handed(socket.socket):
    """A socket that pycurl duplicates and then drops: closed without the warning that a forgotten one deserves."""

    def __del__(self) -> None:
        self.close()


def _new_curl(timeout_s: float, connect_timeout_s: float, ca_file: str) -> pycurl.Curl:
    curl = pycurl.Curl()
    for option, value in {
        pycurl.POST: 1,
        pycurl.NOSIGNAL: 1,  # a signal would hit the whole process
        pycurl.TIMEOUT_MS: int(timeout_s * 1000),
        pycurl.CONNECTTIMEOUT_MS: int(connect_timeout_s * 1000),
        pycurl.MAXLIFETIME_CONN: CONNECTION_LIFETIME_S,
        pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_1_1,
        pycurl.PROTOCOLS: pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS,
        pycurl.FOLLOWLOCATION: 0,  # a redirect could lead anywhere; it is a failure of its own
        pycurl.PROXY: "",  # whatever the environment says: through a proxy, its address would be judged and not the target's
        pycurl.NETRC: pycurl.NETRC_IGNORED,
        pycurl.SSL_VERIFYPEER: 1,
        pycurl.SSL_VERIFYHOST: 2,  # 2: the certificate must be for this very host
        pycurl.CAINFO: ca_file,
    }.items():
        curl.setopt(option, value)
    return curl
