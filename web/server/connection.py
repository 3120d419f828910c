"""One client's connection: it reads requests, has each answered in turn, and closes.

A client that stops sending or reading costs a socket until its deadline, never a thread. Deadlines
are looked at once a second, by the server: a timer for each request costs more than the request's
parsing.
"""

import asyncio
import math
from typing import TYPE_CHECKING, cast

from schemas.errors import Problem, RequestTimeout
from web.server import wire
from web.server.messages import Answer
from web.server.reader import Incoming, Phase, RequestReader

if TYPE_CHECKING:
    from web.server.server import HttpServer

_PIPELINED = 16
"""Requests that may wait on one connection. More: a client that sends without reading takes
memory.
"""


class Connection(asyncio.Protocol):
    """A connection. Belongs to the event loop's thread."""

    _transport: asyncio.Transport
    _reader: RequestReader

    def __init__(self, server: "HttpServer"):
        self._server = server
        self._limits = server.limits
        self._task: asyncio.Task[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._lost = False
        self._lingers = False
        self._unsent_bytes, self._stalled_since_s = 0, math.inf
        self._dropped_this_second = 0
        self.deadline_s = math.inf
        """When the client must have sent, or taken, what it is expected to."""

    # asyncio calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        client = str(peer[0]) if isinstance(peer, tuple) else ""
        server = self._server
        self._reader = RequestReader(server.application, self._limits, server.memory, client)
        server.opened(self)
        self._await_within(self._limits.idle_s)

    def data_received(self, data: bytes) -> None:
        if self._lingers:
            self._count_dropped(len(data))
            return
        reader = self._reader
        before, dropped_bytes = reader.phase, reader.dropped_bytes
        reader.feed(data)
        if reader.phase is Phase.DROPPING:
            self._count_dropped(reader.dropped_bytes - dropped_bytes)
            if reader.dropped_bytes > self._limits.dropped_bytes:
                reader.give_up(self._timeout("body"))
        if reader.wants_continue and self._task is None:
            reader.wants_continue = False
            self._transport.write(wire.CONTINUE)
        if reader.ready:
            self._next()
        elif reader.phase is not before:
            self._set_deadline()

    def eof_received(self) -> bool:
        """Keep the connection for the answer to what came, if anything did."""
        if self._lingers or (self._task is None and not self._reader.ready):
            return False
        self._reader.phase = Phase.OVER
        return True

    def pause_writing(self) -> None:
        if self._drained is None:
            self._drained = self._server.loop.create_future()

    def resume_writing(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    def connection_lost(self, _error: Exception | None) -> None:
        self._lost = True
        self._reader.release()
        self._server.closed(self)
        for waiting in self._reader.ready:
            self._server.memory.taken_bytes -= waiting.kept_bytes
        self._reader.ready.clear()
        self.resume_writing()

    # The server calls these.

    def check(self, now_s: float) -> None:
        """Act on a deadline that has passed. Called once a second."""
        self._dropped_this_second = 0
        unsent_bytes = self._transport.get_write_buffer_size()
        if unsent_bytes and unsent_bytes == self._unsent_bytes:
            if now_s >= self._stalled_since_s + self._limits.stalled_s:
                self.abort()
        else:
            self._unsent_bytes, self._stalled_since_s = unsent_bytes, now_s
        if self._reader.phase is Phase.DROPPING or self._lingers:
            self._transport.resume_reading()
        if now_s < self.deadline_s:
            return
        if self._lingers or self._reader.phase is Phase.IDLE:
            self._transport.abort()
            return
        self._reader.give_up(self._timeout("head" if self._reader.phase is Phase.HEAD else "body"))
        self._next()

    def stop(self) -> None:
        """Close once nothing is being answered."""
        self._reader.phase = Phase.OVER
        if self._task is None:
            self._transport.close()

    def abort(self) -> None:
        """End the connection and what is being answered on it."""
        if self._task is not None:
            self._task.cancel()
        self._transport.abort()

    @property
    def is_waiting(self) -> bool:
        """Whether the client is expected to send: nothing of it is being answered."""
        return self._task is None

    def _next(self) -> None:
        """Answer the next request, unless one is being answered."""
        if self._task is None and self._reader.ready and not self._lost:
            self.deadline_s = math.inf
            incoming = self._reader.ready.popleft()
            self._task = self._server.loop.create_task(self._answer(incoming))
        if len(self._reader.ready) >= _PIPELINED:
            self._transport.pause_reading()

    async def _answer(self, incoming: Incoming) -> None:
        keeps_alive = False
        try:
            keeps_alive = await self._respond(incoming)
            if self._drained is not None:
                await self._drained
        except Exception as error:  # noqa: BLE001 - any: a bug must not end the process
            # The client cannot be informed any more: what it has of the answer must not look whole.
            self._server.application.report(error)
            self._transport.abort()
        finally:
            self._task = None
            self._server.memory.taken_bytes -= incoming.kept_bytes
        self._answered(keeps_alive=keeps_alive)

    async def _respond(self, incoming: Incoming) -> bool:
        """Send the answer. Return whether the connection is kept."""
        application, request = self._server.application, incoming.request
        if request is None:
            assert incoming.problem is not None
            answer, method, is_old = application.refuse(incoming.problem), "GET", False
        else:
            answer = await application.answer(request)
            method, is_old = request.method, request.version == "1.0"
        keeps_alive = incoming.keeps_alive and self._server.may_keep()
        if isinstance(answer.body, bytes):
            self._send(answer, answer.body, method, keeps_alive=keeps_alive)
            return keeps_alive
        return await self._stream(answer, method, is_old, keeps_alive=keeps_alive)

    def _send(self, answer: Answer, body: bytes, method: str, *, keeps_alive: bool) -> None:
        head = wire.head(answer, self._server.date, keeps_alive=keeps_alive, is_chunked=False)
        self._transport.write(head + body if wire.has_body(method, answer.status) else head)

    async def _stream(
        self, answer: Answer, method: str, is_old: bool, *, keeps_alive: bool
    ) -> bool:
        """Send a body piece by piece, no faster than the client takes it. Return whether the
        connection can be kept: without a length HTTP/1.0 knows the end by the closing.
        """
        pieces = answer.body
        assert not isinstance(pieces, bytes)
        is_chunked = answer.length is None and not is_old
        keeps_alive = keeps_alive and (is_chunked or answer.length is not None)
        head = wire.head(answer, self._server.date, keeps_alive=keeps_alive, is_chunked=is_chunked)
        self._transport.write(head)
        try:
            if wire.has_body(method, answer.status):
                async for piece in pieces:
                    if self._lost:
                        return False
                    if piece:
                        self._transport.write(wire.chunk(piece) if is_chunked else piece)
                    if self._drained is not None:
                        await self._drained
                if is_chunked:
                    self._transport.write(wire.LAST_CHUNK)
        finally:
            await pieces.aclose()  # type: ignore[attr-defined]  # of async generators
        return keeps_alive

    def _answered(self, *, keeps_alive: bool) -> None:
        if self._lost or self._transport.is_closing():
            return
        if not keeps_alive:
            self._close()
        elif self._reader.ready:
            self._next()
        elif self._reader.phase is Phase.OVER:
            self._close()
        else:
            self._transport.resume_reading()
            self._set_deadline()

    def _close(self) -> None:
        """Close. A client that is still sending gets time to read the answer first."""
        self._reader.ready.clear()
        if self._reader.is_whole:
            self._transport.close()
            return
        self._lingers = True
        self._await_within(self._limits.linger_s)
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._transport.resume_reading()

    def _set_deadline(self) -> None:
        limits, phase = self._limits, self._reader.phase
        if self._task is not None:
            return
        self._await_within(
            limits.idle_s
            if phase is Phase.IDLE
            else limits.head_s
            if phase is Phase.HEAD
            else limits.body_s
        )

    def _await_within(self, seconds: float) -> None:
        self.deadline_s = self._server.loop.time() + seconds

    def _count_dropped(self, size_bytes: int) -> None:
        """Let the others have their turn: the server resumes reading within a second."""
        self._dropped_this_second += size_bytes
        if self._dropped_this_second > self._limits.dropped_bytes_per_s:
            self._transport.pause_reading()

    def _timeout(self, part: str) -> Problem:
        seconds = self._limits.head_s if part == "head" else self._limits.body_s
        return RequestTimeout(
            f"the {part} of the request was not sent within {seconds:g} s: send it at once"
        )
