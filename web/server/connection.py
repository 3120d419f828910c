"""One client's connection: it reads requests, has each answered in turn, and closes.

A client that stops sending or reading costs a socket until its deadline, never a thread. Deadlines
are looked at once a second, by the server: a timer for each request costs more than the request's
parsing.
"""

import asyncio
import math
from typing import TYPE_CHECKING, cast

from web.server import refusals, wire
from web.server.reader import BODY, DROPPING, HEAD, IDLE, OVER, Incoming, RequestReader
from web.server.sending import Sender
from web.server.sockets import peer_address

if TYPE_CHECKING:
    from web.server.server import HttpServer

_PIPELINED = 16
"""Requests that may wait on one connection. More: a client that sends without reading takes
memory.
"""

_AT_ONCE_BYTES = 8 * 1024
"""How much is read before the requests that wait are counted. More: a client that sends the
smallest requests has thousands of them waiting, each of which takes forty times its bytes.
"""

_PIECES_AT_ONCE = 500
"""Pieces of bodies that are read before the other clients have their turn. More: a client that
sends chunks of one byte delays them.
"""


class Connection(asyncio.Protocol):
    """A connection. Belongs to the event loop's thread."""

    _transport: asyncio.Transport
    _reader: RequestReader
    _sender: Sender

    def __init__(self, server: "HttpServer"):
        self._server = server
        self._limits = server.limits
        self._task: asyncio.Task[None] | None = None
        self._answered: Incoming | None = None
        """What is being answered."""
        self._unread = b""
        """What came behind many requests or pieces: it is read once these are answered, or the
        others had their turn.
        """
        self._lingers = self._is_aborted = False
        self._reads_on = self._waits_for_turn = False
        """Whether reading goes on in the loop's next turn, or in one of those for dropping."""
        self._unsent_bytes, self._stalled_since_s = 0, math.inf
        self.deadline_s = math.inf
        """When the client must have sent, or taken, what it is expected to."""

    # asyncio calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        server = self._server
        self._reader = RequestReader(
            server.front, self._limits, server.memory, peer_address(transport)
        )
        self._sender = Sender(server, self._transport)
        self._await_within(self._limits.idle_s)
        server.opened(self)

    def data_received(self, data: bytes) -> None:
        if self._lingers:
            self._wait_for_turn()
        elif self._reader.phase is OVER:
            # Nothing more of this client is read before it has its answers.
            self._reader.is_whole = False
            self._transport.pause_reading()
        elif len(data) <= _AT_ONCE_BYTES:
            self._read(data)
        else:
            self._read_much(data)

    def eof_received(self) -> bool:
        """Keep the connection for the answers to what came, if anything did: a client may end its
        sending half and wait for them.
        """
        if self._lingers or (self._task is None and not self._reader.ready):
            return False
        self._reader.stop()
        self._reader.is_whole = True
        return True

    def pause_writing(self) -> None:
        self._sender.pause()

    def resume_writing(self) -> None:
        self._sender.resume()

    def connection_lost(self, _error: Exception | None) -> None:
        self._reader.close()
        self._sender.close()
        self._unread = b""
        if self._task is None:
            self._server.closed(self)

    # The server calls these.

    def check(self, now_s: float) -> None:
        """Act on a deadline that has passed."""
        if self._sender.is_closed:
            return
        unsent_bytes = self._transport.get_write_buffer_size()
        if not unsent_bytes or unsent_bytes != self._unsent_bytes:
            self._unsent_bytes, self._stalled_since_s = unsent_bytes, now_s
        elif now_s >= self._stalled_since_s + self._limits.stalled_s:
            self.abort()
        if now_s >= self.deadline_s:
            self._expire()

    def stop(self) -> None:
        """Close if nothing is being received or answered. What is, ends with its answer."""
        if self._task is None and self._reader.phase is IDLE:
            self._transport.close()

    def abort(self) -> None:
        """End the connection and what is being answered on it."""
        if self._task is None:
            self._transport.abort()
        elif not self._is_aborted:
            self._sender.break_off()
            self._is_aborted = True  # a second time would interrupt what the first cleans up
            self._task.cancel()
            self._task.add_done_callback(self._settle)  # one that has not begun runs nothing

    @property
    def is_waiting(self) -> bool:
        """Whether the client is expected to send: nothing of it is being answered."""
        return self._task is None

    # Receiving.

    def _read_much(self, data: bytes) -> None:
        """Read in slices as far as it is this client's turn, and go on in the next one. libuv would
        take up to 8 MiB of it before it looks at another client.
        """
        self._transport.pause_reading()
        reader = self._reader
        most = reader.pieces + _PIECES_AT_ONCE
        for start in range(0, len(data), _AT_ONCE_BYTES):
            if len(reader.ready) >= _PIPELINED or reader.pieces > most:
                self._unread = data[start:]
                break
            self._read(data[start : start + _AT_ONCE_BYTES])
        if not self._reads_on:
            self._reads_on = True
            self._server.loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        """Read what is unread, and then more, unless the client has to wait for its turn or for its
        answers.
        """
        self._reads_on = False
        if self._waits_for_turn or len(self._reader.ready) >= _PIPELINED:
            return
        if self._unread:
            unread, self._unread = self._unread, b""
            self._read_much(unread)
        elif self._lingers or self._reader.phase is not OVER:
            self._transport.resume_reading()

    def _read(self, data: bytes) -> None:
        reader = self._reader
        before = reader.phase
        reader.feed(data)
        phase = reader.phase
        if phase is DROPPING:
            self._wait_for_turn()
        if phase is not IDLE and reader.dropped_bytes > self._limits.dropped_bytes:
            reader.give_up(refusals.body_too_large(self._limits.dropped_bytes))
        if reader.ready:
            self._next()
        elif self._task is None:
            self._invite()
            # The time for a body does not start again when its rest is dropped.
            if phase is not before and before is not BODY:
                self._set_deadline()

    def _invite(self) -> None:
        """Ask for the body, if the client waits for that."""
        if self._reader.wants_continue:
            self._reader.wants_continue = False
            self._transport.write(wire.CONTINUE)

    def _wait_for_turn(self) -> None:
        """Read no more of what is dropped before the others had their turn."""
        if not self._waits_for_turn:
            self._waits_for_turn = True
            self._transport.pause_reading()
            self._server.dropping.wait(self._drop_on)

    def _drop_on(self) -> None:
        self._waits_for_turn = False
        if not self._sender.is_closed and not self._reads_on:
            self._read_on()

    def _set_deadline(self) -> None:
        limits, phase = self._limits, self._reader.phase
        self._await_within(
            limits.idle_s if phase is IDLE else limits.head_s if phase is HEAD else limits.body_s
        )

    def _await_within(self, seconds: float) -> None:
        self.deadline_s = self._server.loop.time() + seconds

    def _expire(self) -> None:
        self.deadline_s = math.inf
        reader, limits = self._reader, self._limits
        if self._lingers:
            self._transport.abort()
        elif reader.phase is IDLE:
            self._transport.close()
        elif self._task is None and reader.phase is not OVER:
            if reader.phase is HEAD:
                reader.give_up(refusals.timeout("head", limits.head_s))
            else:
                reader.give_up(refusals.timeout("body", limits.body_s))
            self._next()

    # Answering.

    def _next(self) -> None:
        """Answer the next request, unless one is being answered."""
        if self._task is None:
            self.deadline_s = math.inf
            self._answered = self._reader.ready.popleft()
            self._task = self._server.loop.create_task(self._answer(self._answered))
        if len(self._reader.ready) >= _PIPELINED:
            self._transport.pause_reading()

    async def _answer(self, incoming: Incoming) -> None:
        keeps_alive: bool | None = None
        try:
            keeps_alive = await self._sender.answer(incoming)
            if self._sender.drained is not None:
                await self._sender.drained
        except Exception as error:  # noqa: BLE001 - any: a bug must not end the process
            self._server.front.report(error)
            keeps_alive = None
        finally:
            self._settle()
            if keeps_alive is None:
                self._sender.break_off()
        if keeps_alive is not None and not self._transport.is_closing():
            try:
                self._go_on(keeps_alive=keeps_alive)
            except Exception as error:  # noqa: BLE001 - see above
                self._server.front.report(error)
                self._sender.break_off()

    def _settle(self, _task: object = None) -> None:
        """Note that nothing is being answered any more."""
        self._task = None
        if self._answered is not None:
            self._server.memory.taken_bytes -= self._answered.kept_bytes
            self._answered = None
        if self._sender.is_closed:
            self._server.closed(self)

    def _go_on(self, *, keeps_alive: bool) -> None:
        """Answer the next request, wait for it, or close."""
        reader = self._reader
        if not keeps_alive or self._server.is_stopping:
            self._close()
            return
        if reader.ready:
            self._next()
        elif reader.phase is OVER:
            self._close()
        else:
            self._invite()
            self._set_deadline()
            if not self._reads_on:
                self._read_on()

    def _close(self) -> None:
        """Close. A client that is still sending gets time to read the answer first: bytes that are
        not read turn into a reset, which destroys it.
        """
        reader = self._reader
        is_whole = reader.is_whole and reader.phase in {IDLE, OVER}
        is_whole = is_whole and not reader.ready and not self._unread
        reader.stop()
        reader.forget_ready()
        self._unread = b""
        if is_whole:
            self._transport.close()
            return
        self._lingers = True
        self._await_within(self._limits.linger_s)
        self._transport.write_eof()
        self._transport.resume_reading()
