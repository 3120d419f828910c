"""What is measured: the floor or Ringback, whole or in halves, behind one interface.

Each part runs for the time of a `with` block. An API is ready when the block begins.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Running:
    """A running pipeline."""

    roots: Mapping[str, int]
    """Process id of the first process, by part."""
    port: int = 0
    """Where events are posted; 0 for a dispatcher alone."""
    token: str = ""
    """With what events are posted; empty for a dispatcher alone."""


class Pipeline(Protocol):
    """What can be measured: `floor` or `ringback`."""

    name: str

    def prepare(self, *, prefilled: int = 0) -> None:
        """Create empty tables on the services, and a queue that holds `prefilled` events."""

    def api(self, workers: int) -> AbstractContextManager[Running]:
        """Run the API alone on what was prepared. Events stay in the queue."""

    def dispatcher(self) -> AbstractContextManager[Running]:
        """Run the dispatcher alone on what was prepared. It is only started when the block begins,
        so that the first webhook can be measured.
        """

    def on_services(self) -> AbstractContextManager[Running]:
        """Prepare the services and run one API worker and one dispatcher."""

    def embedded(self) -> AbstractContextManager[Running]:
        """Run everything in one process, on SQLite."""
