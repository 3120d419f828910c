"""The circuit breaker of the broker: whether a message may be given to it or goes to the outbox
(docs/invariants.md#unsure-is-not-lost). A pure state machine.

No clock and no I/O: `exchange.failover` passes in the time and the generation of the broker's
connection.
"""

import enum

SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
"""The pause before the next probe doubles from the one to the other. Longer: events go through the
outbox for longer after the broker recovered. Shorter: more publishes wait for a broker that is
still out of order.
"""


class CircuitState(enum.Enum):
    """What happens to the next message."""

    CLOSED = enum.auto()
    """The message is given to the broker."""
    HALF_OPEN = enum.auto()
    """The message is the probe: it is given to the broker, while all others are not."""
    OPEN = enum.auto()
    """The message is not given to the broker."""


class BrokerCircuit:
    """Closed for a connection once a message was confirmed on it, until something goes wrong with
    it. Belongs to the event loop's thread.
    """

    def __init__(self) -> None:
        self._closed_for: int | None = None
        self._probed: int | None = None
        self._not_before_s = 0.0
        self._pause_s = SHORTEST_PAUSE_S

    def admit(self, generation: int | None, now_s: float) -> CircuitState:
        """Return what happens to the next message.

        `generation` is that of the connection that accepts messages now, None when there is none.
        After HALF_OPEN the caller reports `confirmed`, `failed` or `inconclusive`.
        """
        if generation is None:
            return CircuitState.OPEN
        if generation == self._closed_for:
            return CircuitState.CLOSED
        if now_s < self._not_before_s or self._probed is not None:
            return CircuitState.OPEN
        self._probed = generation
        return CircuitState.HALF_OPEN

    def confirmed(self, generation: int) -> bool:
        """Record that all messages given to a connection were confirmed. Return True when that
        closed the circuit.
        """
        if generation == self._closed_for:
            return False
        if generation != self._probed:
            return False
        self._closed_for, self._probed = generation, None
        self._pause_s = SHORTEST_PAUSE_S
        return True

    def failed(self, generation: int, now_s: float) -> bool:
        """Record that a connection returned, refused, blocked, closed or went silent.

        Return True when that opened the circuit. Many publishes may report one failure, and the
        first report counts.
        """
        if generation not in (self._closed_for, self._probed):
            return False
        self._closed_for = self._probed = None
        self._not_before_s = now_s + self._pause_s
        self._pause_s = min(LONGEST_PAUSE_S, self._pause_s * 2)
        return True

    def inconclusive(self, generation: int) -> None:
        """Record that the probe was neither confirmed nor refused: the next message may be one."""
        if generation == self._probed:
            self._probed = None
