"""Which callbacks have deliveries that wait as rows for their first attempt. A new delivery for one
of them has to wait there too, or it would overtake them (docs/invariants.md#lanes-are-fair).

In memory only: it is learned from the store again after a start. Called by the unsettled
deliveries.
"""

from collections.abc import Collection

import msgspec

from schemas.ids import CallbackId


class SpillScan(msgspec.Struct, frozen=True):
    """A search of the store for such rows."""

    number: int
    """Counts the scans of this process from 1."""
    written: int
    """How many settlements had been written when it began."""


class _Mark(msgspec.Struct, frozen=True):
    """What a scan must have seen to say that a callback's rows are gone."""

    scan: int
    settlement: int


class SpillTracker:
    """The callbacks that have spilled rows. Belongs to the event loop's thread."""

    def __init__(self) -> None:
        self._marks: dict[CallbackId, _Mark] = {}
        self._scans = 0
        self.is_known = False
        """False until the first scan has ended: any callback may have such rows."""

    def __contains__(self, callback_id: CallbackId) -> bool:
        return callback_id in self._marks

    def __len__(self) -> int:
        return len(self._marks)

    def add(self, callback_id: CallbackId, settlement: int) -> None:
        """Record that one more delivery becomes a row, by the settlement of this number."""
        self._marks[callback_id] = _Mark(self._scans, settlement)

    def begin_scan(self, written: int) -> SpillScan:
        """Begin a scan when so many settlements are written."""
        self._scans += 1
        return SpillScan(self._scans, written)

    def end_scan(self, scan: SpillScan, waiting: Collection[CallbackId]) -> None:
        """End a scan, which found rows of the callbacks in `waiting`. It says nothing about what
        was added since it began.
        """
        self.is_known = True
        gone = [
            callback_id
            for callback_id, mark in self._marks.items()
            if mark.scan < scan.number and mark.settlement <= scan.written
        ]
        for callback_id in gone:
            del self._marks[callback_id]
        for callback_id in waiting:
            self._marks.setdefault(callback_id, _Mark(0, 0))
