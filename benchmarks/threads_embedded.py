"""The former floor of embedded mode, with request threads: cheroot, one SQLite thread that commits
what has gathered, libcurl on uvloop.

    python -m benchmarks.threads_embedded PORT RECEIVER_URL DATABASE_FILE

An event is answered once its commit is on disk (WAL, `synchronous=FULL`), then posted, and its
outcome is part of a later commit. cheroot is in no requirement: `pip install cheroot` for the run.
"""

import asyncio
import sqlite3
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import uvloop
from cheroot import wsgi
from flask import Flask, Response, request

from benchmarks.floor_events import Accepted, read_event
from benchmarks.floor_sender import Sender, signed_headers
from benchmarks.threads_api import Confirmation

_COMMIT_LIMIT_S = 10.0
_THREADS = 32
_SETTINGS = ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL")
_TABLES = (
    "CREATE TABLE IF NOT EXISTS events (id text PRIMARY KEY, type text, body blob, at real)",
    "CREATE TABLE IF NOT EXISTS outbox (id text PRIMARY KEY)",
    (
        "CREATE TABLE IF NOT EXISTS deliveries "
        "(id text PRIMARY KEY, event text, status int, ms int, at real)"
    ),
)


class Arrived(NamedTuple):
    """An event to commit; the confirmation is set afterwards."""

    event: Accepted
    confirmation: Confirmation


class Outcome(NamedTuple):
    """An answered webhook: its delivery row."""

    row: tuple[str, str, int, int, float]


class Writer(threading.Thread):
    """The only connection that writes. Each commit has all that arrived during the one before."""

    def __init__(self, database_file: str, committed: Callable[[list[Accepted]], None]) -> None:
        super().__init__(daemon=True)
        self._file, self._committed = database_file, committed
        self._waiting: deque[Arrived | Outcome] = deque()
        self._some = threading.Semaphore(0)

    def add(self, item: Arrived | Outcome) -> None:
        self._waiting.append(item)
        self._some.release()

    def run(self) -> None:
        database = sqlite3.connect(self._file, isolation_level=None)
        for statement in _SETTINGS + _TABLES:
            database.execute(statement)
        while self._some.acquire():
            if items := [self._waiting.popleft() for _ in range(len(self._waiting))]:
                self._write(database, items)

    def _write(self, database: sqlite3.Connection, items: list[Arrived | Outcome]) -> None:
        arrived = [item for item in items if isinstance(item, Arrived)]
        rows = [item.row for item in items if isinstance(item, Outcome)]
        now = time.time()
        database.execute("BEGIN IMMEDIATE")
        database.executemany(
            "INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?)",
            [(*a.event[:3], now) for a in arrived],
        )
        database.executemany(
            "INSERT OR IGNORE INTO outbox VALUES (?)", [a.event[:1] for a in arrived]
        )
        database.executemany("INSERT INTO deliveries VALUES (?, ?, ?, ?, ?)", rows)
        database.executemany("DELETE FROM outbox WHERE id = ?", [row[1:2] for row in rows])
        database.execute("COMMIT")
        for item in arrived:
            item.confirmation.set()
        if arrived:
            self._committed([item.event for item in arrived])


class Floor:
    """A dispatcher that posts what the writer has committed, and returns the outcomes to it."""

    def __init__(self, receiver_url: str, database_file: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._receiver_url, self._sender = receiver_url, Sender(self._loop)
        self._writer = Writer(database_file, self._post)
        self._writer.start()

    def accept(self) -> Response:
        """Answer one request, in a thread of the server."""
        event, confirmation = read_event(request.get_data()), Confirmation()
        self._writer.add(Arrived(event, confirmation))
        confirmation.wait(_COMMIT_LIMIT_S)
        return Response(event.answer, 202, content_type="application/json")

    def _post(self, events: list[Accepted]) -> None:
        self._loop.call_soon_threadsafe(self._deliver, events)

    def _deliver(self, events: list[Accepted]) -> None:
        for event in events:
            self._deliver_one(event)

    def _deliver_one(self, event: Accepted) -> None:
        started = time.perf_counter()

        def answered(answer: asyncio.Future[int]) -> None:
            took_ms = int((time.perf_counter() - started) * 1000)
            self._writer.add(
                Outcome((uuid.uuid4().hex, event.event_id, answer.result(), took_ms, time.time()))
            )

        headers = signed_headers(event.event_id, event.message)
        self._sender.post(self._receiver_url, headers, event.message).add_done_callback(answered)


async def _main(port: str, receiver_url: str, database_file: str) -> None:
    app = Flask(__name__)
    app.post("/v1/events")(Floor(receiver_url, database_file).accept)
    server = wsgi.Server(("127.0.0.1", int(port)), app, numthreads=_THREADS, request_queue_size=512)
    # 10 by default: more clients would connect again for every request.
    server.keep_alive_conn_limit = 1000
    threading.Thread(target=server.safe_start, daemon=True).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_main(*sys.argv[1:]))
