"""Reads requests from the bytes of one connection, within limits. No I/O and no clock.

The syntax is httptools' (llhttp, the parser of Node.js). It refuses what two programs could read
differently: both Content-Length and Transfer-Encoding, repeated lengths, line ends of one kind of
byte. `web.server.heads` refuses the rest.
"""

from collections import deque
from enum import Enum, auto

import msgspec
from httptools import (
    HttpParserCallbackError,
    HttpParserError,
    HttpParserUpgrade,
    HttpRequestParser,
)

from schemas.errors import InternalError, Malformed, Problem
from web.server import heads, refusals
from web.server.limits import BodyMemory, Limits
from web.server.messages import Front, Request

_PER_HEADER_BYTES = 4
"""The colon, blank and line end of a header."""

_SLACK_BYTES = 1024
"""What may come in addition to the bytes of a head that count: the method, the version, blanks.
Fewer: a head at the limit is refused if it comes in several pieces.
"""


_PER_PIECE_BYTES = 256
"""What a piece of a refused body counts in addition to its bytes, for the time it takes. More: a
client that sends small chunks gets no answer. Less: chunks of one byte take seconds.
"""


class Phase(Enum):
    """What comes next from the client."""

    IDLE = auto()
    """Nothing, or the first byte of a request."""
    HEAD = auto()
    BODY = auto()
    DROPPING = auto()
    """The rest of a body that is refused."""
    OVER = auto()
    """Nothing that will be read: the connection is to be closed after its answers."""


IDLE, HEAD, BODY, DROPPING, OVER = Phase
"""To look up a member in its class takes ten times as long, a dozen times for each request."""


class Incoming(msgspec.Struct):
    """A request, or the problem that kept it from being read."""

    request: Request | None
    problem: Problem | None
    keeps_alive: bool
    """Whether the client keeps the connection open after the answer."""
    kept_bytes: int = 0
    """How much of the memory for bodies it takes, until it is answered."""


class RequestReader:
    """Turns bytes into `ready` requests. After each `feed`, its user looks at `ready`, `phase`,
    `wants_continue` and `dropped_bytes`.
    """

    def __init__(self, front: Front, limits: Limits, memory: BodyMemory, client: str):
        self._front, self._limits, self._memory = front, limits, memory
        self._client = client
        self._parser = HttpRequestParser(self)
        self.ready: deque[Incoming] = deque()
        self.phase = IDLE
        self.pieces = 0
        """Pieces of bodies so far, kept or not."""
        self.is_whole = True
        """False once something was left unread: the client may still be sending."""
        self._start()

    def _start(self) -> None:
        """Wait for the next request."""
        self.wants_continue = False
        """Whether the client waits for `100 Continue` before it sends the body."""
        self._url = b""
        self._lines: list[tuple[bytes, bytes]] = []
        self._request: Request | None = None
        self._is_upgrade = False
        self._body: bytes | bytearray = b""
        self._kept_bytes = self._limit = self._fed_bytes = self._bare_bytes = 0

    @property
    def dropped_bytes(self) -> int:
        """How much of the current request was read and not kept."""
        return self._fed_bytes - self._kept_bytes

    def feed(self, data: bytes) -> None:
        """Read bytes. Never raises."""
        while data and self.phase is not OVER:
            data = self._parse(data)
        if data:
            self.is_whole = False

    def give_up(self, problem: Problem) -> None:
        """Read no more: the client took too long, or sends too much. What has come of the current
        request is answered with the problem.
        """
        request = self._request
        if self.phase is OVER:
            return
        if request is None:
            self._refuse(problem)
            return
        request.refusal = request.refusal or problem
        self._finish(keeps_alive=False)
        self.is_whole = False
        self.phase = OVER

    def stop(self) -> None:
        """Read no more, and forget what was read of an unfinished request."""
        self.phase = OVER
        self._release()

    def close(self) -> None:
        """Forget everything, as no answer can be sent any more."""
        self.stop()
        self.forget_ready()
        # The parser refers to this reader: both would wait for the garbage collector.
        del self._parser

    def forget_ready(self) -> None:
        """Forget the requests that wait for their answers."""
        for incoming in self.ready:
            self._memory.taken_bytes -= incoming.kept_bytes
        self.ready.clear()

    # The parser calls these.

    def on_message_begin(self) -> None:
        if self.phase is not OVER:
            self.phase = HEAD

    def on_url(self, url: bytes) -> None:
        if len(self._url) <= self._limits.head_bytes:
            self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.phase is HEAD and len(self._lines) <= self._limits.header_lines:
            self._lines.append((name, value))

    def on_headers_complete(self) -> None:
        if self.phase is not HEAD:
            return
        size = len(self._url) + sum(
            [len(name) + len(value) + _PER_HEADER_BYTES for name, value in self._lines]
        )
        if size > self._limits.head_bytes or len(self._lines) > self._limits.header_lines:
            self._refuse(refusals.head_too_large(self._limits))
            return
        method = self._parser.get_method()
        if self._parser.should_upgrade() and method != b"CONNECT":
            self._is_upgrade = True
            return
        version = self._parser.get_http_version()
        try:
            request = heads.request(method, self._url, version, self._lines, self._client)
        except Malformed as problem:
            self._refuse(problem)
            return
        self._request = request
        self._begin_body(request)

    def on_body(self, piece: bytes) -> None:
        request = self._request
        if request is None or self.phase is OVER:
            return
        self._bare_bytes = 0
        self.pieces += 1
        if self.phase is DROPPING:
            self._fed_bytes += _PER_PIECE_BYTES
            return
        if self._kept_bytes + len(piece) > self._limit:
            self._drop(refusals.body_too_large(self._limit))
        elif not self._has_room(request):
            self._drop(refusals.no_room())
        else:
            self._keep(piece)

    def on_message_complete(self) -> None:
        if self._is_upgrade or self.phase is OVER:
            return
        self._finish(keeps_alive=self._parser.should_keep_alive())
        self.phase = IDLE if self.ready[-1].keeps_alive else OVER

    # What these need.

    def _parse(self, data: bytes) -> bytes:
        """Read bytes, and return those that must be read again."""
        self._fed_bytes += len(data)
        self._bare_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            return self._after_upgrade(data[upgrade.args[0] :])
        except HttpParserCallbackError as error:
            self._report(error)
        except HttpParserError as error:
            if self.phase is OVER:
                self.is_whole = False  # something came behind `Connection: close`
            else:
                self._refuse(refusals.malformed(error))
        if self._bare_bytes > self._limits.head_bytes + _SLACK_BYTES and self.phase is not OVER:
            # Of the head, or between and behind the pieces of a body: extensions, trailers.
            self._refuse(refusals.head_too_large(self._limits))
        return b""

    def _after_upgrade(self, rest: bytes) -> bytes:
        """Go on behind a head that asked for another protocol, which a server may ignore
        (RFC 9110, section 7.8). Java's client asks for HTTP/2 with every first request, and sends
        its body. llhttp reads no body then, so the head is read again without that header.
        """
        if not self._is_upgrade:  # CONNECT, or a request that was refused
            self.phase = OVER
            if self.ready:
                self.ready[-1].keeps_alive = False
            return rest
        method, version = self._parser.get_method(), self._parser.get_http_version()
        head = heads.without_upgrade(method, self._url, version, self._lines)
        self._parser = HttpRequestParser(self)
        self._start()
        return head + rest

    def _report(self, error: HttpParserCallbackError) -> None:
        """Report what the application raised while a request was read."""
        cause = error.__context__
        self._front.report(cause if isinstance(cause, Exception) else error)
        self._refuse(InternalError("an unexpected error, which the log shows"))

    def _begin_body(self, request: Request) -> None:
        self._limit = self._front.body_limit(request.method, request.path)
        self.phase = BODY
        # 20 digits hold every length that llhttp accepts; it accepts any number of zeros.
        if int(request.headers.get("content-length", "0")[-20:]) > self._limit:
            self._drop(refusals.body_too_large(self._limit))
        expects = request.headers.get("expect")
        if expects is not None and expects.lower() == "100-continue" and request.version == "1.1":
            if self.phase is DROPPING:
                self.give_up(refusals.body_too_large(self._limit))  # it has not sent its body yet
            else:
                self.wants_continue = True

    def _has_room(self, request: Request) -> bool:
        return self._memory.has_room(known=False) or (
            self._memory.has_room(known=True) and self._front.is_known(request)
        )

    def _keep(self, piece: bytes) -> None:
        self._kept_bytes += len(piece)
        self._memory.taken_bytes += len(piece)
        if not self._body:
            self._body = piece
            return
        # Not a list: an object for each piece takes many times the memory of a piece of two bytes.
        if isinstance(self._body, bytes):
            self._body = bytearray(self._body)
        self._body += piece

    def _drop(self, problem: Problem) -> None:
        """Keep nothing of this body, and read on."""
        assert self._request is not None
        self._request.refusal = problem
        self._release()
        self.phase = DROPPING

    def _release(self) -> None:
        self._memory.taken_bytes -= self._kept_bytes
        self._kept_bytes, self._body = 0, b""

    def _finish(self, *, keeps_alive: bool) -> None:
        """Add the current request to those that are ready."""
        request = self._request
        assert request is not None
        if request.refusal is not None:
            self._release()
        request.body = bytes(self._body)
        self.ready.append(Incoming(request, None, keeps_alive, self._kept_bytes))
        self._start()

    def _refuse(self, problem: Problem) -> None:
        self.ready.append(Incoming(None, problem, keeps_alive=False))
        self.is_whole = False
        self.stop()
