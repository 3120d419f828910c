"""Publishing into the outbox table: the exchange without a broker.

Embedded mode uses nothing else. With RabbitMQ it takes over while no broker answers
(`exchange.failover`).
"""

import asyncio
import contextlib
import queue
import threading
import time
import traceback
from collections.abc import Sequence

from exchange.confirmation import Confirmation
from exchange.port import Claimer, Outgoing, QueuedMessage
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
"""Bytes of the bodies in one transaction. More: more memory, as the database's driver holds further
copies. Fewer: more commits.
"""

_COUNT_EVERY_S = 1.0
_AT_ONCE_S = 0.2
_PER_ROW_S = 0.002
"""How long one row may take on a busy machine before the database seems silent. Batches of a
thousand are megabytes.
"""

_SILENT = "the outbox does not answer"
_ANSWER_TIMEOUT_S = 15.0
"""How long a request waits for its write. Longer than two store calls that run into their limits:
the writer answers before.
"""


class _OutboxBatch:
    """The events of one request, which are committed together."""

    __slots__ = ("abandoned", "confirmation", "rows", "size_bytes")

    def __init__(self, outgoing: Sequence[Outgoing]):
        self.rows: list[bulk.Row] = [
            {"body": event.event.message(), "accepted_at": event.accepted_at} for event in outgoing
        ]
        self.size_bytes = sum(len(row["body"]) for row in self.rows)
        self.confirmation = Confirmation(1)
        self.abandoned = False
        """Whether the request was answered that its events are not stored, or was cancelled."""


class OutboxPublisher:
    """A `Publisher` that writes rows. Belongs to the event loop's thread.

    One thread writes, each time all that came during the previous commit, without waiting for more.
    After it, one call on the event loop answers all of them.
    With a `claimer`, for a process that is alone with its database, the events are claimed in the
    transaction that writes them while nothing else waits: one commit less between a publish and its
    first attempt.
    """

    def __init__(self, database: Database, limit_rows: int, observer: Observer):
        """`limit_rows`: how many events may wait in the outbox."""
        self._database, self._observer = database, observer
        self.claimer: Claimer | None = None
        self._limit_rows = limit_rows
        self._queue: queue.SimpleQueue[_OutboxBatch | None] = queue.SimpleQueue()
        self._closed = False
        self._depth = 0
        self._counted_s = -_COUNT_EVERY_S
        self._write_due_s: float | None = None
        """When the current write should be done."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="ringback-outbox", daemon=True)

    def start(self) -> None:
        """Start the writing thread. Its answers come on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def connected(self) -> bool:
        """Return whether it is open. Whether the database answers is reported by the database."""
        return not self._closed

    def trouble(self) -> str | None:
        """Return None: there is no other way for events."""
        return None

    async def publish(
        self, outgoing: Sequence[Outgoing], silence_s: float = _ANSWER_TIMEOUT_S
    ) -> None:
        """Write events, and return when they are committed. Raises ExchangeUnavailable.

        A write that takes longer than `silence_s` counts as silence. Requests that wait for it are
        refused then, and later ones at once, or they would gather without end. While writes end in
        time, all wait for their turn.
        """
        batch = _OutboxBatch(outgoing)
        if self._closed:
            raise ExchangeUnavailable("the outbox is closed")
        if self._left_s(silence_s) <= 0:
            raise ExchangeUnavailable(_SILENT)
        self._queue.put(batch)
        try:
            await self._answered(batch.confirmation, silence_s)
        except BaseException:  # of any kind: also when the request was cancelled
            batch.abandoned = True
            raise

    async def close(self) -> None:
        """Write what was published, then end the thread."""
        self._closed = True
        self._queue.put(None)
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join)

    async def _answered(self, confirmation: Confirmation, silence_s: float) -> None:
        end_s = time.monotonic() + _ANSWER_TIMEOUT_S
        while not await confirmation.wait(min(self._left_s(silence_s), end_s - time.monotonic())):
            if confirmation.error or self._left_s(silence_s) <= 0 or time.monotonic() >= end_s:
                raise ExchangeUnavailable(confirmation.error or _SILENT)

    def _left_s(self, silence_s: float) -> float:
        """Return the time until the current write counts as silence. Large ones may take longer."""
        due_s = self._write_due_s  # once: the thread changes it
        return silence_s if due_s is None else due_s + silence_s - time.monotonic()

    def _run(self) -> None:
        closing = False
        while not closing:
            gathered, closing = self._gather()
            batches = [batch for batch in gathered if not batch.abandoned]
            if batches:
                rows = sum(len(batch.rows) for batch in batches)
                self._write_due_s = time.monotonic() + _PER_ROW_S * rows
                self._write(batches)
                self._write_due_s = None

    def _gather(self) -> tuple[list[_OutboxBatch], bool]:
        """Return all that waits, up to a bound, and whether it was the last. Blocks until there is
        something.
        """
        batches: list[_OutboxBatch] = []
        rows = size_bytes = 0
        with contextlib.suppress(queue.Empty):
            while rows < GATHER_ROWS and size_bytes < GATHER_BYTES:
                batch = self._queue.get(block=not batches)
                if batch is None:
                    return batches, True
                batches.append(batch)
                rows += len(batch.rows)
                size_bytes += batch.size_bytes
        return batches, False

    def _write(self, batches: Sequence[_OutboxBatch]) -> None:
        failure = None
        rows = [row for batch in batches for row in batch.rows]
        try:
            if (
                self.claimer is None
                or not self.claimer.is_open()
                or not self._claim(self.claimer, rows)
            ):
                self._add_on_a_live_connection(rows)
        except RingbackError as error:
            failure = str(error)
        except Exception as error:  # noqa: BLE001 - also a bug: the thread must go on
            failure = "the outbox could not be written"
            self._observer.log(
                LogEvent.OUTBOX_WRITE_FAILED, error=repr(error), trace=traceback.format_exc()
            )
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop was closed, and no request waits
                self._loop.call_soon_threadsafe(_settle, batches, failure)

    def _claim(self, claimer: Claimer, rows: Sequence[bulk.Row]) -> bool:
        """Write and claim rows. Return False when one of them cannot be claimed: the intake finds
        out which, when it fetches them from the outbox.
        """
        try:
            with self._database.write() as connection:
                self._admit(connection, len(rows))
                ids = outbox.add_leased(connection, rows, self._database.now(connection))
                messages = [
                    QueuedMessage(row["body"], row["accepted_at"], None, 0, row_id)
                    for row_id, row in zip(ids, rows, strict=True)
                ]
                committed = claimer.claim(connection, messages)
        except (StoreUnavailable, ExchangeUnavailable):
            raise
        except Exception as error:  # noqa: BLE001 - also a bug: it must cost one event only
            self._observer.log(LogEvent.CLAIM_DEFERRED, error=str(error) or repr(error))
            return False
        committed()
        return True

    def _add_on_a_live_connection(self, rows: Sequence[bulk.Row]) -> None:
        """Add rows, twice if the first connection was cut, which only its use shows. Adding twice
        does no harm (docs/invariants.md#seen-before).
        """
        began_s = time.monotonic()
        try:
            self._add(rows)
        except StoreUnavailable:
            if time.monotonic() - began_s > _AT_ONCE_S:
                raise  # silence: the requests cannot wait as long again
            self._add(rows)

    def _add(self, rows: Sequence[bulk.Row]) -> None:
        try:
            with self._database.write() as connection:
                self._admit(connection, len(rows))
                outbox.add(connection, rows)
                self._database.notify(connection, outbox.NOTIFICATION)
        finally:
            # after the commit, which an error need not have prevented: an earlier fetch could not
            # see the rows, and may have been caused by the notification above
            if self.claimer is not None:
                self.claimer.fell_behind()
                self._database.wake(outbox.NOTIFICATION)

    def _admit(self, connection: Connection, count: int) -> None:
        """Raise ExchangeUnavailable when the outbox is full. Rows are counted once a second, and in
        between by what is added here.
        """
        now_s = time.monotonic()
        if now_s - self._counted_s >= _COUNT_EVERY_S:
            self._depth = outbox.depth_at_most(connection, self._limit_rows - count)
            self._counted_s = now_s
        if self._depth + count > self._limit_rows:
            raise ExchangeUnavailable(f"the outbox is full: {self._depth} events wait")
        self._depth += count


def _settle(batches: Sequence[_OutboxBatch], failure: str | None) -> None:
    for batch in batches:
        batch.confirmation.settle(0, failure)
