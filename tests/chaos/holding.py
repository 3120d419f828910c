"""An ear for the proxy before RabbitMQ: how long consumers hold messages, from delivery to
acknowledgement.

Reads just enough of AMQP 0-9-1 (sections 2.3.5 and 4.2) for that. Feeds on whole connections, from
their first byte.
"""

import struct
import time
from collections import defaultdict

from tests.chaos.proxy import Way

_GREETING = 8  # `AMQP` and a version, which only the client sends
_HEAD, _END = 7, 1
_METHOD = 1
_DELIVER, _ACK = (60, 60), (60, 80)


class HoldTimes:
    """Call it with what passes. One for all connections of a proxy."""

    def __init__(self) -> None:
        self._rest: defaultdict[tuple[int, Way], bytes] = defaultdict(bytes)
        self._delivered_s: dict[tuple[int, int, int], float] = {}
        self._longest_s = 0.0

    def __call__(self, connection: int, way: Way, piece: bytes) -> None:
        known = (connection, way) in self._rest
        rest = self._rest[connection, way] + piece
        if not known and way is Way.TO_SERVER:
            rest = rest[_GREETING:]
        while len(rest) >= _HEAD and len(rest) >= (
            end := _HEAD + struct.unpack_from(">I", rest, 3)[0] + _END
        ):
            self._frame(connection, way, rest[:end])
            rest = rest[end:]
        self._rest[connection, way] = rest

    def reset(self) -> None:
        """Count from now on."""
        self._longest_s = 0.0

    @property
    def longest_s(self) -> float:
        """The longest time of those messages that were acknowledged since the reset."""
        return self._longest_s

    def _frame(self, connection: int, way: Way, frame: bytes) -> None:
        kind, channel = struct.unpack_from(">BH", frame)
        if kind != _METHOD:
            return
        method = struct.unpack_from(">HH", frame, _HEAD)
        if way is Way.TO_CLIENT and method == _DELIVER:
            tag_at = _HEAD + 5 + frame[_HEAD + 4]  # after the consumer's tag, a short string
            self._delivered_s[connection, channel, struct.unpack_from(">Q", frame, tag_at)[0]] = (
                time.monotonic()
            )
        elif way is Way.TO_SERVER and method == _ACK:
            since_s = self._delivered_s.pop(
                (connection, channel, struct.unpack_from(">Q", frame, _HEAD + 4)[0]), None
            )
            if since_s is not None:
                self._longest_s = max(self._longest_s, time.monotonic() - since_s)
