"""A dict that is cheap to copy, for the directory's snapshots: a copy shares with the original
every part that it never writes to.

At 50,000 tokens with 150,000 callbacks a snapshot of plain dicts took 40 ms to copy for each
change, most of it in single C calls that nothing can interrupt.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_PARTS = 512
"""More: copying the list of parts costs more. Fewer: each write after a copy costs more, in
proportion to what is held.
"""


class Shards(Generic[K, V]):
    """Once it has been copied, the original must not be written to any more: its parts are in two
    hands.
    """

    __slots__ = ("_own", "_parts")

    def __init__(self, parts: list[dict[K, V]] | None = None):
        self._parts = [{} for _ in range(_PARTS)] if parts is None else parts
        self._own: set[int] = set()

    def copy(self) -> "Shards[K, V]":
        return Shards(self._parts.copy())

    def get(self, key: K) -> V | None:
        return self._parts[hash(key) % _PARTS].get(key)

    def __setitem__(self, key: K, value: V) -> None:
        self._writable(key)[key] = value

    def discard(self, key: K) -> None:
        """Remove it, if it is there."""
        self._writable(key).pop(key, None)

    def _writable(self, key: K) -> dict[K, V]:
        at = hash(key) % _PARTS
        if at not in self._own:
            self._own.add(at)
            self._parts[at] = self._parts[at].copy()
        return self._parts[at]
