"""The request log's writer: rows gather in memory and are written in batches, so that no request
waits for them.

A crash loses what gathered last, a stop loses nothing. While the store is unavailable rows are
kept, up to a bound; past it new ones are dropped, and counted. Called by the API, on its
event loop and in threads.
"""

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import islice

import sqlalchemy as sa

from schemas.errors import StoreUnavailable
from schemas.ids import RequestId
from schemas.observer import Observer
from schemas.request_log import Completion, LoggedRequest
from store.engine import bulk
from store.engine.background import PeriodicThread
from store.engine.database import Database
from store.request_log.refusals import Refusals
from store.tables import requests

FLUSH_S = 0.5
"""Seconds between two writes. Longer: a crash may lose more than a second's rows, which is the
documented bound. Shorter: more transactions.
"""

BATCH = 2_000
"""Rows of a transaction. More: longer transactions. Fewer: more of them under load."""

MOST_WAITING_BYTES = 50_000_000
"""Bytes of memory for rows while the store is unavailable: some 75,000 rows. More: more memory.
Fewer: a shorter outage leaves a gap in the log.
"""

MOST_ADDED = 20_000
"""Rows since the last flush, whose size is not known yet. More: more memory while a flush waits for
a silent store. Fewer: rows are dropped sooner then.
"""

_ENTRY_BYTES = 500
"""Bytes of a row without its texts of any length: two ids, an address, numbers."""

CLOSE_LIMIT_S = 5.0
"""How long a stop waits for the last rows. Longer: an unavailable store delays the end of the
process. Shorter: the last rows are lost more often.
"""

_Entry = LoggedRequest | Completion

_excluded = sa.table("excluded", *(sa.column(column.name) for column in requests.c))
_REPORTED = {
    name: sa.func.coalesce(requests.c[name], _excluded.c[name])
    for name in ("status", "duration_ms")
}
_WHOLE = bulk.Upsert(
    [column.name for column in requests.c if column.name not in {"id", *_REPORTED}],
    computed=_REPORTED,
)
_COMPLETED = bulk.Upsert([], computed=_REPORTED)


class RequestLog:
    """The request log of one database. Thread-safe.

    `dropped` is called with the number of rows that are lost.
    """

    def __init__(self, database: Database, dropped: Callable[[int], None], observer: Observer):
        self._database, self._dropped = database, dropped
        self._added: deque[_Entry] = deque()
        self._refusals, self._refusing = Refusals(dropped), threading.Lock()
        self._waiting: deque[_Entry] = deque()  # guarded by `_flushing`
        self._waiting_bytes = 0
        self._flushing = threading.Lock()
        self._thread = PeriodicThread(
            "request-log",
            self.flush,
            every_s=FLUSH_S,
            observer=observer,
            close_timeout_s=CLOSE_LIMIT_S,
            finish=self.flush,
        )

    def start(self) -> None:
        """Start to write what is added."""
        self._thread.start()

    def close(self) -> None:
        """Write what has gathered, if the store answers soon; else count it as lost.

        Do not add rows any more.
        """
        self._thread.close()
        with self._refusing:
            grown = self._refusals.grown(time.monotonic())
        if left := len(self._waiting) + len(self._added) + len(grown):
            self._dropped(left)

    def add(self, entry: _Entry) -> None:
        """Have a row written soon, or complete one.

        Every request with an event calls it, so it takes no lock and does not examine the entry.
        """
        if self.is_full():
            self._dropped(1)
        else:
            self._added.append(entry)

    def add_refused(self, entry: LoggedRequest) -> RequestId:
        """Have a refused request written soon. Return the id of its row.

        Past a number of them, requests of one token are counted on the row before. A row is added
        before another thread can count on it: written after the grown row, it would undo the count.
        """
        with self._refusing:
            counted_on = self._refusals.row_for(entry, time.monotonic())
            if counted_on == entry.id:
                self.add(entry)
        return counted_on

    def is_full(self) -> bool:
        """Return whether a row that is added now is dropped."""
        return len(self._added) >= MOST_ADDED or self._waiting_bytes >= MOST_WAITING_BYTES

    def flush(self) -> None:
        """Write what has gathered; keep it when the store does not answer.

        When a batch is refused, smaller parts are tried, until only the row to blame is dropped
        (docs/invariants.md#one-bad-row-costs-only-itself).
        """
        with self._flushing:
            self._gather()
            most = BATCH
            while entries := list(islice(self._waiting, most)):
                try:
                    _insert(self._database, entries)
                except StoreUnavailable:
                    return
                except Exception:  # noqa: BLE001 - whatever a row causes, it must cost only itself
                    if len(entries) > 1:
                        most = len(entries) // 2
                        continue
                    self._dropped(1)
                self._forget(entries)
                most = min(BATCH, 2 * most)

    def _gather(self) -> None:
        """Move all entries to those that wait.

        Rows that have grown come last, but are read first: each of them was added before.
        """
        grown: list[LoggedRequest] = []
        if not self.is_full():  # else the counts grow on where they are
            with self._refusing:
                grown = self._refusals.grown(time.monotonic())
        for _ in range(len(self._added)):
            self._await(self._added.popleft())
        for entry in grown:
            self._await(entry)

    def _await(self, entry: _Entry) -> None:
        self._waiting.append(entry)
        self._waiting_bytes += size_of(entry)

    def _forget(self, entries: list[_Entry]) -> None:
        """Remove the first entries. Until then they wait, and `close` counts them."""
        for entry in entries:
            self._waiting.popleft()
            self._waiting_bytes -= size_of(entry)


def size_of(entry: _Entry) -> int:
    """Return about how many bytes of memory an entry takes.

    A character takes one to four bytes, by the widest one of its text.
    """
    texts = (entry.path, entry.user_agent, entry.reason) if isinstance(entry, LoggedRequest) else ()
    return _ENTRY_BYTES + sum(map(sys.getsizeof, texts))


def _insert(database: Database, entries: list[_Entry]) -> None:
    """Write these entries. May be repeated.

    It uses two transactions, each in the order of ids: one that held whole rows and waited for the
    rows that it completes could wait for a process that waits for it.
    """
    whole = {entry.id: entry for entry in entries if isinstance(entry, LoggedRequest)}
    completions = {entry.id: entry for entry in entries if isinstance(entry, Completion)}
    rows = (
        [_row(whole[key]) for key in sorted(whole)],
        [_completing(completions[key]) for key in sorted(completions)],
    )
    for some, rule in zip(rows, (_WHOLE, _COMPLETED), strict=True):
        if some:
            with database.write() as connection:
                bulk.insert(connection, requests, some, rule)


def _row(entry: LoggedRequest) -> dict[str, object]:
    return {
        "id": entry.id,
        "token_id": entry.token_id,
        "at": entry.at,
        "request_id": entry.request_id,
        "method": entry.method,
        "path": entry.path,
        "status": entry.status,
        "duration_ms": entry.duration_ms,
        "address": entry.address,
        "user_agent": entry.user_agent,
        "permission": entry.permission and entry.permission.value,
        "allowed": entry.allowed,
        "reason": entry.reason,
        "stands_for": entry.count,
    }


def _completing(entry: Completion) -> dict[str, object]:
    return {
        "id": entry.id,
        "at": entry.at,
        "status": entry.status,
        "duration_ms": entry.duration_ms,
    }
