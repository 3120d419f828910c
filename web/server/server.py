"""The HTTP server of a process: its connections, their deadlines, and its stop."""

import asyncio
import contextlib
import resource
import socket
from collections.abc import Sequence
from email.utils import formatdate
from itertools import islice

from web.server.connection import Connection
from web.server.dropping import DroppingQueue
from web.server.limits import BodyMemory, Limits
from web.server.messages import Front

_SHARE_OF_DESCRIPTORS = 0.75
"""The share of the process's descriptors that connections may use. The rest is for the database,
the broker, files and callbacks.
"""

_CLOSED_AT_ONCE = 100
"""Waiting connections that are closed when there are too many. Fewer: this is done more often."""

_CLEAN_UP_S = 1.0
"""How long a stop waits for what it broke off, which closes files and database cursors."""


class HttpServer:
    """Serves one application on listening sockets. Belongs to the event loop's thread."""

    def __init__(self, front: Front, limits: Limits | None = None):
        self.front = front
        self.limits = limits or Limits()
        self.memory = BodyMemory(self.limits)
        self.dropping = DroppingQueue()
        self.date = formatdate(usegmt=True)
        """The header Date of answers, of this second."""
        self.loop: asyncio.AbstractEventLoop
        self._connections: dict[Connection, None] = {}
        self._listening: list[asyncio.Server] = []
        self._check: asyncio.TimerHandle | None = None
        self.is_stopping = False
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
        """Accept nothing more, finish what is being received or answered within `Limits.stop_s`,
        and close.
        """
        self.is_stopping = True
        for server in self._listening:
            server.close()
        for connection in list(self._connections):
            connection.stop()
        await self._wait_until_empty(self.limits.stop_s)
        for connection in list(self._connections):
            connection.abort()
        await self._wait_until_empty(_CLEAN_UP_S)
        if self._check is not None:
            self._check.cancel()

    def may_keep(self) -> bool:
        """Return whether another connection may stay open after its answer."""
        return not self.is_stopping and len(self._connections) <= self.limits.kept_connections

    def opened(self, connection: Connection) -> None:
        """Count a connection. If there are too many, the oldest of those that wait are closed, or
        else this one.
        """
        self._connections[connection] = None
        if self.is_stopping:
            connection.stop()
        elif len(self._connections) > self._most:
            self._make_room(connection)

    def closed(self, connection: Connection) -> None:
        """Forget a connection that has ended, as has what was being answered on it."""
        self._connections.pop(connection, None)
        if not self._connections:
            self._emptied.set()

    def _make_room(self, newest: Connection) -> None:
        waiting = (known for known in self._connections if known.is_waiting and known is not newest)
        for known in list(islice(waiting, _CLOSED_AT_ONCE)) or [newest]:
            known.abort()

    async def _wait_until_empty(self, limit_s: float) -> None:
        if self._connections:
            self._emptied.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._emptied.wait(), limit_s)

    def _check_all(self) -> None:
        self._check = self.loop.call_later(self.limits.check_s, self._check_all)
        self.date = formatdate(usegmt=True)
        now_s = self.loop.time()
        for connection in list(self._connections):
            try:
                connection.check(now_s)
            except Exception as error:  # noqa: BLE001 - any: a bug costs one connection
                self.front.report(error)
                connection.abort()
