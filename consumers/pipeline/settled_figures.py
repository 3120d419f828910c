"""The figures of what the settler settles. Whatever goes wrong with them costs figures alone, never
an outcome. Called by the settler, in its thread.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

from schemas.deliveries.settlement import Settlement
from schemas.errors import StoreUnavailable
from schemas.log_events import LogEvent
from schemas.observer import Observer
from schemas.times import UnixMs
from store.engine.database import Connection, Database
from store.figures.settled import Minute, SettledCounts

FLUSH_EVERY_S = 5.0
"""How often the figures of callbacks are written. Longer: a crash loses more of them. Shorter: more
writes.
"""


class SettledFigures:
    """Counts what is settled, and writes it: by minute with the outcomes, by callback apart."""

    def __init__(self, database: Database, observer: Observer):
        self._database, self._observer = database, observer
        self._counts = SettledCounts()

    def accept(self, accepted: Mapping[Minute, int]) -> None:
        """Count events that were claimed. Called on the event loop."""
        self._counts.accept(accepted)

    def write(self, connection: Connection, settlements: Sequence[Settlement], now: UnixMs) -> None:
        """Write the figures of a batch in the transaction that settles it."""
        self._counts.write(connection, settlements, now)

    def committed(self, now: UnixMs) -> None:
        """Count what `write` wrote: the transaction is committed."""
        self._counts.committed(now)

    def count_alone(self, settlements: Sequence[Settlement]) -> None:
        """Count settlements that were written one by one, each in a transaction of its own.

        They are counted once all of them are written: a batch that is tried again would count some
        of them twice.
        """
        with self._forgiven():
            with self._database.write() as connection:
                now = self._database.now(connection)
                self._counts.write(connection, settlements, now)
            self._counts.committed(now)

    def flush(self) -> bool:
        """Write what was accepted, and some of what is known of callbacks. Return whether there is
        more: settlements have their turn in between.
        """
        is_behind = False
        with self._forgiven():
            self._counts.close_hours(self._database.clock.known())
            if self._counts.flushable:
                with self._database.write() as connection:
                    now = self._database.now(connection)
                    hours = self._counts.flush(connection, now)
                self._counts.committed(now)
                self._counts.flushed(hours, now)
            is_behind = self._counts.is_behind
        return is_behind  # noqa: RET504 - False after an error

    @contextlib.contextmanager
    def _forgiven(self) -> Iterator[None]:
        try:
            yield
        except StoreUnavailable:
            return  # the settler has noticed; callbacks are written at the next flush
        except Exception as error:  # noqa: BLE001 - also a bug: the outcomes are written
            self._counts.forget_unflushed()
            self._observer.log(LogEvent.INTERNAL_ERROR, loop="figures", error=repr(error))
