"""Reads requests from the bytes of one connection, within limits. No I/O and no clock.

The syntax is httptools' (llhttp, the parser of Node.js). It refuses what two programs could read
differently: both Content-Length and Transfer-Encoding, repeated lengths, line ends of one kind of
byte.
"""

from collections import deque
from enum import Enum, auto
from functools import lru_cache
from urllib.parse import unquote_to_bytes

import msgspec
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from schemas.errors import HeadTooLarge, Malformed, Problem, TooLarge, Unavailable
from web.server.limits import BodyMemory, Limits
from web.server.messages import Application, Request

_PER_HEADER_BYTES = 4
"""The colon, blank and line end of a header."""


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


class Incoming(msgspec.Struct):
    """A request, or the problem that kept it from being read."""

    request: Request | None
    problem: Problem | None
    keeps_alive: bool
    """Whether the client keeps the connection open after the answer."""
    kept_bytes: int = 0
    """How much of the memory for bodies it takes, until it is answered."""


class RequestReader:
    """Turns bytes into `ready` requests. After each `feed`, its user looks at `ready`, `phase` and
    `wants_continue`.
    """

    def __init__(self, application: Application, limits: Limits, memory: BodyMemory, client: str):
        self._application, self._limits, self._memory = application, limits, memory
        self._client = client
        self._parser = HttpRequestParser(self)
        self.ready: deque[Incoming] = deque()
        self.phase = Phase.IDLE
        self.wants_continue = False
        """Whether the client waits for `100 Continue` before it sends the body."""
        self.dropped_bytes = 0
        """How much of the current refused body was dropped."""
        self._url = b""
        self._lines: list[tuple[bytes, bytes]] = []
        self._request: Request | None = None
        self._pieces: list[bytes] = []
        self._kept_bytes = self._limit = self._seen_bytes = 0
        self.is_whole = True
        """False once something was left unread: the client may still be sending."""

    def feed(self, data: bytes) -> None:
        """Read bytes. Never raises."""
        if self.phase in {Phase.IDLE, Phase.HEAD}:
            self._seen_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            self._end()  # no other protocol is spoken: the request is answered as it is
        except HttpParserError as error:
            if self.phase is not Phase.OVER:
                self._refuse(Malformed(f"this is not a valid HTTP request: {error}"))
        if self.phase is Phase.HEAD and self._seen_bytes > self._limits.head_bytes:
            self._refuse(self._head_too_large())

    def give_up(self, problem: Problem) -> None:
        """Read no more: the client took too long, or sends too much. What has come of the current
        request is answered with the problem.
        """
        request = self._request
        if request is None:
            self._refuse(problem)
            return
        request.refusal = request.refusal or problem
        self._finish(keeps_alive=False)
        self.is_whole = False
        self._end()

    def release(self) -> None:
        """Forget what was read of an unfinished request."""
        self._memory.taken_bytes -= self._kept_bytes
        self._kept_bytes = 0
        self._pieces.clear()

    # The parser calls these.

    def on_message_begin(self) -> None:
        if self.phase is not Phase.OVER:
            self.phase = Phase.HEAD

    def on_url(self, url: bytes) -> None:
        if len(self._url) <= self._limits.head_bytes:
            self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.phase is Phase.HEAD and len(self._lines) <= self._limits.header_lines:
            self._lines.append((name, value))

    def on_headers_complete(self) -> None:
        if self.phase is not Phase.HEAD:
            return
        size = len(self._url) + sum(
            len(name) + len(value) + _PER_HEADER_BYTES for name, value in self._lines
        )
        if size > self._limits.head_bytes or len(self._lines) > self._limits.header_lines:
            self._refuse(self._head_too_large())
            return
        headers = _headers(self._lines)
        path, _, query = self._url.partition(b"?")
        version = self._parser.get_http_version()
        if version == "1.1" and "host" not in headers:
            self._refuse(Malformed("the header Host is missing: HTTP/1.1 requires it"))
            return
        self._request = Request(
            self._parser.get_method().decode("latin-1"),
            _decoded(path),
            query.partition(b"#")[0].decode("latin-1"),
            version,
            headers,
            self._client,
        )
        self._begin_body(self._request)

    def on_body(self, piece: bytes) -> None:
        request = self._request
        if self.phase is Phase.OVER or request is None:
            return
        if self.phase is Phase.DROPPING:
            self.dropped_bytes += len(piece)
        elif self._kept_bytes + len(piece) > self._limit:
            self._drop(_too_large(self._limit), len(piece))
        elif not self._has_room(request):
            self._drop(_no_room(), len(piece))
        else:
            self._kept_bytes += len(piece)
            self._memory.taken_bytes += len(piece)
            self._pieces.append(piece)

    def on_message_complete(self) -> None:
        if self.phase is Phase.OVER:
            return
        self._finish(keeps_alive=self._parser.should_keep_alive())
        self.phase = Phase.IDLE if self.ready[-1].keeps_alive else Phase.OVER

    # What these need.

    def _begin_body(self, request: Request) -> None:
        self._limit = self._application.body_limit(request.method, request.path)
        self.phase = Phase.BODY
        announced = request.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > self._limit:
            self._drop(_too_large(self._limit), 0)
        if request.headers.get("expect", "").lower() == "100-continue":
            if self.phase is Phase.DROPPING:
                self.give_up(_too_large(self._limit))  # it has not sent its body yet
            else:
                self.wants_continue = True

    def _has_room(self, request: Request) -> bool:
        return self._memory.has_room(known=False) or (
            self._memory.has_room(known=True) and self._application.is_known(request)
        )

    def _drop(self, problem: Problem, size_bytes: int) -> None:
        """Keep nothing of this body, and read on."""
        assert self._request is not None
        self._request.refusal = problem
        self.release()
        self.dropped_bytes = size_bytes
        self.phase = Phase.DROPPING

    def _finish(self, *, keeps_alive: bool) -> None:
        """Add the current request to those that are ready."""
        request = self._request
        assert request is not None
        if request.refusal is not None:
            self.release()
        request.body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self.ready.append(Incoming(request, None, keeps_alive, self._kept_bytes))
        self._start()

    def _refuse(self, problem: Problem) -> None:
        self.release()
        self.ready.append(Incoming(None, problem, keeps_alive=False))
        self.is_whole = False
        self._end()

    def _end(self) -> None:
        self.phase = Phase.OVER
        if self.ready:
            self.ready[-1].keeps_alive = False

    def _start(self) -> None:
        self._url = b""
        self._lines = []
        self._request = None
        self._pieces = []
        self._kept_bytes = self._limit = self._seen_bytes = 0
        self.wants_continue = False

    def _head_too_large(self) -> Problem:
        limits = self._limits
        return HeadTooLarge(
            f"the request line and headers are larger than {limits.head_bytes} bytes, or there are"
            f" more than {limits.header_lines} headers: send less"
        )


def _headers(lines: list[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw, value in lines:
        # In WSGI `X_Name` would be read as `X-Name`, which a proxy in front did not check.
        if name := _name(raw):
            text = value.decode("latin-1")
            if name in headers:
                text = f"{headers[name]}{'; ' if name == 'cookie' else ', '}{text}"
            headers[name] = text
    return headers


@lru_cache(1024)
def _name(raw: bytes) -> str:
    """Return a header's name in lower case, or "" for one with an underscore."""
    return "" if b"_" in raw or len(raw) > 100 else raw.decode("latin-1").lower()


@lru_cache(256)
def _decoded(path: bytes) -> str:
    """Return the percent-decoded path. A proxy's absolute form loses its scheme and host."""
    if not path.startswith(b"/") and b"://" in path:
        path = b"/" + path.partition(b"://")[2].partition(b"/")[2]
    return (unquote_to_bytes(path) if b"%" in path else path).decode("latin-1")


def _too_large(limit: int) -> Problem:
    return TooLarge(f"the body is larger than {limit} bytes: send less")


def _no_room() -> Problem:
    return Unavailable(
        "too many bodies are being received at present: retry later", headers={"Retry-After": "1"}
    )
