"""The request log's writer: rows gather in memory and are written in batches, off the way of the
requests.

A crash loses what gathered last, a stop nothing. While the store is away rows are kept, up to a
bound; past it new ones are dropped, and counted. Called by the API's threads; lists of what was
written are in `store.request_log.listing`.
"""

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from schemas.errors import StoreUnavailable
from schemas.ids import RequestId
from schemas.request_log import Completion, LoggedRequest
from store.engine import bulk
from store.engine.database import Database
from store.request_log.refusals import Refusals
from store.tables import requests

FLUSH_S = 0.5
"""Promised is that a crash loses a second's worth at most. Shorter: more transactions."""

BATCH = 2_000
"""Rows a transaction. More: a longer one. Fewer: more of them under load."""

MOST_WAITING_BYTES = 50_000_000
"""Of memory while the store is away: some 75,000 rows. More: more memory; fewer: a shorter outage
leaves a gap in the log.
"""

MOST_ADDED = 20_000
"""Rows that came since the last flush, which wait unmeasured. More: more memory while a flush waits
for a store that is silent.
"""

_ENTRY_BYTES = 500
"""What a row takes beside the texts of any length: two ids, an address, figures."""

CLOSE_LIMIT_S = 5.0
"""How long a stop waits for the last rows. Longer: a store that is away delays the end of the
process.
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
    """Thread-safe; `add` is cheap enough for every request. `dropped` is told how many rows were
    lost.
    """

    def __init__(self, database: Database, dropped: Callable[[int], None]):
        self._database, self._dropped = database, dropped
        self._added: deque[_Entry] = deque()
        self._refusals, self._refusing = Refusals(dropped), threading.Lock()
        self._waiting: deque[_Entry] = deque()  # whoever holds `_flushing` alone
        self._waiting_bytes = 0
        self._stopped = threading.Event()
        self._flushing = threading.Lock()
        self._thread = threading.Thread(
            target=self._flush_for_ever, name="ringback-request-log", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """What has gathered is written, if the store answers soon; else it is lost. Nothing is
        added any more.
        """
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_LIMIT_S)
        with self._refusing:
            grown = self._refusals.grown(time.monotonic())
        if left := len(self._waiting) + len(self._added) + len(grown):
            self._dropped(left)

    def add(self, entry: _Entry) -> None:
        """Have it written soon. On the way of every event: no lock, no look at the entry."""
        if self.is_full():
            self._dropped(1)
        else:
            self._added.append(entry)

    def add_refused(self, entry: LoggedRequest) -> RequestId:
        """The same of a request that was refused: past so many of one token it is counted on the
        row before. The id of the row.

        A row is added before anybody can count on it: written after what it grew to, it would be as
        it was.
        """
        with self._refusing:
            counted_on = self._refusals.row_for(entry, time.monotonic())
            if counted_on == entry.id:
                self.add(entry)
        return counted_on

    def is_full(self) -> bool:
        """Whether what comes now is dropped."""
        return len(self._added) >= MOST_ADDED or self._waiting_bytes >= MOST_WAITING_BYTES

    def flush(self) -> None:
        """Write what has gathered; keep it when the store does not answer. Of a batch that is
        refused smaller parts are tried, until the one row that is to blame stands alone.
        """
        with self._flushing:
            self._take_in()
            most = BATCH
            while entries := [
                self._waiting[place] for place in range(min(most, len(self._waiting)))
            ]:
                try:
                    _insert(self._database, entries)
                except StoreUnavailable:
                    return
                except Exception:  # noqa: BLE001 - what passed our checks and cannot be written costs itself; the end of this thread, the log
                    if len(entries) > 1:
                        most = len(entries) // 2
                        continue
                    self._dropped(1)
                self._forget(entries)
                most = min(BATCH, 2 * most)

    def _take_in(self) -> None:
        """Rows that have grown come last, but are asked for first: each of them was added before.
        """
        grown: list[LoggedRequest] = []
        if not self.is_full():  # else counts go on growing where they are
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
        """The first ones. Until then they are waiting, as `close` counts them."""
        for entry in entries:
            self._waiting.popleft()
            self._waiting_bytes -= size_of(entry)

    def _flush_for_ever(self) -> None:
        while not self._stopped.wait(FLUSH_S):
            self.flush()
        self.flush()


def size_of(entry: _Entry) -> int:
    """Of its memory, about. A character takes one to four bytes, by the widest one of its text."""
    texts = (entry.path, entry.user_agent, entry.reason) if isinstance(entry, LoggedRequest) else ()
    return _ENTRY_BYTES + sum(map(sys.getsizeof, texts))


def _insert(database: Database, entries: list[_Entry]) -> None:
    """May be repeated. In two transactions, each in the order of ids: one that held whole rows and
    waited for those that it completes could wait for a process that waits for it.
    """
    whole = {one.id: one for one in entries if isinstance(one, LoggedRequest)}
    completions = {one.id: one for one in entries if isinstance(one, Completion)}
    rows = (
        [_row(whole[key]) for key in sorted(whole)],
        [_completing(completions[key]) for key in sorted(completions)],
    )
    for some, rule in zip(rows, (_WHOLE, _COMPLETED), strict=True):
        if some:
            with database.write() as connection:
                bulk.insert(connection, requests, some, rule)


def _row(one: LoggedRequest) -> dict[str, Any]:
    return {
        "id": one.id,
        "token_id": one.token_id,
        "at": one.at,
        "request_id": one.request_id,
        "method": one.method,
        "path": one.path,
        "status": one.status,
        "duration_ms": one.duration_ms,
        "address": one.address,
        "user_agent": one.user_agent,
        "permission": one.permission and one.permission.value,
        "allowed": one.allowed,
        "reason": one.reason,
        "stands_for": one.count,
    }


def _completing(one: Completion) -> dict[str, Any]:
    return {"id": one.id, "at": one.at, "status": one.status, "duration_ms": one.duration_ms}
