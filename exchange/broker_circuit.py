"""Whether a message may be handed to the broker, or goes around it:
docs/invariants.md#unsure-is-not-lost as a pure state machine.

No clock and no I/O: `exchange.failover` passes in the time and the broker connection's generation.
"""

import enum
import threading

SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0


class CircuitState(enum.Enum):
    """`PROBE` is `BROKER` for one message at a time, while all others go around."""

    BROKER = enum.auto()
    PROBE = enum.auto()
    AROUND = enum.auto()


class BrokerCircuit:
    """A connection is trusted once a message was confirmed on it, until something goes wrong with
    it. Thread-safe.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._trusted: int | None = None
        self._probed: int | None = None
        self._not_before_s = 0.0
        self._pause_s = SHORTEST_PAUSE_S

    def way(self, generation: int | None, now_s: float) -> CircuitState:
        """For the next messages; `generation` is that of the connection that takes messages now,
        None when there is none.
        """
        if generation is None:
            return CircuitState.AROUND
        if generation == self._trusted:
            return CircuitState.BROKER
        with self._lock:
            if now_s < self._not_before_s or self._probed is not None:
                return CircuitState.AROUND
            self._probed = generation
            return CircuitState.PROBE

    def confirmed(self, generation: int) -> bool:
        """All messages handed to that connection were confirmed. True when it is trusted from now
        on, and was not before.
        """
        if generation == self._trusted:
            return False
        with self._lock:
            if generation != self._probed:
                return False
            self._trusted, self._probed = generation, None
            self._pause_s = SHORTEST_PAUSE_S
            return True

    def failed(self, generation: int, now_s: float) -> bool:
        """It returned, refused, blocked, closed or went silent. True when it was trusted or probed
        until now: many threads may tell of one failure, the first is heard.
        """
        with self._lock:
            if generation not in (self._trusted, self._probed):
                return False
            self._trusted = self._probed = None
            self._not_before_s = now_s + self._pause_s
            self._pause_s = min(LONGEST_PAUSE_S, self._pause_s * 2)
            return True

    def undecided(self, generation: int) -> None:
        """The probe was neither confirmed nor denied: let the next message be one."""
        with self._lock:
            if generation == self._probed:
                self._probed = None
