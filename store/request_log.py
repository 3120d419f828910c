"""The request log's writer: rows gather in memory and are written in batches, off the way of the requests.

A crash loses what gathered last, a stop nothing. While the store is away rows are kept, up to a bound; past it new ones are
dropped, and counted. Called by the API's threads; lists of what was written are in `store.request_listings`.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from schemas.errors import StoreUnavailable
from schemas.request_log import Completion, LoggedRequest
from store import bulk
from store.database import Connection, Database
from store.tables import requests

FLUSH_S = 0.5
"""Promised is that a crash loses a second's worth at most. Shorter: more transactions."""

BATCH = 2_000
"""Rows a transaction. More: a longer one. Fewer: more of them under load."""

MOST_WAITING = 100_000
"""Rows in memory while the store is away: some 50 MB. More: more memory; fewer: a shorter outage leaves a gap in the log."""

CLOSE_LIMIT_S = 5.0
"""How long a stop waits for the last rows. Longer: a store that is away delays the end of the process."""

_Entry = LoggedRequest | Completion

_excluded = sa.table("excluded", *(sa.column(column.name) for column in requests.c))
_REPORTED = {name: sa.func.coalesce(requests.c[name], _excluded.c[name]) for name in ("status", "duration_ms")}
_WHOLE = bulk.Upsert([column.name for column in requests.c if column.name not in {"id", *_REPORTED}], computed=_REPORTED)
_COMPLETED = bulk.Upsert([], computed=_REPORTED)


class RequestLog:
    """Thread-safe; `add` is cheap enough for every request. `dropped` is told how many rows were lost to a full memory."""

    def __init__(self, database: Database, dropped: Callable[[int], None]):
        self._database, self._dropped = database, dropped
        self._waiting: deque[_Entry] = deque()
        self._stopped = threading.Event()
        self._flushing = threading.Lock()
        self._thread = threading.Thread(target=self._flush_for_ever, name="ringback-request-log", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """What has gathered is written, if the store answers soon. Nothing is added any more."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_LIMIT_S)

    def add(self, entry: _Entry) -> None:
        """Have it written soon."""
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append(entry)
        else:
            self._dropped(1)

    def flush(self) -> None:
        """Write what has gathered; keep it when the store does not answer."""
        with self._flushing:
            while self._waiting and self._write([self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]):
                pass

    def _write(self, entries: list[_Entry]) -> bool:
        """Whether it makes sense to go on."""
        try:
            with self._database.write() as connection:
                _insert(connection, entries)
        except StoreUnavailable:
            self._waiting.extendleft(reversed(entries))
            return False
        except Exception:  # noqa: BLE001 - what passed our checks and cannot be written costs its batch; the end of this thread, the log
            self._dropped(len(entries))
        return True

    def _flush_for_ever(self) -> None:
        while not self._stopped.wait(FLUSH_S):
            self.flush()
        self.flush()


def _insert(connection: Connection, entries: list[_Entry]) -> None:
    whole = {one.id: one for one in entries if isinstance(one, LoggedRequest)}
    completions = {one.id: one for one in entries if isinstance(one, Completion)}
    bulk.insert(connection, requests, [_row(whole[key]) for key in sorted(whole)], _WHOLE)
    bulk.insert(connection, requests, [_completing(completions[key]) for key in sorted(completions)], _COMPLETED)


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
    }


def _completing(one: Completion) -> dict[str, Any]:
    return {"id": one.id, "at": one.at, "status": one.status, "duration_ms": one.duration_ms}
