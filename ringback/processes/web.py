"""The HTTP server of `serve`, and of a dispatcher's health: cheroot, with its own threads."""

import contextlib
import errno
import socket
import threading
from collections.abc import Iterator
from typing import Any

from cheroot.makefile import StreamWriter
from cheroot.server import HeaderReader, HTTPConnection, HTTPRequest
from cheroot.wsgi import Server

from ringback.setting_values import ListenAddress
from schemas.errors import RingbackError

THREADS = 32
"""Requests handled at once. More: they only take turns. Fewer: clients wait while commits are
awaited.
"""

_BACKLOG = 1024
_KEPT_CONNECTIONS = 1000
"""Connections that stay open after their answer. More: idle clients hold more descriptors. Fewer:
clients reconnect more often.
"""

_HELD_BYTES = 64 * 1024
"""How much of an answer is buffered. Larger: more memory for each download. Smaller: more system
calls for an answer.
"""

_STOP_LIMIT_S = 5
_SINGLE = b"X-Required-Permission"
"""A header that must not come twice."""


class CannotListen(RingbackError):
    """An address cannot be bound: another process uses it, or it is not allowed."""

    def __init__(self, address: ListenAddress, setting: str, error: OSError):
        remedy = f"set {setting} to another host:port"
        super().__init__(
            f"{address} is in use: stop what listens there, or {remedy}"
            if error.errno == errno.EADDRINUSE
            else f"cannot bind {address} ({error.strerror or error}): {remedy}"
        )


class _Writer(StreamWriter):
    """A writer that sends an answer with one system call. The library's needs one for its head and
    one for its body, and each releases the GIL.
    """

    _held: bytearray | None = None

    @contextlib.contextmanager
    def one_write(self) -> Iterator[None]:
        """Buffer what is written in the block, up to `_HELD_BYTES`, and send it at the end."""
        self._held = bytearray()
        try:
            yield
        finally:
            self._send_held()
            self._held = None

    def write(self, data: bytes) -> int:  # type: ignore[override]  # called with bytes alone
        if self._held is None:
            super().write(data)  # type: ignore[no-untyped-call]  # the library has no types
        else:
            self._held += data
            if len(self._held) > _HELD_BYTES:
                self._send_held()
        return len(data)

    def _send_held(self) -> None:
        if self._held:
            data = bytes(self._held)
            self._held.clear()  # first: what cannot be sent now cannot be sent later either
            super().write(data)  # type: ignore[no-untyped-call]  # the library has no types


class _Fields(dict[bytes, bytes]):
    """Headers of a request. The library keeps the last of two with one name: a client must not
    replace the permission that a gateway requires.
    """

    def __setitem__(self, name: bytes, value: bytes) -> None:
        super().__setitem__(
            name, b", ".join((self[name], value)) if name == _SINGLE and name in self else value
        )


class _HeaderReader(HeaderReader):
    def __call__(self, rfile: Any, hdict: Any = None) -> Any:
        hdict.update(super().__call__(rfile, _Fields()))
        return hdict


class _Request(HTTPRequest):
    header_reader = _HeaderReader()

    def respond(self) -> None:
        with self.conn.wfile.one_write():
            super().respond()


class _Connection(HTTPConnection):
    RequestHandlerClass = _Request

    def __init__(self, server: "_Server", sock: socket.socket, *arguments: Any):
        super().__init__(server, sock, *arguments)
        self.wfile = _Writer(sock, "wb", self.wbufsize)
        server.opened.add(self)

    def close(self) -> None:
        self.server.opened.discard(self)
        super().close()


class _Server(Server):
    """A server that knows how many connections are open. The library counts them again for each
    answer, under a lock that all requests wait for.
    """

    ConnectionClass = _Connection

    def __init__(self, *arguments: Any, **options: Any):
        self.opened: set[_Connection] = set()
        super().__init__(*arguments, **options)

    @property
    def can_add_keepalive_connection(self) -> bool:
        """Whether another connection may stay open after its answer."""
        return self.ready and len(self.opened) <= _KEPT_CONNECTIONS


class WebServer:
    """A server of one WSGI application. Creating it binds the port. Raises CannotListen."""

    def __init__(
        self,
        application: object,
        address: ListenAddress,
        setting: str = "RINGBACK_LISTEN",
        threads: int = THREADS,
    ):
        self._server = _Server(
            (address.host, address.port),
            application,
            numthreads=threads,
            request_queue_size=_BACKLOG,
            shutdown_timeout=_STOP_LIMIT_S,
        )
        try:
            self._server.prepare()
        except OSError as error:
            raise CannotListen(address, setting, error) from error
        self._thread = threading.Thread(target=self._server.serve, name="web", daemon=True)

    def start(self) -> None:
        """Start to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer open requests, then close. Blocks for `_STOP_LIMIT_S` at most."""
        self._server.stop()
        self._thread.join()
