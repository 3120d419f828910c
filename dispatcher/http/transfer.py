"""One transfer by libcurl: a handle, what it is told and what it hears. Looks up no names; only the
sender uses it.

No redirects, proxies, cookies or decompression; HTTP/1.1 over kept connections. Every address is
judged when it is about to be connected to, whatever the name or spelling that led there. A
connection that was allowed stays so: the policy never changes.
"""

import socket
import time

import pycurl

from dispatcher.http.curl_errors import (
    GROUPS,
    NOT_FINAL,
    NOT_WHOLE,
    Trouble,
    flaw,
    is_of_the_body,
    late,
    trouble,
)
from dispatcher.http.messages import HttpResponse, OnAnswer, Request
from dispatcher.http.resolver import KEPT_S, Found
from dispatcher.http.response_head import field, is_whole
from schemas.deliveries.deliveries import Outcome
from schemas.tokens.target_policy import TargetPolicy, target_in

KEPT_BODY_BYTES = 1024
"""How much of an answer's body is remembered. Larger: more to read for people, and a larger log."""

READ_BODY_BYTES = 65_536
"""Where an answer's body is cut off, and its connection closed. Larger: an endless body costs more;
smaller: chatty receivers lose their kept connection. Headers need no limit of ours: libcurl gives
up at 300 KiB.
"""

READ_BODY_S = 1.0
"""The same in time. The answer has been judged by its head: longer, and a body that drips keeps a
slot of its lane for nothing. Shorter: receivers far away lose their kept connection.
"""

CONNECTION_LIFETIME_S = 600
"""After which a busy connection is not used again. Larger: a receiver that moved is found later;
smaller: more handshakes.
"""

_NO_SOCKET: int = pycurl.SOCKET_BAD


class Transfer:
    """One libcurl handle and what it hears, used again and again: making one costs more than a
    request.
    """

    __slots__ = (
        "_body", "_body_since_s", "_head", "_idle", "_is_short", "_led", "_limits", "_obstacles", "_on_answer", "_policy", "_reached", "_read",
        "_started_s", "curl",
    )  # fmt: skip

    def __init__(
        self,
        policy: TargetPolicy,
        limits: tuple[float, float],
        ca_file: str,
        idle: list["Transfer"],
    ):
        """`limits`: seconds until the end of the answer, and until the connection is made; both
        count from `begin`.
        """
        self.curl, self._policy, self._limits, self._idle = _new_curl(ca_file), policy, limits, idle
        self._head: list[bytes] = []
        self._led: tuple[Found, int] | None = None
        self._is_short = False
        self._allow(0.0)
        curl = self.curl
        curl.setopt(
            pycurl.HEADERFUNCTION, self._head.append
        )  # the cheapest there is: lines are only looked at when needed
        curl.setopt(pycurl.WRITEFUNCTION, self._hear)
        curl.setopt(pycurl.OPENSOCKETFUNCTION, self._open)

    def begin(self, request: Request, on_answer: OnAnswer) -> None:
        self._on_answer = on_answer
        self._body, self._read = b"", 0
        self._obstacles: list[tuple[Outcome, str]] = []
        self._reached = False
        if self._is_short:
            self._is_short = False
            self._allow(0.0)
        curl = self.curl
        curl.setopt(pycurl.URL, request.url)
        curl.setopt(
            pycurl.REQUEST_TARGET, target_in(request.url)
        )  # by itself libcurl would tidy up what was saved
        curl.setopt(
            pycurl.HTTPHEADER, [*request.headers, "expect:"]
        )  # without a value: not sent. It would cost a round trip
        curl.setopt(pycurl.POSTFIELDS, request.body)
        self._started_s = time.monotonic()

    def lead(self, host: str, port: int, found: Found) -> None:
        """Where the name leads. libcurl keeps it for the connections to come, so each handle says
        it once after each look-up.
        """
        if self._led != (found, port):
            self.curl.setopt(
                pycurl.RESOLVE, [f"+{host}:{port}:{','.join(found.addresses)}"]
            )  # +: not for ever
            self._led = found, port

    def shorten(self) -> None:
        """What passed since `begin` counts for the limits of this request."""
        self._is_short = True
        self._allow(time.monotonic() - self._started_s)

    def fail(self, failure: Outcome, error: str) -> None:
        """It never began."""
        self._finish(self._failed(0, Trouble(failure, error)))

    def end(self, number: int, message: str) -> None:
        try:
            answer = self._heard(number, message)
        except Exception as error:  # noqa: BLE001 - who waits for the answer must hear of it, or waits for ever
            answer = self._failed(
                0, Trouble(Outcome.PROTOCOL, "the answer could not be read"), error
            )
        self._finish(answer)

    def _finish(self, answer: HttpResponse) -> None:
        on_answer = self._on_answer
        self._head.clear()
        self.curl.setopt(
            pycurl.POSTFIELDS, b""
        )  # an idle handle holds no body: there may be thousands
        self._idle.append(self)
        on_answer(answer)

    def _allow(self, passed_s: float) -> None:
        timeout_s, connect_timeout_s = self._limits
        self.curl.setopt(
            pycurl.TIMEOUT_MS, max(1, int((timeout_s - passed_s) * 1000))
        )  # 0 would be no limit
        self.curl.setopt(
            pycurl.CONNECTTIMEOUT_MS, max(1, int((connect_timeout_s - passed_s) * 1000))
        )

    def _heard(self, number: int, message: str) -> HttpResponse:
        """An answer counts once its head is whole, whatever becomes of its body."""
        if (
            number == pycurl.E_FAILED_INIT
        ):  # what the handle could tell is still about the request before
            return self._failed(
                0, Trouble(Outcome.PROTOCOL, "the request could not be started", message)
            )
        status = int(self.curl.getinfo(pycurl.RESPONSE_CODE))
        if status >= 200 and (is_whole(self._head) or is_of_the_body(number, message)):
            is_well = number == 0 or (
                number == pycurl.E_WRITE_ERROR and self._read > READ_BODY_BYTES
            )
            return self._answer(status, None if is_well else flaw(number, message, self._limits[0]))
        if number == 0:
            return self._failed(status, NOT_WHOLE if status >= 200 else NOT_FINAL)
        return self._failed(status, self._trouble(number, message, status))

    def _answer(self, status: int, wrong: Trouble | None) -> HttpResponse:
        duration_s = time.monotonic() - self._started_s
        words, behind = (wrong.words, wrong.behind) if wrong else (None, None)
        if 200 <= status < 300:
            return HttpResponse(status, None, self._body, None, words, duration_s, behind=behind)
        retry_after, location = field(self._head, b"retry-after"), field(self._head, b"location")
        return HttpResponse(
            status, retry_after, self._body, None, words, duration_s, location, behind=behind
        )

    def _failed(
        self, status: int, why: Trouble, internal_error: Exception | None = None
    ) -> HttpResponse:
        duration_s = time.monotonic() - self._started_s
        return HttpResponse(
            status or None,
            None,
            self._body,
            why.outcome,
            why.words,
            duration_s,
            internal_error=internal_error,
            behind=why.behind,
        )

    def _trouble(self, number: int, message: str, status: int) -> Trouble:
        info = self.curl.getinfo
        if number == pycurl.E_OPERATION_TIMEDOUT:
            timeout_s, connect_timeout_s = self._limits
            asked, connected = info(pycurl.REQUEST_SIZE) > 0, info(pycurl.CONNECT_TIME) > 0
            return late(
                began=status >= 200,
                asked=asked,
                connected=connected,
                timeout_s=timeout_s,
                connect_timeout_s=connect_timeout_s,
            )
        if self._obstacles and not self._reached:
            return Trouble(*self._obstacles[0])
        return trouble(
            number, message, int(info(pycurl.OS_ERRNO)), int(info(pycurl.SSL_VERIFYRESULT))
        )

    def _hear(self, chunk: bytes) -> int:
        """Keep the beginning, read on to the limits; there, refusing a chunk makes libcurl end the
        transfer.
        """
        if self._read == 0:
            self._body_since_s = time.monotonic()
        elif time.monotonic() - self._body_since_s > READ_BODY_S:
            return -1
        if len(self._body) < KEPT_BODY_BYTES:
            self._body += chunk[: KEPT_BODY_BYTES - len(self._body)]
        self._read += len(chunk)
        return len(chunk) if self._read <= READ_BODY_BYTES else -1

    def _open(self, _purpose: int, address: pycurl.CurlSockAddr) -> "socket.socket | int":
        """libcurl is about to connect to this very address: the last moment to refuse, and the one
        that cannot be fooled.
        """
        if address.family not in (socket.AF_INET, socket.AF_INET6):
            return self._unopened(Outcome.BLOCKED, "only IPv4 and IPv6 addresses are called")
        if refusal := self._policy.address_refusal(str(address.addr[0])):
            return self._unopened(Outcome.BLOCKED, refusal)
        try:
            opened = _Handed(address.family, address.socktype, address.protocol)
        except OSError as error:
            return self._unopened(
                Outcome.CONNECT,
                f"no socket can be opened: {error.strerror}. Raise the limit of open files",
            )
        self._reached = True
        return opened

    def _unopened(self, failure: Outcome, words: str) -> int:
        self._obstacles.append((failure, words))
        return _NO_SOCKET


class _Handed(socket.socket):
    """A socket that pycurl duplicates and then drops: closed without the warning that a forgotten
    one deserves.
    """

    def __del__(self) -> None:
        self.close()


def _new_curl(ca_file: str) -> pycurl.Curl:
    curl = pycurl.Curl()
    for option, value in {
        pycurl.POST: 1,
        pycurl.NOSIGNAL: 1,  # a signal would hit the whole process
        pycurl.DNS_CACHE_TIMEOUT: int(
            4 * KEPT_S
        ),  # longer than the resolver keeps a name: libcurl never looks it up itself
        pycurl.MAXLIFETIME_CONN: CONNECTION_LIFETIME_S,
        pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_1_1,
        pycurl.PROTOCOLS: pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS,
        pycurl.FOLLOWLOCATION: 0,  # a redirect could lead anywhere; it is a failure of its own
        # whatever the environment says: through a proxy, its address would be judged and not the
        # target's
        pycurl.PROXY: "",
        pycurl.NETRC: pycurl.NETRC_IGNORED,
        pycurl.SSL_VERIFYPEER: 1,
        pycurl.SSL_VERIFYHOST: 2,  # 2: the certificate must be for this very host
        pycurl.CAINFO: ca_file,
        pycurl.SSL_EC_CURVES: GROUPS,
    }.items():
        curl.setopt(option, value)
    return curl
