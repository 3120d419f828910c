"""The HTTP server on an event loop of its own, with an application that tests write, and clients
that send bytes.
"""

import asyncio
import gc
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple, Self

from schemas.errors import Problem
from tests.kit.loop_thread import LoopThread
from tests.kit.waiting import wait_for
from web.server.limits import Limits
from web.server.messages import Answer, Request
from web.server.server import HttpServer
from web.server.sockets import listen

FAST = Limits(check_s=0.02, linger_s=0.1)
"""The limits of production, looked at often."""

Handler = Callable[[Request], Awaitable[Answer]]


class Reply(NamedTuple):
    """An answer as the client reads it."""

    status: int
    headers: dict[str, str]
    body: bytes
    is_whole: bool
    """Whether the body ended where the framing says."""


class FakeApplication:
    """Answers with the request's body, or as `handlers` say, by path."""

    def __init__(self) -> None:
        self.limit_bytes = 100_000
        self.known = False
        self.handlers: dict[str, Handler] = {}
        self.requests: list[Request] = []
        self.errors: list[Exception] = []

    def body_limit(self, _method: str, path: str) -> int:
        if path == "/raises":
            raise RuntimeError("a bug in body_limit")
        return self.limit_bytes

    def is_known(self, _request: Request) -> bool:
        return self.known

    async def answer(self, request: Request) -> Answer:
        self.requests.append(request)
        if request.refusal is not None:
            return self.refuse(request.refusal)
        if handler := self.handlers.get(request.path):
            return await handler(request)
        return Answer(200, [("content-type", "text/plain")], request.body)

    def refuse(self, problem: Problem) -> Answer:
        headers = [("content-type", "application/problem+json"), *problem.headers.items()]
        return Answer(problem.status, headers, problem.detail.encode())

    def report(self, error: Exception) -> None:
        self.errors.append(error)


class Body:
    """A body made piece by piece, which counts what is asked of it."""

    def __init__(self, piece: bytes, pieces: int, error: Exception | None = None):
        self._piece, self._pieces, self._error = piece, pieces, error
        self.made = 0
        self.is_closed = False

    async def made_pieces(self) -> AsyncIterator[bytes]:
        try:
            while self.made < self._pieces:
                self.made += 1
                yield self._piece
                await asyncio.sleep(0)
            if self._error is not None:
                raise self._error
        finally:
            await asyncio.sleep(0)  # as if a thread closed it
            self.is_closed = True


class Client:
    """A socket. Context manager."""

    def __init__(self, port: int, receive_bytes: int | None = None):
        self.socket = socket.socket()
        if receive_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(20)
        try:
            self.socket.connect(("127.0.0.1", port))
        except OSError:
            self.socket.close()
            raise
        self.file = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def ask(self, data: bytes, method: str = "GET") -> Reply:
        self.send(data)
        return self.read(method)

    def read(self, method: str = "GET") -> Reply:
        """Read one answer to a request with this method."""
        line = self.file.readline()
        assert line.startswith(b"HTTP/1.1 "), line
        status, headers = int(line[9:12]), dict[str, str]()
        while (line := self.file.readline()) != b"\r\n":
            name, _, value = line.decode("latin-1").partition(":")
            assert name.lower() not in headers, headers
            headers[name.lower()] = value.strip()
        if method == "HEAD" or status in {100, 204, 304}:
            return Reply(status, headers, b"", is_whole=True)
        return Reply(status, headers, *self._body(headers))

    def is_ended(self) -> bool:
        """Wait until the server has closed. Return whether it sent nothing more and no reset."""
        try:
            return self.file.read(1) == b""
        except ConnectionResetError:
            return False

    def is_quiet(self, seconds: float) -> bool:
        """Return whether the server sends nothing and keeps the connection for so long."""
        self.socket.settimeout(seconds)
        try:
            self.socket.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return True
        else:
            return False
        finally:
            self.socket.settimeout(20)

    def end_sending(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Go without a word."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        self.file.close()
        self.socket.close()

    def _body(self, headers: dict[str, str]) -> tuple[bytes, bool]:
        if "content-length" in headers:
            length = int(headers["content-length"])
            body = self._read(length)
            return body, len(body) == length
        if headers.get("transfer-encoding") == "chunked":
            return self._chunks()
        try:
            return self.file.read(), True
        except ConnectionResetError:
            return b"", False

    def _chunks(self) -> tuple[bytes, bool]:
        body = b""
        while line := self._line():
            size = int(line, 16)
            piece = self._read(size)
            body += piece
            if len(piece) < size or self._line() != b"\r\n":
                break
            if size == 0:
                return body, True
        return body, False

    def _line(self) -> bytes:
        try:
            return self.file.readline()
        except ConnectionResetError:
            return b""

    def _read(self, size: int) -> bytes:
        try:
            return self.file.read(size)
        except ConnectionResetError:
            return b""


class Served:
    """A server that answers on a free port. `close` asserts that nothing is left behind."""

    def __init__(self, **limits: float):
        self.thread = LoopThread()
        self.loop_errors: list[dict[str, Any]] = []
        self.thread.loop.set_exception_handler(lambda _, context: self.loop_errors.append(context))
        self.application = FakeApplication()
        self.server = HttpServer(self.application, FAST._replace(**limits))  # type: ignore[arg-type]  # whole bytes
        sockets = listen("127.0.0.1", 0, "TEST")
        self.port: int = sockets[0].getsockname()[1]
        self.thread.call(self.server.start(sockets))
        self._files = _open_files()
        self._clients: list[Client] = []
        self.busy_body: AsyncIterator[bytes] | None = None
        """What `busy_client` is answered with instead of its own body."""
        self._released = self.thread.run(asyncio.Event)

    def connect(self, receive_bytes: int | None = None) -> Client:
        client = Client(self.port, receive_bytes)
        self._clients.append(client)
        return client

    def busy_client(self, body: bytes = b"abc") -> Client:
        """Return a client whose request is being answered until `release`."""
        before = len(self.application.requests)
        self.application.handlers["/busy"] = self._busy
        client = self.connect()
        client.send(post(body, "/busy"))
        wait_for("its request", lambda: len(self.application.requests) > before)
        return client

    def release(self) -> None:
        self.thread.run(self._released.set)

    async def _busy(self, request: Request) -> Answer:
        await self._released.wait()
        return Answer(200, [], self.busy_body or request.body)

    def gone(self) -> int:
        """How many clients have gone while their requests are being answered."""
        return sum(connection._sender.is_closed for connection in list(self.server._connections))

    def connected(self) -> int:
        """How many connections the server has."""
        return len(self.server._connections)

    def stop(self) -> None:
        self.thread.call(self.server.stop())

    def wait_until_empty(self) -> None:
        """Wait until the server has no connection, and no memory taken."""
        wait_for("no connection", lambda: self.connected() == 0)
        assert self.server.memory.taken_bytes == 0

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self.wait_until_empty()
        self.stop()
        wait_for("fewer files open than at the start", lambda: _open_files() < self._files)
        tasks = self.thread.run(lambda: len(asyncio.all_tasks(self.thread.loop)) - 1)
        self.thread.run(gc.collect)  # finds exceptions that no one retrieved
        self.thread.close()
        assert self.loop_errors == [], [str(c) for c in self.loop_errors]
        assert tasks == 0


Serve = Callable[..., Served]
"""Starts a server with these limits instead of `FAST`."""


def get(path: str = "/", *headers: str, version: str = "1.1") -> bytes:
    """A GET."""
    return _head("GET", path, headers, version) + b"\r\n"


def post(body: bytes, path: str = "/", *headers: str, version: str = "1.1") -> bytes:
    """A POST with its length."""
    length = b"Content-Length: %d\r\n\r\n" % len(body)
    return _head("POST", path, headers, version) + length + body


def chunked(*pieces: bytes, path: str = "/") -> bytes:
    """A POST in chunks."""
    head = _head("POST", path, ("Transfer-Encoding: chunked",), "1.1") + b"\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


def _head(method: str, path: str, headers: tuple[str, ...], version: str) -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "Host: test", *headers, ""]
    return "\r\n".join(lines).encode("latin-1")


def _open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
