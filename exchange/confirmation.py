"""What a request thread waits for while another thread makes its message durable. No I/O; used by
every publisher.
"""

import threading


class Confirmation:
    """Whether a message is durable: settled once, by one thread, and awaited by another.

    It is one lock, which is cheaper than a Future and its condition.
    """

    __slots__ = ("_lock", "error")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self.error: str | None = None
        """Why the message is not known to be durable; None while it is, or is not settled."""

    def settle(self, error: str | None) -> None:
        """Say that the message is durable, or why it is not known to be. Call it once."""
        self.error = error
        self._lock.release()

    def wait(self, timeout_s: float) -> bool:
        """Wait until the message is durable. Return False when it is not, or when the timeout comes
        first.

        May be called again after a timeout, but not once it is settled.
        """
        return self._lock.acquire(timeout=max(0.0, timeout_s)) and self.error is None
