"""How many messages the broker may send ahead of their acknowledgements, so that their bytes are
bounded as well. Pure.

AMQP has no limit in bytes that RabbitMQ keeps. Its prefetch counts messages, and one may be four
hundred times as large as another. Called by `source`, on the event loop.
"""

from schemas.events.events import MAX_EVENT_BYTES

MOST_MESSAGES = 2000
"""Unacknowledged messages at most. More: more that comes again after a crash. Fewer: the pipeline
runs dry between acks.
"""

MOST_BYTES = 48 * 1024 * 1024
"""Bytes of unacknowledged messages at which consuming stops. Larger: more memory. Smaller: large
events come in bursts with pauses between.
"""

AIM_BYTES = MOST_BYTES // 2
"""The bytes that the prefetch is chosen for, by the size of the unacknowledged messages. Closer to
the most: consuming stops at messages that are larger than before. Smaller: more pauses.
"""

FIRST = AIM_BYTES // MAX_EVENT_BYTES
"""The prefetch of a new channel, on which the size of messages is not known yet."""


class Window:
    """The prefetch of one channel, whose delivery tags count up."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin a new channel, which holds nothing."""
        self.size = min(FIRST, MOST_MESSAGES)
        """The prefetch of its consumer, in messages."""
        self._messages = self._bytes = 0
        self._last_tag = 0
        self.begin()

    def begin(self) -> None:
        """Begin a new consumer. What the previous one was sent does not count for its prefetch."""
        self._first_tag, self._of_consumer = self._last_tag + 1, 0

    def add(self, tag: int, size_bytes: int) -> None:
        """Count a message that arrived."""
        self._last_tag = tag
        self._count(tag, 1, size_bytes)

    def remove(self, tag: int, size_bytes: int) -> None:
        """Count a message that is acknowledged."""
        self._count(tag, -1, -size_bytes)

    @property
    def is_too_heavy(self) -> bool:
        """Whether nothing more may come for now: messages are larger than those before."""
        return self._bytes > MOST_BYTES

    @property
    def is_light_again(self) -> bool:
        """Whether messages may come again."""
        return self._bytes <= AIM_BYTES // 2

    @property
    def is_too_small(self) -> bool:
        """Whether a larger prefetch is due.

        Only True while the consumer has as many messages as it may: none is on its way then, and it
        can be replaced without a message being sent back and overtaken.
        """
        return self._of_consumer == self.size and self._fitting >= 2 * self.size

    def fit(self) -> None:
        """Choose the prefetch by the unacknowledged messages."""
        self.size = self._fitting

    @property
    def _fitting(self) -> int:
        return min(MOST_MESSAGES, max(1, AIM_BYTES * self._messages // max(1, self._bytes)))

    def _count(self, tag: int, messages: int, size_bytes: int) -> None:
        self._messages += messages
        self._bytes += size_bytes
        if tag >= self._first_tag:
            self._of_consumer += messages
