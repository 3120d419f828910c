"""A server that answers every request with the very bytes it was given, then ends the connection,
politely or not.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from enum import Enum

_AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER of no time: closing sends a reset (tcp(7))


class End(Enum):
    """How the connection ends behind the answer."""

    CLOSED = "closed"
    RUDELY = "without TLS's goodbye"
    RESET = "reset"
    NEVER = "kept open, silent"


class Blunt:
    """`requests`: the heads that came, as they came."""

    def __init__(self, answer: bytes, end: End):
        self.answer, self.end, self.requests, self.port = answer, end, list[bytes](), 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(self.answer)
            await writer.drain()
            if self.end is End.NEVER:
                await reader.read()
            if self.end is End.RESET:
                await asyncio.sleep(0)
                writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE
                )
            if self.end in (End.RESET, End.RUDELY):
                writer.transport.abort()
        writer.close()


@contextlib.asynccontextmanager
async def blunt(
    answer: bytes, end: End = End.CLOSED, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Blunt]:
    """On a free port of 127.0.0.1, on the running loop."""
    made = Blunt(answer, end)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=tls, limit=2**22)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
