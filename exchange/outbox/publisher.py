"""The exchange without a broker: publishing into the outbox table, and taking from it.

Embedded mode is this and nothing else; with RabbitMQ it takes over while no broker answers
(`exchange.failover`).
"""

import contextlib
import queue
import threading
import time
import traceback
from collections.abc import Sequence

from exchange.confirmation import Confirmation
from exchange.port import Claimer, Message, Outgoing
from schemas.errors import ExchangeUnavailable, RingbackError, StoreUnavailable
from schemas.log_events import LogEvent
from schemas.observer import Observer
from store.engine import bulk
from store.engine.database import Connection, Database
from store.events import outbox

GATHER_ROWS = 1000
"""Rows in one transaction. More: the first of them waits longer, and a slow disk may exceed the
statement's limit. Fewer: more commits, each of which costs a disk flush.
"""

GATHER_BYTES = 16 * 1024 * 1024
"""The same of their bodies, beside which the database's driver holds copies."""


_COUNT_EVERY_S = 1.0
_AT_ONCE_S = 0.2
_PER_ROW_S = 0.002
"""What a row may take on a busy machine before it looks like silence: batches of a thousand are
megabytes.
"""

_SILENT = "the outbox does not answer"
_ANSWER_LIMIT_S = 15.0
"""Two store calls that run into their limits, and some: the writer answers before."""


class _Batch:
    """What one request hands in: all of it is committed together. `abandoned`: its request was told
    that it is not stored.
    """

    __slots__ = ("abandoned", "confirmation", "rows", "size_bytes")

    def __init__(self, outgoing: Sequence[Outgoing]):
        self.rows: list[bulk.Row] = [
            {"body": one.event.message(), "accepted_at": one.accepted_at} for one in outgoing
        ]
        self.size_bytes = sum(len(row["body"]) for row in self.rows)
        self.confirmation = Confirmation()
        self.abandoned = False


class OutboxPublisher:
    """Thread-safe. One thread writes, each time all that came during the commit before: nothing
    lingers.

    With a `claimer`, for a process that is alone with its database, what is written is claimed in
    the same transaction while nothing else waits: one commit less between a publish and its first
    attempt.
    """

    def __init__(self, database: Database, limit_rows: int, observer: Observer):
        self._database, self._observer = database, observer
        self.claimer: Claimer | None = None
        self._limit_rows = limit_rows
        self._handed: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        self._handing = threading.Lock()
        """While it is held nobody else hands in: what comes to `_handed` after the end would wait
        in vain.
        """
        self._closed = False
        self._depth = 0
        self._counted_s = -_COUNT_EVERY_S
        self._write_due_s: float | None = None
        """When the write under way might well be done."""
        self._thread = threading.Thread(target=self._run, name="ringback-outbox", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def connected(self) -> bool:
        """A table needs no connection of its own: whether the database answers is the database's to
        say.
        """
        return not self._closed

    def trouble(self) -> str | None:
        """There is no other way."""
        return None

    def publish(self, outgoing: Sequence[Outgoing], silence_s: float = _ANSWER_LIMIT_S) -> None:
        """`silence_s`: a write that takes longer is taken for silence. Who waits for it is refused then, who comes after it at once:
        they would otherwise keep every thread of the process. While writes end, everybody waits for their turn.
        """
        batch = _Batch(outgoing)
        with self._handing:
            if self._closed:
                raise ExchangeUnavailable("the outbox is closed")
            if self._left_s(silence_s) <= 0:
                raise ExchangeUnavailable(_SILENT)
            self._handed.put(batch)
        end_s = time.monotonic() + _ANSWER_LIMIT_S
        while not batch.confirmation.kept(min(self._left_s(silence_s), end_s - time.monotonic())):
            if (
                batch.confirmation.broken
                or self._left_s(silence_s) <= 0
                or time.monotonic() >= end_s
            ):
                batch.abandoned = True
                raise ExchangeUnavailable(batch.confirmation.broken or _SILENT)

    def _left_s(self, silence_s: float) -> float:
        """Until the write under way is taken for silence. Large ones may take longer."""
        return (
            silence_s
            if self._write_due_s is None
            else self._write_due_s + silence_s - time.monotonic()
        )

    def close(self) -> None:
        with self._handing:
            self._closed = True
            self._handed.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        closing = False
        while not closing:
            gathered, closing = self._gathered()
            batches = [batch for batch in gathered if not batch.abandoned]
            if batches:
                self._write_due_s = time.monotonic() + _PER_ROW_S * sum(
                    len(batch.rows) for batch in batches
                )
                self._write(batches)
                self._write_due_s = None

    def _gathered(self) -> tuple[list[_Batch], bool]:
        """All that waits, up to a bound; blocks until there is something. True: it was the last."""
        batches: list[_Batch] = []
        rows = size_bytes = 0
        with contextlib.suppress(queue.Empty):
            while rows < GATHER_ROWS and size_bytes < GATHER_BYTES:
                one = self._handed.get(block=not batches)
                if one is None:
                    return batches, True
                batches.append(one)
                rows += len(one.rows)
                size_bytes += one.size_bytes
        return batches, False

    def _write(self, batches: Sequence[_Batch]) -> None:
        broken = None
        rows = [row for batch in batches for row in batch.rows]
        try:
            if (
                self.claimer is None
                or not self.claimer.is_open()
                or not self._claimed(self.claimer, rows)
            ):
                self._add_by_a_live_connection(rows)
        except RingbackError as error:
            broken = str(error)
        except Exception as error:  # noqa: BLE001 - a mistake of ours: a thread that ended here would let all that follow wait in vain
            broken = "the outbox could not be written"
            self._observer.log(
                LogEvent.OUTBOX_WRITE_FAILED, error=repr(error), trace=traceback.format_exc()
            )
        for batch in batches:
            batch.confirmation.settle(broken)

    def _claimed(self, claimer: Claimer, rows: Sequence[bulk.Row]) -> bool:
        """False when something is wrong with one of them: the intake will find out which, taking
        them from the outbox.
        """
        try:
            with self._database.write() as connection:
                self._admit(connection, len(rows))
                ids = outbox.add_leased(connection, rows, self._database.now(connection))
                messages = [
                    Message(row["body"], row["accepted_at"], None, 0, one)
                    for one, row in zip(ids, rows, strict=True)
                ]
                committed = claimer.claim(connection, messages)
        except (StoreUnavailable, ExchangeUnavailable):
            raise
        except Exception as error:  # noqa: BLE001 - also a mistake of ours: others are written together with the one that it is about
            self._observer.log(LogEvent.CLAIM_DEFERRED, error=str(error) or repr(error))
            return False
        committed()
        return True

    def _add_by_a_live_connection(self, rows: Sequence[bulk.Row]) -> None:
        """That a connection was cut is only found out by using it; the one after it is new. Adding
        twice does no harm (docs/invariants.md#seen-before).
        """
        began_s = time.monotonic()
        try:
            self._add(rows)
        except StoreUnavailable:
            if (
                time.monotonic() - began_s > _AT_ONCE_S
            ):  # silence: to wait as long again would answer nobody
                raise
            self._add(rows)

    def _add(self, rows: Sequence[bulk.Row]) -> None:
        try:
            with self._database.write() as connection:
                self._admit(connection, len(rows))
                outbox.add(connection, rows)
                self._database.notify(connection, outbox.NOTIFICATION)
        finally:
            if (
                self.claimer is not None
            ):  # after the commit, which a failure need not have prevented: a take before could not see it
                self.claimer.fell_behind()
                self._database.wake(
                    outbox.NOTIFICATION
                )  # the ring came before: the take that it caused may have begun too early to count

    def _admit(self, connection: Connection, count: int) -> None:
        """Raises ExchangeUnavailable when the outbox is full. Counted once a second; in between, by
        what is added here.
        """
        now_s = time.monotonic()
        if now_s - self._counted_s >= _COUNT_EVERY_S:
            self._depth = outbox.depth_at_most(connection, self._limit_rows - count)
            self._counted_s = now_s
        if self._depth + count > self._limit_rows:
            raise ExchangeUnavailable(f"the outbox is full: {self._depth} events wait")
        self._depth += count
