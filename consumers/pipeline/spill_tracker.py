"""Which callbacks have deliveries that wait as rows for their first attempt: what is new for them
has to wait there too, or it would overtake them (docs/invariants.md#lanes-are-fair). Memory only:
it is learnt anew from the store after a start. Called by the hand and the due taker.
"""

from collections.abc import Collection

import msgspec

from schemas.ids import CallbackId


class Scan(msgspec.Struct, frozen=True):
    """A search of the store for such rows: its number, and how many settlements had been written
    when it began.
    """

    number: int
    written: int


class _Mark(msgspec.Struct, frozen=True):
    """What a look must have seen to say that a callback's rows are gone."""

    look: int
    settlement: int


class SpillTracker:
    """On the event loop's thread."""

    def __init__(self) -> None:
        self._marks: dict[CallbackId, _Mark] = {}
        self._looks = 0
        self.is_known = False
        """False until a first look has ended: any callback may have such rows."""

    def __contains__(self, callback_id: CallbackId) -> bool:
        return callback_id in self._marks

    def __len__(self) -> int:
        return len(self._marks)

    def add(self, callback_id: CallbackId, settlement: int) -> None:
        """One more becomes a row, by the settlement of this number."""
        self._marks[callback_id] = _Mark(self._looks, settlement)

    def look(self, written: int) -> Scan:
        """A search begins, when so many settlements are written."""
        self._looks += 1
        return Scan(self._looks, written)

    def saw(self, look: Scan, waiting: Collection[CallbackId]) -> None:
        """It ended, and these callbacks have rows. Of what was added since it began it knows
        nothing.
        """
        self.is_known = True
        gone = [
            callback_id
            for callback_id, mark in self._marks.items()
            if mark.look < look.number and mark.settlement <= look.written
        ]
        for callback_id in gone:
            del self._marks[callback_id]
        for callback_id in waiting:
            self._marks.setdefault(callback_id, _Mark(0, 0))
