"""What is measured: the floor or Ringback, whole or in halves, behind one interface. The ways to
start them are in their modules.

Each part runs for the time of a `with` block; a way in is ready when the block begins.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Running:
    """`port` and `token`: where events are posted, and with what (0 and empty for a dispatcher alone). `roots`: name of each
    part → its first process.
    """

    roots: Mapping[str, int]
    port: int = 0
    token: str = ""


class Pipeline(Protocol):
    """`floor` or `ringback`."""

    name: str

    def prepare(self, *, prefilled: int = 0) -> None:
        """On services: empty tables, and a queue that holds this many events."""

    def api(self, workers: int) -> AbstractContextManager[Running]:
        """The way in alone, on what was prepared: events stay in the queue."""

    def dispatcher(self) -> AbstractContextManager[Running]:
        """The way out alone, on what was prepared. Only started when the block begins: whoever
        measures sees the first webhook.
        """

    def on_services(self) -> AbstractContextManager[Running]:
        """Both, freshly prepared, with one API worker and one dispatcher."""

    def embedded(self) -> AbstractContextManager[Running]:
        """All in one process, on SQLite."""
