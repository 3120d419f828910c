"""One transfer by libcurl: a handle, its request and its response. Looks up no names; only the
sender uses it.

Transfers use HTTP/1.1 over kept connections, without redirects, proxies, cookies or decompression.
Every address is judged just before the connection, whatever name or spelling led to it
(docs/invariants.md#addresses-are-judged-at-connect). An open connection needs no second check,
because the policy never changes.
"""

import socket
import time

import pycurl

from dispatcher.http.curl_errors import (
    INCOMPLETE_HEAD,
    NOT_FINAL,
    TransferFailure,
    body_failure,
    concerns_body,
    failure_of,
    timeout_failure,
)
from dispatcher.http.handles import new_handle
from dispatcher.http.messages import HttpResponse, OnResponse, Request
from dispatcher.http.resolver import Resolution
from dispatcher.http.response_head import field, is_whole, kept_fields
from dispatcher.http.timing import address_of, in_ms, phases_of, socket_address
from schemas.deliveries.deliveries import Outcome
from schemas.deliveries.phases import NO_PHASES, Phases
from schemas.tokens.target_policy import TargetPolicy, target_in

KEPT_BODY_BYTES = 1024
"""Bytes of a response's body that are stored. Larger: attempts take more space. Smaller: the
receiver's explanation may be cut off.
"""

READ_BODY_BYTES = 65_536
"""Bytes of a response's body that are read before the connection is closed. Larger: an endless body
costs more. Smaller: receivers with long bodies lose their kept connection. Headers need no limit
here: libcurl gives up at 300 KiB.
"""

READ_BODY_S = 1.0
"""Seconds for which a response's body is read before the connection is closed. Longer: a slow body
keeps a slot of its lane, although the head has decided the outcome. Shorter: distant receivers lose
their kept connection.
"""

_NO_SOCKET: int = pycurl.SOCKET_BAD


class Transfer:
    """One libcurl handle, used for one request after another: a new handle costs more than a
    request.
    """

    __slots__ = (
        "_addresses", "_body", "_body_since_s", "_dns_s", "_head", "_idle", "_is_short", "_is_tls",
        "_limits", "_on_response", "_opened", "_policy", "_read_bytes", "_refusals", "_started_s",
        "curl",
    )  # fmt: skip

    def __init__(
        self,
        policy: TargetPolicy,
        limits: tuple[float, float],
        ca_file: str,
        idle: list["Transfer"],
    ):
        """Make a handle. `limits` are the seconds until the end of the response, and until the end
        of the TLS handshake, both from `begin`. The transfer adds itself to `idle` when it ends.
        """
        self.curl, self._policy, self._limits, self._idle = (
            new_handle(ca_file),
            policy,
            limits,
            idle,
        )
        self._head: list[bytes] = []
        self._addresses: tuple[Resolution, int] | None = None
        self._is_short = False
        self._allow(0.0)
        curl = self.curl
        # a plain append is cheap: the lines are read only when they are needed
        curl.setopt(pycurl.HEADERFUNCTION, self._head.append)
        curl.setopt(pycurl.WRITEFUNCTION, self._receive)
        curl.setopt(pycurl.OPENSOCKETFUNCTION, self._open)

    def begin(self, request: Request, on_response: OnResponse) -> None:
        """Prepare the handle for a request; the timeouts count from here."""
        self._on_response = on_response
        self._body, self._read_bytes = b"", 0
        self._refusals: list[tuple[Outcome, str]] = []
        self._opened: tuple[str, int] | None = None
        self._dns_s: float | None = None
        self._is_tls = request.url.startswith("https:")
        if self._is_short:
            self._is_short = False
            self._allow(0.0)
        curl = self.curl
        curl.setopt(pycurl.URL, request.url)
        # libcurl would normalize the path and the query of the saved URL
        curl.setopt(pycurl.REQUEST_TARGET, target_in(request.url))
        # without a value, `expect` is not sent: it would cost a round trip
        curl.setopt(pycurl.HTTPHEADER, [*request.headers, "expect:"])
        curl.setopt(pycurl.POSTFIELDS, request.body)
        self._started_s = time.monotonic()

    def set_addresses(self, host: str, port: int, resolution: Resolution) -> None:
        """Give libcurl the addresses of the host. libcurl keeps them for later connections, so each
        handle sets them once after each look-up.
        """
        self._dns_s = 0.0
        if self._addresses != (resolution, port):
            # +: the entry expires
            entry = f"+{host}:{port}:{','.join(resolution.addresses)}"
            self.curl.setopt(pycurl.RESOLVE, [entry])
            self._addresses = resolution, port

    def shorten(self) -> None:
        """Subtract the time since `begin`, which the look-up of the host took, from the timeouts of
        this request.
        """
        self._is_short = True
        self._dns_s = time.monotonic() - self._started_s
        self._allow(self._dns_s)

    def fail(self, failure: Outcome, error: str) -> None:
        """End a request that was not started, because its host has no address."""
        looked_up = Phases(dns_ms=in_ms(time.monotonic() - self._started_s))
        self._finish(self._failed(0, TransferFailure(failure, error), phases=looked_up))

    def end(self, number: int, message: str) -> None:
        """End the request, with libcurl's error number (0: none) and message."""
        try:
            response = self._response(number, message)
        except Exception as error:  # noqa: BLE001 - the caller would wait for ever
            unread = TransferFailure(Outcome.PROTOCOL, "the answer could not be read")
            response = self._failed(0, unread, error)
        self._finish(response)

    def _finish(self, response: HttpResponse) -> None:
        on_response = self._on_response
        self._head.clear()
        # an idle handle holds no body: there may be thousands of handles
        self.curl.setopt(pycurl.POSTFIELDS, b"")
        self._idle.append(self)
        on_response(response)

    def _allow(self, passed_s: float) -> None:
        timeout_s, connect_timeout_s = self._limits
        # at least 1, as 0 means no limit
        self.curl.setopt(pycurl.TIMEOUT_MS, max(1, int((timeout_s - passed_s) * 1000)))
        self.curl.setopt(
            pycurl.CONNECTTIMEOUT_MS, max(1, int((connect_timeout_s - passed_s) * 1000))
        )

    def _response(self, number: int, message: str) -> HttpResponse:
        """Return the result. A response counts once its head is complete, whatever its body."""
        # the other values of the handle still belong to the request before
        if number == pycurl.E_FAILED_INIT:
            error = "the request could not be started"
            return self._failed(0, TransferFailure(Outcome.PROTOCOL, error, message))
        status = int(self.curl.getinfo(pycurl.RESPONSE_CODE))
        if status >= 200 and (is_whole(self._head) or concerns_body(number, message)):
            is_too_long = number == pycurl.E_WRITE_ERROR and self._read_bytes > READ_BODY_BYTES
            if number == 0 or is_too_long:
                return self._answered(status, None)
            return self._answered(status, body_failure(number, message, self._limits[0]))
        if number == 0:
            failure = INCOMPLETE_HEAD if status >= 200 else NOT_FINAL
        else:
            failure = self._failure(number, message, status)
        return self._failed(
            status, failure, address=self._address(), phases=self._phases(was_answered=False)
        )

    def _answered(self, status: int, body_error: TransferFailure | None) -> HttpResponse:
        is_success = 200 <= status < 300
        return HttpResponse(
            status,
            None if is_success else field(self._head, b"retry-after"),
            self._body,
            failure=None,
            error=None if body_error is None else body_error.error,
            duration_s=time.monotonic() - self._started_s,
            location=None if is_success else field(self._head, b"location"),
            raw_detail=None if body_error is None else body_error.raw_detail,
            headers=kept_fields(self._head),
            address=self._address(),
            phases=self._phases(was_answered=True),
        )

    def _failed(
        self,
        status: int,
        failure: TransferFailure,
        internal_error: Exception | None = None,
        *,
        address: str | None = None,
        phases: Phases = NO_PHASES,
    ) -> HttpResponse:
        duration_s = time.monotonic() - self._started_s
        return HttpResponse(
            status or None,
            None,
            self._body,
            failure.outcome,
            failure.error,
            duration_s,
            internal_error=internal_error,
            raw_detail=failure.raw_detail,
            address=address,
            phases=phases,
        )

    def _address(self) -> str | None:
        """Return the address of the connection, or that of the last try to connect."""
        tried = None if self._opened is None else socket_address(*self._opened)
        return address_of(self.curl) or tried

    def _phases(self, *, was_answered: bool) -> Phases:
        is_new = self._opened is not None
        # on a kept connection no name was needed, unless this request had to wait for one
        dns_s = self._dns_s if is_new or self._is_short else None
        return phases_of(
            self.curl, dns_s=dns_s, is_new=is_new, is_tls=self._is_tls, was_answered=was_answered
        )

    def _failure(self, number: int, message: str, status: int) -> TransferFailure:
        info = self.curl.getinfo
        if number == pycurl.E_OPERATION_TIMEDOUT:
            timeout_s, connect_timeout_s = self._limits
            return timeout_failure(
                began=status >= 200,
                sent=info(pycurl.REQUEST_SIZE) > 0,
                connected=info(pycurl.CONNECT_TIME) > 0,
                timeout_s=timeout_s,
                connect_timeout_s=connect_timeout_s,
            )
        if self._refusals and self._opened is None:
            return TransferFailure(*self._refusals[0])
        return failure_of(
            number, message, int(info(pycurl.OS_ERRNO)), int(info(pycurl.SSL_VERIFYRESULT))
        )

    def _receive(self, chunk: bytes) -> int:
        """Keep the beginning of the body and read on to the limits. There, -1 makes libcurl end the
        transfer.
        """
        if self._read_bytes == 0:
            self._body_since_s = time.monotonic()
        elif time.monotonic() - self._body_since_s > READ_BODY_S:
            return -1
        if len(self._body) < KEPT_BODY_BYTES:
            self._body += chunk[: KEPT_BODY_BYTES - len(self._body)]
        self._read_bytes += len(chunk)
        return len(chunk) if self._read_bytes <= READ_BODY_BYTES else -1

    def _open(self, _purpose: int, address: pycurl.CurlSockAddr) -> "socket.socket | int":
        """Open a socket for libcurl, or refuse the address. libcurl is about to connect to exactly
        this address, so that no name or redirect can circumvent the check.
        """
        if address.family not in (socket.AF_INET, socket.AF_INET6):
            return self._refuse(Outcome.BLOCKED, "only IPv4 and IPv6 addresses are called")
        if refusal := self._policy.address_refusal(str(address.addr[0])):
            return self._refuse(Outcome.BLOCKED, refusal)
        try:
            opened = _DuplicatedSocket(address.family, address.socktype, address.protocol)
        except OSError as error:
            text = f"no socket can be opened: {error.strerror}. Raise the limit of open files"
            return self._refuse(Outcome.CONNECT, text)
        self._opened = str(address.addr[0]), int(address.addr[1])
        return opened

    def _refuse(self, failure: Outcome, error: str) -> int:
        self._refusals.append((failure, error))
        return _NO_SOCKET


class _DuplicatedSocket(socket.socket):
    """A socket that pycurl duplicates and then drops, closed without a ResourceWarning."""

    def __del__(self) -> None:
        self.close()
