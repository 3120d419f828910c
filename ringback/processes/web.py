"""The API's server inside one embedded process: cheroot's threads beside the event loop."""

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
"""Requests handled at once. Fewer: clients wait while commits are awaited. More only take turns."""

_BACKLOG = 1024
_KEPT_CONNECTIONS = 1000
"""Beyond it a connection is closed after its answer. More: idle clients hold more descriptors.
Fewer: clients reconnect more often.
"""

_HELD_BYTES = 64 * 1024
"""How much of an answer is kept to be sent at once. More: more memory for each download."""

_STOP_LIMIT_S = 5
_ONCE = b"X-Required-Permission"


class CannotListen(RingbackError):
    """Somebody else listens there, or nobody may."""

    def __init__(self, address: ListenAddress, setting: str, error: OSError):
        taken = error.errno == errno.EADDRINUSE
        why = (
            "is taken: stop what listens there,"
            if taken
            else f"cannot be listened on ({error.strerror or error}):"
        )
        super().__init__(
            f"{address} {why} {'or ' if taken else ''}set {setting} to another host:port"
        )


class _Writer(StreamWriter):
    """Sends an answer at once: the library's takes a system call for its head and one for its body,
    and each gives the GIL away.
    """

    _held: bytearray | None = None

    @contextlib.contextmanager
    def one_write(self) -> Iterator[None]:
        """Keep what is written in the block, unless it is much, and send it at its end."""
        self._held = bytearray()
        try:
            yield
        finally:
            self._send_held()
            self._held = None

    def write(self, data: bytes) -> int:  # type: ignore[override]  # the library calls it with bytes alone
        if self._held is None:
            super().write(data)  # type: ignore[no-untyped-call]
        else:
            self._held += data
            if len(self._held) > _HELD_BYTES:
                self._send_held()
        return len(data)

    def _send_held(self) -> None:
        if self._held:
            data = bytes(self._held)
            self._held.clear()  # first: what cannot be sent now cannot be sent later either
            super().write(data)  # type: ignore[no-untyped-call]


class _Fields(dict[bytes, bytes]):
    """Of a field that comes twice the library keeps the last. Whoever asks for a permission must
    not have it replaced by another.
    """

    def __setitem__(self, name: bytes, value: bytes) -> None:
        super().__setitem__(
            name, b", ".join((self[name], value)) if name == _ONCE and name in self else value
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
    """Knows how many connections are open: the library counts them anew for each answer, under a
    lock that all requests wait for.
    """

    ConnectionClass = _Connection

    def __init__(self, *arguments: Any, **options: Any):
        self.opened: set[_Connection] = set()
        super().__init__(*arguments, **options)

    @property
    def can_add_keepalive_connection(self) -> bool:
        return self.ready and len(self.opened) <= _KEPT_CONNECTIONS


class WebServer:
    """Serves one WSGI application. Build it (which binds the port), `start` it, `stop` it."""

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
        self._thread.start()

    def stop(self) -> None:
        """Answer what has been asked, then close. Blocks for some seconds at most."""
        self._server.stop()
        self._thread.join()
