"""A message and its deliveries: it is given up when the last of them is recorded, never before (invariant 2)."""

from exchange.port import Source


class PendingAck:
    """Counts down; the settler gives the message up when nothing is open any more."""

    __slots__ = ("open", "receipt", "source")

    def __init__(self, source: Source, receipt: object, deliveries: int):
        self.source, self.receipt, self.open = source, receipt, deliveries
