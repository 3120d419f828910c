"""How fast refused bodies are read and dropped, over all clients.

Each read takes a turn of the event loop. Sixty clients that send as fast as they can would leave
no turn for the others, so each waits for the next after every read.
"""

import asyncio
from collections import deque
from collections.abc import Callable

_TURN_S = 0.01
_READS = 4
"""Reads in a turn, over all clients. A read takes 64 to 256 KiB. More: other requests wait. Fewer:
a client waits longer for its 413.
"""


class DroppingQueue:
    """The clients whose refused bodies are being read. Belongs to the event loop's thread."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._turn: asyncio.TimerHandle | None = None

    def wait(self, read_on: Callable[[], None]) -> None:
        """Have `read_on` called when it is this client's turn."""
        self._waiting.append(read_on)
        if self._turn is None:
            self._turn = asyncio.get_running_loop().call_later(_TURN_S, self._take_turn)

    def _take_turn(self) -> None:
        for _ in range(min(_READS, len(self._waiting))):
            self._waiting.popleft()()
        self._turn = None
        if self._waiting:
            self._turn = asyncio.get_running_loop().call_later(_TURN_S, self._take_turn)
