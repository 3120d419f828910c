"""What a request thread waits on while another thread makes its message durable. No I/O; used by
every publisher.
"""

import threading


class Confirmation:
    """Settled once, by one thread; awaited by another. One lock: cheaper than a Future and its
    condition.
    """

    __slots__ = ("_lock", "broken")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self.broken: str | None = None
        """Why it will not be kept; None while it is kept or open."""

    def settle(self, broken: str | None) -> None:
        """None: what was promised is durable. Else the reason why it is not known to be."""
        self.broken = broken
        self._lock.release()

    def kept(self, limit_s: float) -> bool:
        """Wait until it is settled; False also when it is not within the limit, and then it may be
        asked again. Not once it is settled.
        """
        return self._lock.acquire(timeout=max(0.0, limit_s)) and self.broken is None
