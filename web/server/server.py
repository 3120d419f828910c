"""The HTTP server of a process: its connections, their deadlines, and its stop."""

import asyncio
import resource
import socket
from collections.abc import Sequence
from email.utils import formatdate
from itertools import islice

from web.server.connection import Connection
from web.server.limits import BodyMemory, Limits
from web.server.messages import Application

_CHECK_EVERY_S = 1.0
_SHARE_OF_DESCRIPTORS = 0.75
"""The share of the process's descriptors that connections may use. The rest is for the database,
the broker, files and callbacks.
"""

_CLOSED_AT_ONCE = 100
"""Waiting connections that are closed when there are too many. Fewer: this is done more often."""


class HttpServer:
    """Serves one application on listening sockets. Belongs to the event loop's thread."""

    def __init__(self, application: Application, limits: Limits | None = None):
        self.application = application
        self.limits = limits or Limits()
        self.memory = BodyMemory(self.limits)
        self.date = formatdate(usegmt=True)
        """The header Date of answers, of this second."""
        self.loop: asyncio.AbstractEventLoop
        self._connections: dict[Connection, None] = {}
        self._listening: list[asyncio.Server] = []
        self._check: asyncio.TimerHandle | None = None
        self._is_stopping = False
        self._emptied = asyncio.Event()

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Start to answer on the running event loop. The sockets are bound already."""
        self.loop = asyncio.get_running_loop()
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = int(descriptors * _SHARE_OF_DESCRIPTORS)
        self._check_all()
        for bound in sockets:
            self._listening.append(
                await self.loop.create_server(lambda: Connection(self), sock=bound)
            )

    async def stop(self) -> None:
        """Accept nothing more, finish what is being answered within `Limits.stop_s`, and close."""
        self._is_stopping = True
        for server in self._listening:
            server.close()
        for connection in list(self._connections):
            connection.stop()
        if self._connections:
            await asyncio.wait(
                [asyncio.ensure_future(self._emptied.wait())], timeout=self.limits.stop_s
            )
        for connection in list(self._connections):
            connection.abort()
        if self._check is not None:
            self._check.cancel()

    def may_keep(self) -> bool:
        """Return whether another connection may stay open after its answer."""
        return not self._is_stopping and len(self._connections) <= self.limits.kept_connections

    def opened(self, connection: Connection) -> None:
        """Count a connection. If there are too many, the oldest of those that wait are closed."""
        self._connections[connection] = None
        if len(self._connections) > self._most:
            waiting = (known for known in self._connections if known.is_waiting)
            for known in list(islice(waiting, _CLOSED_AT_ONCE)):
                known.abort()

    def closed(self, connection: Connection) -> None:
        """Forget a connection."""
        self._connections.pop(connection, None)
        if not self._connections:
            self._emptied.set()

    def _check_all(self) -> None:
        self.date = formatdate(usegmt=True)
        now_s = self.loop.time()
        for connection in list(self._connections):
            connection.check(now_s)
        self._check = self.loop.call_later(_CHECK_EVERY_S, self._check_all)
