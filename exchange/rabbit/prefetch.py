"""How many messages the broker may send ahead of their acknowledgements, so that their bytes are
bounded as well. Pure.

AMQP knows no limit in bytes that RabbitMQ keeps: its prefetch counts messages, and of these one may
be four hundred times another. Called by `rabbit_source`, on the event loop.
"""

from schemas.events.events import MAX_EVENT_BYTES

MOST_MESSAGES = 2000
"""Messages in hand at most. More: more that comes again after a crash. Fewer: the pipeline runs dry
between acks.
"""

MOST_BYTES = 48 * 1024 * 1024
"""Of them, before nothing more is asked for. Larger: more memory. Smaller: large events come by
fits and starts.
"""

AIM_BYTES = MOST_BYTES // 2
"""What the prefetch is chosen for, by the size of the messages in hand. Closer to the most: larger
messages than before are cut off.
"""

FIRST = AIM_BYTES // MAX_EVENT_BYTES
"""Messages that a new channel asks for: nobody knows yet how large they are."""


class Window:
    """Of one channel, whose delivery tags count up. `size` is the prefetch of its consumer."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """A new channel: it holds nothing."""
        self.size = min(FIRST, MOST_MESSAGES)
        self._messages = self._bytes = 0
        self._last_tag = 0
        self.begin()

    def begin(self) -> None:
        """A new consumer: what the one before it was sent does not count against its prefetch."""
        self._first_tag, self._of_consumer = self._last_tag + 1, 0

    def add(self, tag: int, size_bytes: int) -> None:
        """A message came."""
        self._last_tag = tag
        self._count(tag, 1, size_bytes)

    def remove(self, tag: int, size_bytes: int) -> None:
        """A message is acknowledged."""
        self._count(tag, -1, -size_bytes)

    @property
    def is_too_heavy(self) -> bool:
        """Whether nothing more may come for now: messages are larger than those before."""
        return self._bytes > MOST_BYTES

    @property
    def is_light_again(self) -> bool:
        return self._bytes <= AIM_BYTES // 2

    @property
    def is_too_small(self) -> bool:
        """Whether a larger prefetch is due. Only said while the consumer has as many messages as it
        asked for: none is on its way then, and it can be replaced without one being sent back, and
        overtaken.
        """
        return self._of_consumer == self.size and self._fitting >= 2 * self.size

    def fit(self) -> None:
        """Choose the prefetch by what is in hand."""
        self.size = self._fitting

    @property
    def _fitting(self) -> int:
        return min(MOST_MESSAGES, max(1, AIM_BYTES * self._messages // max(1, self._bytes)))

    def _count(self, tag: int, messages: int, size_bytes: int) -> None:
        self._messages += messages
        self._bytes += size_bytes
        if tag >= self._first_tag:
            self._of_consumer += messages
