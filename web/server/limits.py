"""The limits of the HTTP server. Nothing here is configurable: each value was chosen for all."""

from typing import NamedTuple

_KIB, _MIB = 1024, 1024 * 1024


class Limits(NamedTuple):
    """Limits for every client, known or not."""

    head_bytes: int = 64 * _KIB
    """Bytes of request line and headers: 431. Fewer: cookies and tokens of other systems behind
    the same name do not fit.
    """
    header_lines: int = 100
    """Headers of a request: 431."""
    head_s: float = 10.0
    """Time for the whole head, from its first byte: 408. Shorter: clients on bad lines fail."""
    body_s: float = 60.0
    """Time for the whole body: 408. Shorter: a batch of 8 MiB needs 1 Mbit/s. Longer: a client that
    stops sending keeps its part in memory for longer.
    """
    idle_s: float = 75.0
    """How long a connection is kept without a request. It must be longer than the idle limit of a
    load balancer (60 s are usual), which would otherwise send a request on a connection that is
    being closed.
    """
    stalled_s: float = 60.0
    """How long a client may take nothing of an answer."""
    linger_s: float = 2.0
    """How long a client that is still sending has time to read its answer before the connection is
    closed.
    """
    dropped_bytes: int = 16 * _MIB
    """How much of a request is read and dropped, so that the answer arrives: most clients read only
    after they have sent everything.
    """
    memory_bytes: int = 128 * _MIB
    """Bodies in memory, of all clients together: 503. A body counts until it is answered."""
    unknown_memory_bytes: int = 32 * _MIB
    """Beyond this, bodies of unknown callers are refused: 503. They cannot take the memory that
    publishers need.
    """
    kept_connections: int = 5000
    """Connections that stay open after an answer. More: idle clients hold more descriptors."""
    stop_s: float = 5.0
    """How long a stop waits for answers."""
    check_s: float = 1.0
    """How often deadlines are looked at. Less often: a client is cut off later than at its
    deadline, and the header Date is late by as much.
    """


class BodyMemory:
    """The bodies in memory, counted over all connections."""

    def __init__(self, limits: Limits):
        self._limits = limits
        self.taken_bytes = 0

    def has_room(self, *, known: bool) -> bool:
        """Return whether more may be kept, for a known caller or for another."""
        limits = self._limits
        limit = limits.memory_bytes if known else limits.unknown_memory_bytes
        return self.taken_bytes < limit
