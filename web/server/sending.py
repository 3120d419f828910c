"""Sends the answers of one connection: whole, or piece by piece and no faster than the client takes
them. `web.server.connection` calls it, and closes the connection.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from web.server import wire
from web.server.messages import Answer
from web.server.reader import Incoming

if TYPE_CHECKING:
    from web.server.server import HttpServer

_AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER of no time: closing sends a reset (tcp(7))


class Sender:
    """Writes to one client. What is sent to a client that has gone is dropped."""

    def __init__(self, server: "HttpServer", transport: asyncio.Transport):
        self._server, self._transport = server, transport
        self.drained: asyncio.Future[None] | None = None
        """Set while the client does not take what was sent: done once it has."""
        self.is_closed = False

    def pause(self) -> None:
        """Note that much is unsent."""
        if self.drained is None:
            self.drained = self._server.loop.create_future()

    def resume(self) -> None:
        """Note that the client took what was sent, or has gone."""
        drained, self.drained = self.drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    def close(self) -> None:
        """Note that the client has gone. The transport raises at whatever is written now."""
        self.is_closed = True
        self.resume()

    def break_off(self) -> None:
        """Reset the connection: a client of HTTP/1.0 takes what it has for the whole answer if the
        connection ends in order.
        """
        if self._transport.is_closing():
            return
        with contextlib.suppress(OSError):  # the client was quicker
            self._transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE
            )
        self._transport.abort()

    async def answer(self, incoming: Incoming) -> bool:
        """Have a request answered, and send that. Return whether the connection is kept."""
        front, request = self._server.front, incoming.request
        if request is None:
            assert incoming.problem is not None
            answer, method, version = front.refuse(incoming.problem), "GET", "1.1"
        else:
            answer = await front.answer(request)
            method, version = request.method, request.version
        keeps_alive, body = incoming.keeps_alive and self._server.may_keep(), answer.body
        if isinstance(body, bytes):
            self._send(answer, body, method, version, keeps_alive=keeps_alive)
        else:
            # Without a length HTTP/1.0 knows the end by the closing.
            keeps_alive = keeps_alive and not (answer.length is None and version == "1.0")
            await self._stream(answer, body, method, version, keeps_alive=keeps_alive)
        return keeps_alive

    def _send(
        self, answer: Answer, body: bytes, method: str, version: str, *, keeps_alive: bool
    ) -> None:
        """Send an answer whose body is there."""
        if self.is_closed:
            return
        has_body = wire.has_body(method, answer.status)
        length = len(body) if has_body or answer.length is None else answer.length
        head = wire.head(answer, self._server.date, version, length, keeps_alive=keeps_alive)
        self._transport.write(head + body if has_body else head)

    async def _stream(
        self,
        answer: Answer,
        pieces: AsyncIterator[bytes],
        method: str,
        version: str,
        *,
        keeps_alive: bool,
    ) -> None:
        """Send an answer whose body is still to be made, and close that in any case."""
        length = answer.length
        try:
            if not self.is_closed:
                self._transport.write(
                    wire.head(answer, self._server.date, version, length, keeps_alive=keeps_alive)
                )
                if wire.has_body(method, answer.status):
                    await self._send_pieces(
                        pieces, length, is_chunked=length is None and version != "1.0"
                    )
        finally:
            await pieces.aclose()  # type: ignore[attr-defined]  # of async generators

    async def _send_pieces(
        self, pieces: AsyncIterator[bytes], length: int | None, *, is_chunked: bool
    ) -> None:
        sent_bytes = 0
        async for piece in pieces:
            sent_bytes += len(piece)
            if length is not None and sent_bytes > length:
                break
            if not await self._is_taken(wire.chunk(piece) if is_chunked and piece else piece):
                return
        if length is not None and sent_bytes != length:
            raise ValueError(f"a body has {sent_bytes} bytes, or more, of {length} announced")
        if is_chunked:
            await self._is_taken(wire.LAST_CHUNK)

    async def _is_taken(self, data: bytes) -> bool:
        """Send, and wait for the client. Return False when it has gone."""
        if not self.is_closed:
            self._transport.write(data)
            if self.drained is not None:
                await self.drained
        return not self.is_closed
